/** When a route's slow requests are sent a second time beside the first. */
import type { HedgeConfig } from '../../config/hedge.ts';
import type { HedgePlan } from '../../snapshot/guards.ts';
import type { Report } from './report.ts';

/** `headMs`: until the response head of one attempt. `native`: the transport can have two attempts under way. */
export function hedgeOf(
  hedge: HedgeConfig | undefined,
  path: string,
  headMs: number,
  native: boolean,
  report: Report,
): HedgePlan | null {
  if (hedge === undefined) return null;
  if (!native)
    report(
      'routes',
      `${path}/hedge`,
      'the transport uws has one attempt at a time; take `transport: native` in the bootstrap, or leave out `hedge`',
    );
  if (hedge.delayMs >= headMs)
    report(
      'routes',
      `${path}/hedge/delayMs`,
      `an attempt ends after ${headMs} ms (headMs or perTryMs), so that there would never be a hedge; take less`,
    );
  return { delayMs: hedge.delayMs, idempotent: hedge.methods === 'idempotent' };
}
