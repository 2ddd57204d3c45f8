/** What protects the endpoints of a cell, and the gateway from them (docs/resilience.md). */
import Type, { type Static } from 'typebox';
import { closed } from './fields.ts';

export const RetryBudgetConfig = closed(
  {
    budgetPercent: Type.Integer({
      minimum: 0,
      maximum: 100,
      default: 20,
      description: "Percent of the cell's requests in flight that may be further attempts.",
    }),
    minRetryConcurrency: Type.Integer({
      minimum: 0,
      maximum: 1_000,
      default: 3,
      description: 'So many at once are always allowed.',
    }),
  },
  'How many further attempts the cell bears. Beyond it what failed is answered as it is.',
);
export type RetryBudgetConfig = Static<typeof RetryBudgetConfig>;
