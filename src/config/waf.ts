/** The web application firewall: which rules, and how strict unless a route says otherwise. */
import Type, { type Static } from 'typebox';
import { Bytes, closed, word } from './fields.ts';
import { CRS_SETTINGS } from './waf-crs.ts';
import { WafLists, WafRuleItem } from './waf-expression.ts';
import { RULE_TEXT, TUNING } from './waf-tuning.ts';

/** A file of the bundle directory. */
const BundlePath = (extension: string, description: string, example: string) =>
  Type.String({
    pattern: `^[A-Za-z0-9_./-]+\\.${extension}$`,
    maxLength: 255,
    description,
    examples: [example],
  });

/** A directory of the bundle directory. */
const BundleDir = (description: string, example: string) =>
  Type.String({
    pattern: '^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$',
    maxLength: 200,
    description,
    examples: [example],
  });

const WafCrs = closed(
  {
    dir: Type.Optional(
      BundleDir(
        'Directory of a Core Rule Set that `cnx waf crs` has put there. Its setup, rules and data are loaded whole; whatever is not as the release has it is an error.',
        'waf/crs',
      ),
    ),
    setup: Type.Optional(
      BundlePath('conf', "A `crs-setup.conf` of your own, instead of the release's example.", 'waf/crs-setup.conf'),
    ),
    before: Type.Array(BundlePath('conf', 'SecLang file.', 'waf/before-crs.conf'), {
      default: [],
      maxItems: 64,
      description:
        'SecLang files between setup and rules of the CRS: runtime exclusions, and rules that add to its score.',
    }),
    plugins: Type.Array(BundlePath('conf', 'File of a plugin.', 'waf/plugins/nextcloud-rule-exclusions-before.conf'), {
      default: [],
      maxItems: 64,
      description:
        'Files of CRS plugins. Their names say where they belong: `…-config.conf` and `…-before.conf` before the rules, `…-after.conf` behind them.',
    }),
    ...CRS_SETTINGS,
  },
  'The OWASP Core Rule Set.',
);

export const WafUpdate = closed(
  {
    rules: Type.String({
      pattern: '^[0-9]{1,10}(-[0-9]{1,10})?([, ]+[0-9]{1,10}(-[0-9]{1,10})?)*$',
      maxLength: 1_024,
      description: 'Rules by ids and ranges; one id where actions are changed.',
      examples: ['942100', '942100-942199'],
    }),
    remove: Type.Boolean({ default: false, description: 'They are removed (SecRuleRemoveById).' }),
    targets: Type.Array(
      Type.String({ pattern: RULE_TEXT, maxLength: 512, description: 'Target.', examples: ['!ARGS:password'] }),
      {
        default: [],
        maxItems: 64,
        description:
          'Targets that they get besides theirs, or that they lose: `!ARGS:password` (SecRuleUpdateTargetById).',
      },
    ),
    actions: Type.Array(
      Type.String({ pattern: RULE_TEXT, maxLength: 512, description: 'Action.', examples: ['severity:NOTICE'] }),
      { default: [], maxItems: 32, description: 'Actions that replace theirs (SecRuleUpdateActionById).' },
    ),
  },
  'A change to rules: at least one of remove, targets, actions.',
);
export type WafUpdate = Static<typeof WafUpdate>;

export const WafConfig = closed(
  {
    rules: Type.Array(WafRuleItem, {
      default: [],
      maxItems: 512,
      description:
        'Rules in their order: SecLang files, relative to the bundle directory, and expressions with what they do (docs/waf-expressions.md).',
    }),
    lists: WafLists,
    data: Type.Array(BundlePath('data', 'Phrase file.', 'waf/scanners.data'), {
      default: [],
      maxItems: 512,
      description: 'Phrase files that rules name with @pmFromFile.',
    }),
    mode: word(['off', 'detect', 'block'], 'Mode of routes that do not say.', 'block'),
    bodyBytes: Bytes('Bytes of a request body that are inspected.', 0, 16_777_216, 131_072),
    argumentsReadMax: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 100_000,
        description:
          'Arguments of a request that are read, of its query and its body together; one with more meets `exhausted`. Unwritten: what SecArgumentsLimit says, else 1000.',
      }),
    ),
    ...TUNING,
    crs: Type.Optional(WafCrs),
    updates: Type.Array(WafUpdate, {
      default: [],
      maxItems: 1_024,
      description: 'Changes to rules by their ids, for all routes, after all files are read.',
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
