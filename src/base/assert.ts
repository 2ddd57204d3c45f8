/** Throws when a programmer's assumption is broken. Never for input: input gets a typed error or a refusal. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** A bug of ours; its text never reaches a client. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** The value, or an assertion failure when it is absent; for indices that are known to be in range. */
export function present<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new AssertionError(`${what} is missing`);
  return value;
}
