/** Edits of header fields: those that are the same for every request, and those whose values are made for each. */
import type { HeaderEditsConfig } from '../../config/fields.ts';
import type { HeaderEdits } from '../../snapshot/route-plans.ts';
import type { MadeEdits, MadeField, TextPart } from '../../snapshot/variables.ts';
import type { Report } from './report.ts';
import type { SecretReader } from './secrets.ts';
import { isLiteral, literalOf, partsOf } from './variables.ts';

/**
 * Edits of one direction that a bundle may ask for, claims' headers included: beyond its own bound a transport would leave some undone, and a client's copy
 * of a field would pass. The gateway needs up to 16 for itself.
 */
export const EDITS_MAX = 48;
/** Field names (RFC 9110 §5.1). */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
/** What a secret may hold to become a field value. */
const FIELD_VALUE = /^[\x20-\x7e\t]{1,4096}$/;
/** Fields that belong to a connection or to the framing of a message (RFC 9110 §7.6.1): no edit may touch them. */
const UNTOUCHABLE = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Fields that are no lists (RFC 9110 §5.3): joined, they would mean something else. */
const NO_LISTS = new Set(['set-cookie', 'content-type', 'location', 'authorization', 'date', 'etag', 'age']);

export interface EditsInput {
  readonly secret: SecretReader;
  readonly report: Report;
}

export interface CompiledEdits {
  readonly fixed: HeaderEdits;
  readonly made: MadeEdits | null;
  /** All names that are edited, lower-case. */
  readonly named: ReadonlySet<string>;
  /** Those whose fields an upstream's own do not stand beside. */
  readonly replaced: ReadonlySet<string>;
}

type Kind = 'set' | 'setIfAbsent' | 'append' | 'add' | 'setSecret';
const KINDS = ['set', 'setSecret', 'setIfAbsent', 'append', 'add'] as const;

export function tooManyEdits(
  others: { readonly count: number; readonly whose: string },
  config: HeaderEditsConfig | undefined,
  path: string,
  report: Report,
): void {
  const edits = KINDS.reduce((sum, kind) => sum + Object.keys(config?.[kind] ?? {}).length, config?.remove.length ?? 0);
  if (others.count + edits <= EDITS_MAX) return;
  const more = others.count === 0 ? '' : `, and ${others.whose}`;
  report('routes', path, `${edits} fields are edited here${more}; at most ${EDITS_MAX} are possible together`);
}

/** `path`: JSON Pointer of the edits in the routes. */
export function compileEdits(
  config: HeaderEditsConfig | undefined,
  direction: 'request' | 'answer',
  path: string,
  input: EditsInput,
): CompiledEdits {
  if (config === undefined)
    return { fixed: { set: [], add: [], remove: [] }, made: null, named: new Set(), replaced: new Set() };
  const { report } = input;
  for (const [i, name] of config.remove.entries()) checkName(name, `${path}/remove/${i}`, report);
  const remove = config.remove.map((name) => name.toLowerCase());
  twice(config, remove, path, report);
  const fields = (kind: Kind): MadeField[] => fieldsOf(config, kind, path, input);
  const set = [...fields('set'), ...fields('setSecret')];
  const absent = fields('setIfAbsent');
  const append = fields('append');
  const add = fields('add');
  const byEndpoint = set.some((field) => namesEndpoint(field.parts));
  const madeSet = set.filter((field) => !isLiteral(field.parts));
  // What is added to a field must come after what sets it.
  const isMadeAdd = (field: MadeField): boolean =>
    !isLiteral(field.parts) || madeSet.some((other) => other.name === field.name);
  // Whether a request has a field is known when it is here; whether an answer has one the transport sees.
  const isMade = (field: MadeField): boolean => direction === 'request' || !isLiteral(field.parts);
  const made: MadeEdits = {
    set: madeSet,
    absent: absent.filter(isMade),
    append: append.filter(isMade),
    add: add.filter(isMadeAdd),
    byEndpoint,
  };
  const literal = (list: readonly MadeField[], taken: readonly MadeField[]): string[] =>
    list.filter((field) => !taken.includes(field)).flatMap((field) => [field.name, literalOf(field.parts) ?? '']);
  const absentFixed = literal(absent, made.absent);
  const appendFixed = literal(append, made.append);
  return {
    fixed: {
      remove,
      set: literal(set, made.set),
      add: literal(add, made.add),
      ...(absentFixed.length > 0 ? { absent: absentFixed } : {}),
      ...(appendFixed.length > 0 ? { append: appendFixed } : {}),
    },
    made: made.set.length + made.absent.length + made.append.length + made.add.length > 0 ? made : null,
    named: new Set([...remove, ...[...set, ...absent, ...append].map((field) => field.name)]),
    replaced: new Set([...remove, ...[...set, ...absent].map((field) => field.name)]),
  };
}

function fieldsOf(config: HeaderEditsConfig, kind: Kind, path: string, input: EditsInput): MadeField[] {
  const { report } = input;
  return Object.entries(config[kind]).map(([written, text]) => {
    const at = `${path}/${kind}/${pointer(written)}`;
    checkName(written, at, report);
    const name = written.toLowerCase();
    if (kind === 'append' && NO_LISTS.has(name))
      report('routes', at, `"${written}" holds no list; take \`set\`, or \`add\` for another field line`);
    const parts = kind === 'setSecret' ? [secretValue(text, at, input)] : valueParts(text, kind, at, report);
    return { name, parts };
  });
}

function valueParts(text: string, kind: Kind, at: string, report: Report): readonly TextPart[] {
  const parts = partsOf(text, (message) => report('routes', at, message));
  if (kind !== 'set' && namesEndpoint(parts))
    report('routes', at, 'another attempt may go to another endpoint, so `${endpoint}` can only be `set`');
  return parts;
}

function namesEndpoint(parts: readonly TextPart[]): boolean {
  return parts.some((part) => typeof part !== 'string' && part.from === 'endpoint');
}

function secretValue(name: string, at: string, { secret, report }: EditsInput): string {
  const value = secret('routes', at, name);
  if (value !== '' && !FIELD_VALUE.test(value)) {
    report('routes', at, `the secret "${name}" holds what a header field cannot: line breaks or bytes beyond ASCII`);
  }
  return value;
}

/** Two edits of one name that say different things; `remove` before `set`, and `set` before `add`, make sense. */
function twice(config: HeaderEditsConfig, remove: readonly string[], path: string, report: Report): void {
  const seen = new Map<string, string>(remove.map((name) => [name, 'remove']));
  for (const kind of KINDS) {
    for (const written of Object.keys(config[kind])) {
      const name = written.toLowerCase();
      const before = seen.get(name);
      const sense = before === undefined || (before === 'remove' && kind !== 'setIfAbsent' && kind !== 'append');
      if (!sense && !(kind === 'add' && before.startsWith('set') && before !== 'setIfAbsent'))
        report(
          'routes',
          `${path}/${kind}/${pointer(written)}`,
          `\`${before}\` says something else of "${written}"; keep one of them`,
        );
      seen.set(name, kind);
    }
  }
}

function checkName(name: string, path: string, report: Report): void {
  if (!TOKEN.test(name)) report('routes', path, `"${name}" is not a header field name`);
  else if (UNTOUCHABLE.has(name.toLowerCase())) {
    report(
      'routes',
      path,
      `"${name}" belongs to the connection or the framing and cannot be edited${name.toLowerCase() === 'host' ? '; see respond.host' : ''}`,
    );
  }
}

/** A name as a part of a JSON Pointer (RFC 6901 §3). */
function pointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}
