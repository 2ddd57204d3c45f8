/**
 * The accepted shapes of a policy's value:
 *
 * - `true` or `false`;
 * - an object `{"allow": boolean, "reason"?: string, "headers"?: {name: string}}` and no other key. `reason` says why, at most 512 characters, and goes
 *   into the decision record, not to the client. `headers` are set on the upstream request when `allow` is true: at most 16, names in lower case, values of
 *   visible ASCII and spaces of at most 1024 characters; names that belong to the connection, to the gateway or to credentials are not accepted.
 *
 * Everything else, and no value at all, is a failure and so a no.
 */
import { DECISION_HEADERS_MAX, DECISION_HEADER_VALUE_MAX, Outcome, REASON_LENGTH_MAX } from './outcome.ts';

export interface Decision {
  readonly outcome: Outcome;
  readonly reason: string;
  /** Flat name, value, … */
  readonly headers: readonly string[];
  /** What is wrong; empty for allow and deny. */
  readonly detail: string;
}

const NO_HEADERS: readonly string[] = Object.freeze([]);
/** RFC 9110 §5.6.2 token, lower case. */
const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]{1,128}$/;
const VALUE = /^[\x20-\x7e]*$/;
/** Framing, hop-by-hop (RFC 9110 §7.6.1), routing, credentials, and what the gateway itself says about the client. */
const FORBIDDEN =
  /^(?:host|connection|keep-alive|content-length|content-encoding|transfer-encoding|te|trailer|upgrade|expect|via|forwarded|authorization|cookie|traceparent|tracestate|x-request-id|(?:proxy|x-forwarded|sec)-.*)$/;

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
  if (typeof value === 'boolean')
    return { outcome: value ? Outcome.Allow : Outcome.Deny, reason: '', headers: NO_HEADERS, detail: '' };
  return isObject(value)
    ? decideObject(value)
    : failed(Outcome.WrongShape, `the rule gave ${kind(value)}; a boolean or {allow, reason, headers} is expected`);
}

function decideObject(value: Readonly<Record<string, unknown>>): Decision {
  for (const key of Object.keys(value)) {
    if (key !== 'allow' && key !== 'reason' && key !== 'headers') {
      return failed(
        Outcome.WrongShape,
        `unknown key ${JSON.stringify(key.slice(0, 64))}; allow, reason and headers are expected`,
      );
    }
  }
  const { allow, reason = '', headers } = value;
  if (typeof allow !== 'boolean') return failed(Outcome.WrongShape, `allow is ${kind(allow)}; a boolean is expected`);
  if (typeof reason !== 'string' || reason.length > REASON_LENGTH_MAX) {
    return failed(Outcome.WrongShape, `reason is not a string of at most ${REASON_LENGTH_MAX} characters`);
  }
  const flat = headers === undefined ? NO_HEADERS : flatten(headers);
  if (typeof flat === 'string') return failed(Outcome.WrongShape, flat);
  return { outcome: allow ? Outcome.Allow : Outcome.Deny, reason, headers: flat, detail: '' };
}

/** Flat names and values, or what is wrong with them. */
function flatten(headers: unknown): readonly string[] | string {
  if (!isObject(headers)) return `headers is ${kind(headers)}; an object of strings is expected`;
  const entries = Object.entries(headers);
  if (entries.length > DECISION_HEADERS_MAX) return `more than ${DECISION_HEADERS_MAX} headers`;
  const flat: string[] = [];
  for (const [name, value] of entries) {
    if (!NAME.test(name)) return `${JSON.stringify(name.slice(0, 64))} is not a header name in lower case`;
    if (FORBIDDEN.test(name)) return `the header ${name} cannot be set by a policy`;
    if (typeof value !== 'string' || value.length > DECISION_HEADER_VALUE_MAX || !VALUE.test(value)) {
      return `the value of header ${name} is not visible ASCII of at most ${DECISION_HEADER_VALUE_MAX} characters`;
    }
    flat.push(name, value);
  }
  return flat;
}

function failed(outcome: Outcome, detail: string): Decision {
  return { outcome, reason: '', headers: NO_HEADERS, detail };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kind(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  return Array.isArray(value) ? 'a list or set' : `a ${typeof value}`;
}
