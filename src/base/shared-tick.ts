/**
 * Monotonic ms that all threads of the process share, so that one may judge by it what another has written down. `performance.now()` begins anew in every
 * thread, and the epoch moves when the machine's clock is set.
 */
export function sharedTick(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}
