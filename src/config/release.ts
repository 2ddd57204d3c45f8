/** The release document: which product and channel a bundle is for, and its place in the sequence. */
import Type, { type Static } from 'typebox';
import type { Document, Problem } from './document.ts';
import { closed, Id, Labels, Time } from './fields.ts';
import { fullTime } from './time.ts';
import { validate } from './validate.ts';

export const ReleaseConfig = closed(
  {
    product: Id("Product that the bundle configures; must equal the trust policy's."),
    channels: Type.Array(Id('A channel.'), { minItems: 1, maxItems: 16, description: 'Channels that may run it.' }),
    seq: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 9_007_199_254_740_991,
        description: 'Sequence number; the highest in the target plus one unless given.',
      }),
    ),
    floor: Type.Integer({
      minimum: 0,
      maximum: 9_007_199_254_740_991,
      default: 0,
      description: 'Bundles below this sequence number are refused from now on.',
    }),
    selector: Labels('Labels that a gateway must have, with these values, to take the bundle.'),
    minGateway: Type.Optional(
      Type.String({
        pattern: '^[0-9]{1,6}\\.[0-9]{1,6}\\.[0-9]{1,6}$',
        description: 'Lowest version of the gateway that may take it.',
        examples: ['0.1.0'],
      }),
    ),
    notAfter: Type.Optional(Time('Not activated after this time.')),
  },
  '`release.yaml`: what the bundle is.',
);
export type ReleaseConfig = Static<typeof ReleaseConfig>;

/** The release with whole times, or every problem: also that nobody could take it. */
export function readRelease(
  doc: Document,
):
  | { readonly ok: true; readonly value: ReleaseConfig }
  | { readonly ok: false; readonly problems: readonly Problem[] } {
  const result = validate(ReleaseConfig, doc);
  if (!result.ok) return result;
  const { seq, floor, notAfter } = result.value;
  if (seq !== undefined && floor > seq) {
    const message = `${floor} is above the bundle's own sequence number (seq: ${seq}), so that it would refuse itself`;
    return { ok: false, problems: [doc.problem('/floor', message)] };
  }
  return { ok: true, value: notAfter === undefined ? result.value : { ...result.value, notAfter: fullTime(notAfter) } };
}
