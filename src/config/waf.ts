/** The web application firewall: which rules, and how strict unless a route says otherwise. */
import Type, { type Static } from 'typebox';
import { Bytes, closed, word } from './fields.ts';

/** A file of the bundle directory. */
const BundlePath = (extension: string, description: string, example: string) =>
  Type.String({
    pattern: `^[A-Za-z0-9_./-]+\\.${extension}$`,
    maxLength: 255,
    description,
    examples: [example],
  });

export const WafConfig = closed(
  {
    rules: Type.Array(BundlePath('conf', 'SecLang file.', 'waf/sql.conf'), {
      default: [],
      maxItems: 512,
      description: 'SecLang files in the order they are loaded, relative to the bundle directory.',
    }),
    data: Type.Array(BundlePath('data', 'Phrase file.', 'waf/scanners.data'), {
      default: [],
      maxItems: 512,
      description: 'Phrase files that rules name with @pmFromFile.',
    }),
    mode: word(['off', 'detect', 'block'], 'Mode of routes that do not say.', 'block'),
    bodyBytes: Bytes('Bytes of a request body that are inspected.', 0, 16_777_216, 131_072),
    beyond: word(
      ['refuse', 'pass'],
      'A longer body is refused (413), or its beginning is inspected and the rest passed.',
      'refuse',
    ),
    paranoiaLevel: Type.Integer({ minimum: 1, maximum: 4, default: 1, description: 'Paranoia level.' }),
    threshold: Type.Integer({
      minimum: 1,
      maximum: 1_000,
      default: 5,
      description: 'Anomaly score at which a request is blocked.',
    }),
    laneBytesMax: Bytes(
      'Requests up to this size (head and inspected body) are matched in the lane, longer ones in the worker pool.',
      0,
      1_048_576,
      8_192,
    ),
  },
  '`waf.yaml`: the web application firewall.',
);
export type WafConfig = Static<typeof WafConfig>;
