/**
 * What the addon offers for rate limits: one table of buckets for the whole process (native/tables/src/lib.rs says what it guarantees), and in each
 * thread a block of numbers in which a request's limits are laid out, so that taking them allocates nothing:
 *
 *     block[row * LIMIT_COLUMNS + LIMIT_IDENTITY] = ...      // and EMISSION_NS, BURST, ENFORCE
 *     limitsAddress(row, '192.0.2.1')                        // one call for each part of the key, or KEY_LOW and KEY_HIGH as they were told before
 *     limitsTake(rows, nowMs)                                // all or nothing
 *     block[row * LIMIT_COLUMNS + LIMIT_REMAINING]           // and ALLOWED, RETRY_MS, RESET_MS
 */

/** Most limits that are taken at once: rows of the block. */
export const LIMIT_ROWS = 16;
/** Numbers of one row. */
export const LIMIT_COLUMNS = 10;

/** Written before the key's parts: the limit's stable identity, an unsigned 32-bit integer. */
export const LIMIT_IDENTITY = 0;
/** Written before `limitsTake`: time between two evenly spaced requests. Unit: nanoseconds, at least 1. */
export const LIMIT_EMISSION_NS = 1;
/** Written before `limitsTake`: requests at once, at least 1. */
export const LIMIT_BURST = 2;
/** Written before `limitsTake`: not 0 when the limit refuses; 0 when it only counts. */
export const LIMIT_ENFORCE = 3;
/** Read after `limitsTake`: 1 when this limit admits the request. */
export const LIMIT_ALLOWED = 4;
/** Read after `limitsTake`: requests that would be admitted right now. */
export const LIMIT_REMAINING = 5;
/** Read after `limitsTake`: time until the limit would admit it, 0 when it does. Unit: milliseconds with a fraction. */
export const LIMIT_RETRY_MS = 6;
/** Read after `limitsTake`: time until the bucket is as good as new. Unit: milliseconds with a fraction. */
export const LIMIT_RESET_MS = 7;
/**
 * The key as two unsigned 32-bit integers: read after a `limitsTake` whose key was made of parts, written instead of the parts when the same limit meets the
 * same parts again. Both 0: no parts. Not meant for anything outside of the process.
 */
export const LIMIT_KEY_LOW = 8;
export const LIMIT_KEY_HIGH = 9;

export interface LimitsStats {
  /** Size of the table. */
  readonly buckets: number;
  /** Buckets that hold a key, also one whose time has passed. */
  readonly used: number;
  /** Buckets whose time is still to come. */
  readonly live: number;
  /** Keys replaced because their time had passed. */
  readonly evictions: number;
  /** Checks decided by a shared overflow bucket: the table is too small for the clients that it sees. */
  readonly overflows: number;
  /** Requests refused because another thread held a set's lock for too long. */
  readonly contended: number;
}

export interface LimitsAddon {
  /**
   * Makes the process's table of at least `buckets` (rounded up to a power of two, 16 … 67,108,864; 17 bytes each); answers its size. The first call in the
   * process decides, later ones answer what is; without one the first use makes 1,048,576.
   */
  limitsInit(buckets: number): number;
  /** Figures for metrics. Reads the whole table: a few milliseconds for a million buckets, so for a scrape and not for a request. */
  limitsStats(nowMs: number): LimitsStats;
  /** This thread's block: LIMIT_ROWS × LIMIT_COLUMNS doubles. To be asked for once. */
  limitsBlock(): Float64Array;
  /** Adds a part to the key of a row, begun with the identity in the block. Parts cannot run into each other. Throws beyond LIMIT_ROWS. */
  limitsText(row: number, part: string): void;
  /** Adds an address to the key of a row: IPv4 whole (also mapped into IPv6), IPv6 by its /64; what is no address counts as its text. */
  limitsAddress(row: number, address: string): void;
  /**
   * Takes the limits of rows 0 … `count` - 1 at `nowMs` (of a clock that all threads share), all or nothing: a request that one refuses consumes nothing of the
   * others. True when it may go on. Rows that are not enforced are counted only for requests that go on. Empties the keys.
   */
  limitsTake(count: number, nowMs: number): boolean;
}
