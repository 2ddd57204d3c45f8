/** How a new bundle comes to serve on one gateway: at once, or by shares of identities with a comparison at every step. */
import Type, { type Static } from 'typebox';
import { closed, Ms, SecretPlace, word } from './fields.ts';

const Share = (description: string, fallback: number) =>
  Type.Number({ minimum: 0, maximum: 1, default: fallback, description: `${description} A share, 0 to 1.` });

export const RolloutConfig = closed(
  {
    plan: word(
      ['immediate', 'staged'],
      'immediate = a new bundle serves all requests as soon as it is compiled; staged = by `steps`. The first bundle, rollbacks and reverts are always immediate.',
      'immediate',
    ),
    steps: Type.Array(
      Type.Number({
        minimum: 0.01,
        maximum: 100,
        description: 'Share of identities that see the new bundle at this step. Unit: percent.',
      }),
      {
        default: [1, 10, 25, 50, 100],
        minItems: 1,
        maxItems: 16,
        description: 'Growing shares; the last is 100. After its soak the former bundle is let go.',
      },
    ),
    soakMs: Ms('Least time at every step.', 100, 86_400_000, 300_000),
    samplesMin: Type.Integer({
      minimum: 0,
      maximum: 1_000_000_000,
      default: 200,
      description: 'Requests that the new bundle must have answered at a step before the next one.',
    }),
    onNoSamples: word(
      ['hold', 'advance'],
      'What happens when the soak is over without that many: hold = wait for them; advance = go on.',
      'hold',
    ),
    cells: word(
      ['together', 'staggered'],
      'together = the first step reaches all cells at once; staggered = one after the other, in the order of the bundle that serves: requests of a cell see the new bundle only when it has been reached. The soak of the first step begins with the last cell.',
      'together',
    ),
    cellMs: Ms('With `cells: staggered`: time from one cell to the next.', 100, 86_400_000, 30_000),
    windowMs: Ms('The comparison looks back so far.', 5_000, 3_600_000, 60_000),
    failedAboveMax: Share(
      'Taken back when the share of failed answers (5xx, or broken off by the upstream) is more than this above that of the active bundle.',
      0.001,
    ),
    refusedAboveMax: Share("The same for the gateway's own refusals below 500.", 0.1),
    policyErrorsAboveMax: Share('The same for policies that gave no decision.', 0.001),
    p99FactorMax: Type.Number({
      minimum: 1,
      maximum: 1_000,
      default: 2,
      description:
        'Taken back when the 99th percentile of the time to answer is more than this times that of the active bundle, and more than `p99AddedMsMax` above it.',
    }),
    p99AddedMsMax: Ms('See `p99FactorMax`.', 0, 600_000, 50),
    hashKeyFrom: Type.Optional(
      SecretPlace(
        'Key of the hash that puts identities in an order; gateways with the same one show a bundle to the same identities first',
      ),
    ),
  },
  'How a new bundle comes to serve.',
  {},
);
export type RolloutConfig = Static<typeof RolloutConfig>;

/** What cannot be said by the schema, by the path of the field. */
export function rolloutProblems(rollout: RolloutConfig, at: (path: string, message: string) => void): void {
  const { steps } = rollout;
  for (const [i, step] of steps.entries())
    if (i > 0 && step <= (steps[i - 1] ?? 0)) at(`/rollout/steps/${i}`, 'every step is larger than the one before');
  if (steps.at(-1) !== 100) at(`/rollout/steps/${steps.length - 1}`, 'the last step is 100');
}
