/** Whether a stored answer may be used (RFC 9111 §4.2), fresh or stale. */
import type { RefusalRow } from '../refusal.ts';
import { REFUSALS } from '../refusal.ts';
import type { RequestDirectives } from './directives.ts';
import type { StoredAnswer } from './stored.ts';
import { ageOf } from './stored.ts';

/** Fresh, and as fresh as the request wants it; or as stale as it takes it (RFC 9111 §4.2, §5.2.1). */
export function usable(stored: StoredAnswer, now: number, asks: RequestDirectives): boolean {
  if (stored.noCache || asks.noCache) return false;
  const age = ageOf(stored, now);
  const left = stored.lifetime - age;
  // `max-age=0` asks for an answer of now, however young the stored one is.
  if (asks.maxAge !== null && (asks.maxAge === 0 || age > asks.maxAge)) return false;
  if (asks.minFresh !== null && left < asks.minFresh) return false;
  return left > 0 || (asks.maxStale !== null && !stored.mustRevalidate && -left <= asks.maxStale);
}

/** Stale, but may be used while it is fetched anew (RFC 5861 §3). While the gateway is degraded that holds for what may be used in an error as well. */
export function inWindow(stored: StoredAnswer, now: number, asks: RequestDirectives, degraded = false): boolean {
  if (stored.noCache || asks.noCache || asks.maxAge !== null || asks.minFresh !== null) return false;
  const late = ageOf(stored, now) - stored.lifetime;
  const window = degraded ? Math.max(stored.staleWhileRevalidate, stored.staleIfError) : stored.staleWhileRevalidate;
  return late >= 0 && late <= window;
}

/** Refusals that say that the upstream failed; what was refused for its content is not replaced by older content. */
const FAILURES: ReadonlySet<RefusalRow> = new Set([
  REFUSALS.no_endpoint,
  REFUSALS.cell_unavailable,
  REFUSALS.circuit_open,
  REFUSALS.static_only,
  REFUSALS.upstream_unreachable,
  REFUSALS.upstream_reset,
  REFUSALS.upstream_invalid,
  REFUSALS.upstream_timeout,
  REFUSALS.upstream_busy,
]);

/** Whether a stale answer may take the place of this refusal. */
export function isFailure(row: RefusalRow): boolean {
  return FAILURES.has(row);
}

/** Answers instead of which a stale one may serve (RFC 5861 §4). */
const ERRORS: ReadonlySet<number> = new Set([500, 502, 503, 504]);

/** Whether a stale answer may take the place of an upstream's with this status. */
export function isError(status: number): boolean {
  return ERRORS.has(status);
}

/** Stale, but may be used because nothing better can be had (RFC 5861 §4). */
export function usableOnError(stored: StoredAnswer, now: number): boolean {
  return !stored.noCache && ageOf(stored, now) - stored.lifetime <= stored.staleIfError && stored.staleIfError > 0;
}
