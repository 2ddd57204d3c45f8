/**
 * The accepted shapes of a policy's value:
 *
 * - `true` or `false`;
 * - an object `{"allow": boolean, "reason"?: string}` and no other key. `reason` says why, at most 512 characters; it goes into the decision record, not to
 *   the client.
 *
 * Everything else, and no value at all, is a failure and so a no. A policy cannot set headers: where it does not set one, a client's own copy would pass, so
 * what an upstream trusts comes from the issuer's `claimHeaders`, whose names are always stripped first.
 */
import { Outcome, REASON_LENGTH_MAX } from './outcome.ts';

export interface Decision {
  readonly outcome: Outcome;
  readonly reason: string;
  /** What is wrong; empty for allow and deny. */
  readonly detail: string;
}

/** Reads the text of a result set, `[{"result": value}]`. Never throws. */
export function decide(text: string): Decision {
  let set: unknown;
  try {
    set = JSON.parse(text);
  } catch {
    return failed(Outcome.WrongShape, 'the result is not JSON');
  }
  if (!Array.isArray(set)) return failed(Outcome.WrongShape, 'the result is not a result set');
  if (set.length === 0) return failed(Outcome.Undefined, 'the rule is undefined for this input; give it a `default`');
  const row: unknown = set[0];
  if (set.length > 1 || !isObject(row) || !Object.hasOwn(row, 'result')) {
    return failed(Outcome.WrongShape, 'the result set has not exactly one result');
  }
  const value = row['result'];
  if (typeof value === 'boolean') return { outcome: value ? Outcome.Allow : Outcome.Deny, reason: '', detail: '' };
  return isObject(value)
    ? decideObject(value)
    : failed(Outcome.WrongShape, `the rule gave ${kind(value)}; a boolean or {allow, reason} is expected`);
}

function decideObject(value: Readonly<Record<string, unknown>>): Decision {
  for (const key of Object.keys(value)) {
    if (key !== 'allow' && key !== 'reason') {
      return failed(
        Outcome.WrongShape,
        `unknown key ${JSON.stringify(key.slice(0, 64))}; allow and reason are expected`,
      );
    }
  }
  const { allow, reason = '' } = value;
  if (typeof allow !== 'boolean') return failed(Outcome.WrongShape, `allow is ${kind(allow)}; a boolean is expected`);
  if (typeof reason !== 'string' || reason.length > REASON_LENGTH_MAX) {
    return failed(Outcome.WrongShape, `reason is not a string of at most ${REASON_LENGTH_MAX} characters`);
  }
  return { outcome: allow ? Outcome.Allow : Outcome.Deny, reason, detail: '' };
}

function failed(outcome: Outcome, detail: string): Decision {
  return { outcome, reason: '', detail };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kind(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  return Array.isArray(value) ? 'a list or set' : `a ${typeof value}`;
}
