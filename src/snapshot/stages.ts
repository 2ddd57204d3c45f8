/**
 * A request's path, readable top to bottom. The order is written down here and nowhere else; adding a stage starts here, and
 * the compiler then names every table that owes something. `observe` is not in the list: it always runs, last.
 */
export const STAGES = [
  'normalize',
  'match',
  'admit',
  'waf',
  'authenticate',
  'limit',
  'authorize',
  'route',
  'balance',
  'respond',
  'forward',
] as const;

export type StageName = (typeof STAGES)[number];

/** Index of a stage in `STAGES`, as records and histograms store it. */
export const STAGE_INDEX = Object.freeze(Object.fromEntries(STAGES.map((name, index) => [name, index]))) as Readonly<
  Record<StageName, number>
>;
