declare const intervalBrand: unique symbol;

/** A pause between polls that has passed {@link pollInterval}: a mistake of units cannot hammer a registry. */
export type PollInterval = number & { readonly [intervalBrand]: true };

export const POLL_MIN_MS = 5000;
export const POLL_MAX_MS = 3_600_000;
export const POLL_DEFAULT: PollInterval = 30_000 as PollInterval;

/** @throws {RangeError} below 5 s or above an hour. */
export function pollInterval(ms: number): PollInterval {
  if (!Number.isFinite(ms) || ms < POLL_MIN_MS || ms > POLL_MAX_MS) {
    throw new RangeError(`a poll interval is ${POLL_MIN_MS} to ${POLL_MAX_MS} ms, not ${ms}`);
  }
  return ms as PollInterval;
}

/** Any pause of at least a millisecond: for tests and for a developer's own machine, never from a configuration. */
export function shortPollIntervalForDevelopment(ms: number): PollInterval {
  return Math.max(1, ms) as PollInterval;
}
