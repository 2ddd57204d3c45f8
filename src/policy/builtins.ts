/**
 * Built-ins that we give to modules: an allow-list of our own, all synchronous, bounded and without side effects. OPA's compiler turns most built-ins
 * into native code of the module; what is neither native nor here is refused at build (`src/config/opa-capabilities.json`) and again at activation.
 */
import { hash } from 'node:crypto';
import { toJsonText } from './json-text.ts';

/** What a built-in may know besides its arguments. */
export interface BuiltinContext {
  /** Epoch milliseconds, frozen for one evaluation. */
  readonly nowMs: number;
}

export interface Builtin {
  /** Number of arguments, 0 … 4. */
  readonly arity: number;
  /** The same arguments always give the same result; `pure` policies may use no other. */
  readonly pure: boolean;
  /** JSON text of the result; undefined = the expression is undefined, as OPA does for an error of the built-in. */
  readonly call: (args: readonly unknown[], context: BuiltinContext) => string | undefined;
}

/** Asked for something that a built-in does not do. Unlike an undefined result, which a negation would turn into an allow, it ends the evaluation. */
export class BuiltinFailure extends Error {
  override readonly name = 'BuiltinFailure';
}

export const BUILTINS: ReadonlyMap<string, Builtin> = new Map<string, Builtin>([
  // As text: the nanoseconds of today are beyond the integers that a double holds exactly.
  ['time.now_ns', { arity: 0, pure: false, call: (_args, context) => `${Math.trunc(context.nowMs)}000000` }],
  ['crypto.sha256', { arity: 1, pure: true, call: ([text]) => ifString(text, (t) => hash('sha256', t, 'hex')) }],
  ['urlquery.decode', { arity: 1, pure: true, call: ([text]) => ifString(text, urlqueryDecode) }],
  ['sprintf', { arity: 2, pure: true, call: ([format, values]) => toJsonText(sprintf(format, values)) }],
  [
    'strings.any_prefix_match',
    { arity: 2, pure: true, call: ([search, base]) => anyMatch(search, base, (s, b) => s.startsWith(b)) },
  ],
  [
    'strings.any_suffix_match',
    { arity: 2, pure: true, call: ([search, base]) => anyMatch(search, base, (s, b) => s.endsWith(b)) },
  ],
]);

function ifString(value: unknown, make: (text: string) => string | undefined): string | undefined {
  const made = typeof value === 'string' ? make(value) : undefined;
  return made === undefined ? undefined : toJsonText(made);
}

/** Form decoding: `+` is a space, `%XX` a byte. Undefined for a bad escape and for bytes that are not UTF-8. */
function urlqueryDecode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return undefined;
  }
}

/** True if any string of the first argument fits any of the second; each is a string or a collection of strings. */
function anyMatch(
  search: unknown,
  base: unknown,
  fits: (search: string, base: string) => boolean,
): 'true' | 'false' | undefined {
  const searches = strings(search);
  const bases = strings(base);
  if (searches === undefined || bases === undefined) return undefined;
  return searches.some((s) => bases.some((b) => fits(s, b))) ? 'true' : 'false';
}

function strings(value: unknown): readonly string[] | undefined {
  if (typeof value === 'string') return [value];
  return Array.isArray(value) && value.every((v) => typeof v === 'string') ? value : undefined;
}

/** Most characters that `sprintf` makes. */
const SPRINTF_LENGTH_MAX = 65_536;

/**
 * The part of Go's fmt that is the same in every language: `%s` for strings, `%d` for integers, `%t` for booleans, `%v` for these three, `%%`. Flags, widths
 * and other verbs, and a value that does not fit its verb, fail the evaluation rather than give a text that differs from OPA's.
 */
function sprintf(format: unknown, values: unknown): string {
  if (typeof format !== 'string' || !Array.isArray(values))
    throw new BuiltinFailure('sprintf expects a string and an array');
  let next = 0;
  const out = format.replace(/%(.|$)/gsu, (_all, verb: string) => {
    if (verb === '%') return '%';
    if (next >= values.length) throw new BuiltinFailure('sprintf has more verbs than values');
    const value: unknown = values[next++];
    if ((verb === 's' || verb === 'v') && typeof value === 'string') return value;
    if ((verb === 'd' || verb === 'v') && Number.isSafeInteger(value)) return String(value);
    if ((verb === 't' || verb === 'v') && typeof value === 'boolean') return String(value);
    throw new BuiltinFailure(
      `sprintf: %${verb} does not go with ${value === null ? 'null' : typeof value} here; use %s, %d, %t or %v with a string, an integer or a boolean`,
    );
  });
  if (next < values.length) throw new BuiltinFailure('sprintf has more values than verbs');
  if (out.length > SPRINTF_LENGTH_MAX)
    throw new BuiltinFailure(`sprintf would make more than ${SPRINTF_LENGTH_MAX} characters`);
  return out;
}
