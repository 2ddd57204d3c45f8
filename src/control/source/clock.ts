/** Time and chance as the poller sees them; a test passes its own and waits for nothing. */
export interface PollClock {
  /** Milliseconds since 1970. */
  now(): number;
  /** A number in [0, 1). */
  random(): number;
  /** Calls back once after a while; the result takes it back. */
  after(ms: number, callback: () => void): () => void;
}

export const systemClock: PollClock = {
  now: Date.now,
  random: Math.random,
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};
