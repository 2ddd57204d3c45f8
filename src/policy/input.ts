/**
 * The input of a policy: the fields of a request that it asked for, and no others. A list of fields is compiled once into an encoder that joins text
 * (0.2 µs where stringifying an object takes 2 µs), because what an evaluation costs is mostly the length of its input: about 4 µs per KB.
 */
import { quote, toExactJsonText, toJsonText } from './json-text.ts';
import { PolicyError } from './policy-error.ts';

/** The caller's verified identity. The object is kept as a key of a weak map: a new identity must be a new object. */
export interface InputUser {
  readonly subject: string;
  readonly roles: readonly string[];
  readonly claims: Readonly<Record<string, unknown>>;
}

/** What is known of the connection by its TLS handshake; texts are empty when unknown. The object is kept as a key of a weak map: other facts must be another object. */
export interface InputTls {
  readonly version: string;
  readonly cipher: string;
  readonly serverName: string;
  readonly alpn: string;
  readonly ja4: string;
  /** The client's verified certificate. */
  readonly client: {
    readonly subject: string;
    readonly sans: readonly string[];
    readonly fingerprint: string;
  } | null;
}

/** What an encoder reads. A lane keeps one such object and points it at each request in turn. */
export interface InputSource {
  readonly method: string;
  /** Decoded once, dot segments resolved. */
  readonly path: string;
  /** Without `?`. */
  readonly query: string;
  readonly host: string;
  readonly clientAddress: string;
  /** ISO 3166-1; empty when unknown. */
  readonly clientCountry: string;
  /** Empty when unknown. */
  readonly tenant: string;
  /** Id of the route. */
  readonly route: string;
  /** Epoch ms. */
  readonly now: number;
  readonly user: InputUser | null;
  /** Null without TLS. */
  readonly tls: InputTls | null;
  /** Value by lower-case name; repeated fields joined with `, ` (RFC 9110 §5.3), cookies with `; ` (RFC 9113 §8.2.3). A claim's field: what the token says. */
  header(name: string): string | undefined;
}

/** Makes the JSON text of the input. */
export type InputEncoder = (source: InputSource) => string;

/** Reads the text of a field as it is; undefined = absent. */
export type FieldReader = (source: InputSource) => string | undefined;

/** A value as JSON text; `''` = absent, and then its key is left out. */
type Member = (source: InputSource) => string;

/** Fields with a fixed name: what they hold, and their place in the document. */
const FIELDS: Readonly<Record<string, { readonly place: readonly string[]; readonly text: Member }>> = {
  method: { place: ['method'], text: (s) => quote(s.method) },
  path: { place: ['path'], text: (s) => quote(s.path) },
  segments: { place: ['segments'], text: (s) => segments(s.path) },
  query: { place: ['query'], text: (s) => quote(s.query) },
  host: { place: ['host'], text: (s) => quote(s.host) },
  tenant: { place: ['tenant'], text: (s) => (s.tenant === '' ? '' : quote(s.tenant)) },
  route: { place: ['route'], text: (s) => quote(s.route) },
  'client.address': { place: ['client', 'address'], text: (s) => quote(s.clientAddress) },
  'client.country': {
    place: ['client', 'country'],
    text: (s) => (s.clientCountry === '' ? '' : quote(s.clientCountry)),
  },
  // As text: today's nanoseconds are beyond the integers that a double holds exactly.
  'time.now_ns': { place: ['time', 'now_ns'], text: (s) => `${Math.trunc(s.now)}000000` },
};

/** The texts behind the fields: equal texts, and the same user, give an equal input. */
const TEXTS: Readonly<Record<string, FieldReader>> = {
  method: (s) => s.method,
  path: (s) => s.path,
  query: (s) => s.query,
  host: (s) => s.host,
  tenant: (s) => s.tenant,
  route: (s) => s.route,
  'client.address': (s) => s.clientAddress,
  'client.country': (s) => (s.clientCountry === '' ? undefined : s.clientCountry),
};

/** Parts of the user: made once per identity, together. */
const USER_FIELDS: Readonly<Record<string, (user: InputUser) => string>> = {
  sub: (u) => quote(u.subject),
  role: (u) => quote(u.roles[0] ?? ''),
  roles: (u) => toJsonText(u.roles),
  claims: (u) => toExactJsonText(u.claims),
};

/** Parts of the handshake: made once per connection, together. */
const TLS_FIELDS: Readonly<Record<string, (tls: InputTls) => string>> = {
  version: (t) => t.version,
  cipher: (t) => t.cipher,
  server_name: (t) => t.serverName,
  alpn: (t) => t.alpn,
  ja4: (t) => t.ja4,
};
const TLS_CLIENT_FIELDS: Readonly<Record<string, (client: NonNullable<InputTls['client']>) => string>> = {
  subject: (c) => quote(c.subject),
  sans: (c) => toJsonText(c.sans),
  fingerprint: (c) => quote(c.fingerprint),
};
const TLS_NAMES: readonly string[] = [
  'tls',
  ...Object.keys(TLS_FIELDS).map((name) => `tls.${name}`),
  'tls.client',
  ...Object.keys(TLS_CLIENT_FIELDS).map((name) => `tls.client.${name}`),
];

const HEADER = /^headers\.([!#$%&'*+.^_`|~0-9a-z-]{1,64})$/;
const CLAIM = /^user\.claims\.(.{1,64})$/s;

/** Fields that an operator may name; `<name>` stands for a header in lower case or a claim. */
export const INPUT_FIELDS: readonly string[] = [
  ...Object.keys(FIELDS),
  'user',
  ...Object.keys(USER_FIELDS).map((name) => `user.${name}`),
  'user.claims.<name>',
  ...TLS_NAMES,
  'headers.<name>',
];

/** What is wrong with a field, or null. */
export function inputFieldProblem(field: string): string | null {
  if (Object.hasOwn(FIELDS, field) || field === 'user' || HEADER.test(field) || CLAIM.test(field)) return null;
  if (TLS_NAMES.includes(field)) return null;
  if (field.startsWith('user.') && Object.hasOwn(USER_FIELDS, field.slice(5))) return null;
  return `"${field}" is not a field of the input; there are ${INPUT_FIELDS.join(', ')}`;
}

/** Compiles a list of fields. Throws PolicyError for a field that does not exist. */
export function compileInput(policy: string, fields: readonly string[]): InputEncoder {
  for (const field of fields) {
    const problem = inputFieldProblem(field);
    if (problem !== null) throw new PolicyError('input_field', policy, problem);
  }
  const members: [string, Member][] = [];
  // In the order of the declaration, whatever the order of the list: equal lists give equal texts, which are keys of the decision cache.
  const plain = Object.entries(FIELDS).filter(([name]) => fields.includes(name));
  for (const [, { place, text }] of plain) if (place.length === 1) members.push([place[0] as string, text]);
  const user = userMember(fields);
  if (user !== null) members.push(['user', user]);
  for (const group of ['client', 'time']) {
    const inner = plain.filter(([, f]) => f.place[0] === group).map(([, f]) => [f.place[1] as string, f.text] as const);
    if (inner.length > 0) members.push([group, object(inner)]);
  }
  const tls = tlsMember(fields);
  if (tls !== null) members.push(['tls', tls]);
  const headers = [...new Set(fields.map((f) => HEADER.exec(f)?.[1]).filter((n) => n !== undefined))].sort();
  if (headers.length > 0) members.push(['headers', object(headers.map((name) => [name, headerText(name)] as const))]);
  return object(members);
}

/** Readers of all fields besides those of the user, each text once; null when the input holds more than texts and the user, as the time. */
export function fieldReaders(fields: readonly string[]): readonly FieldReader[] | null {
  const readers = new Set<FieldReader>();
  const headers = new Set<string>();
  for (const field of fields) {
    if (field === 'user' || field.startsWith('user.')) continue;
    const header = HEADER.exec(field)?.[1];
    if (header !== undefined) headers.add(header);
    else if (TLS_NAMES.includes(field)) for (const reader of tlsReaders(field)) readers.add(reader);
    // Segments are made of the path.
    else {
      const text = TEXTS[field === 'segments' ? 'path' : field];
      if (text === undefined) return null;
      readers.add(text);
    }
  }
  for (const name of headers) readers.add((source) => source.header(name));
  return [...readers];
}

function headerText(name: string): Member {
  return (source) => {
    const value = source.header(name);
    return value === undefined ? '' : quote(value);
  };
}

/** An object of members; those that are absent are left out. */
function object(members: readonly (readonly [string, Member])[]): Member {
  const keys = members.map(([key]) => `${quote(key)}:`);
  const texts = members.map(([, text]) => text);
  return (source) => {
    let out = '{';
    for (let i = 0; i < texts.length; i++) {
      const text = (texts[i] as Member)(source);
      if (text === '') continue;
      out += out.length === 1 ? keys[i] + text : `,${keys[i]}${text}`;
    }
    return `${out}}`;
  };
}

/** The user as asked for; absent when the request has no identity. */
function userMember(fields: readonly string[]): Member | null {
  const whole = fields.includes('user');
  const parts = Object.keys(USER_FIELDS).filter((name) => whole || fields.includes(`user.${name}`));
  const claims = [...new Set(fields.map((f) => CLAIM.exec(f)?.[1]).filter((n) => n !== undefined))].sort();
  const single = parts.includes('claims') ? [] : claims;
  if (parts.length === 0 && single.length === 0) return null;
  // Bounded by the lifetime of the identities, which the token cache bounds.
  const made = new WeakMap<InputUser, string>();
  return (source) => {
    const user = source.user;
    if (user === null) return '';
    const known = made.get(user);
    if (known !== undefined) return known;
    const members = parts.map((name) => `"${name}":${USER_FIELDS[name]?.(user) ?? 'null'}`);
    if (single.length > 0) members.push(`"claims":${claimsText(user, single)}`);
    const text = `{${members.join(',')}}`;
    made.set(user, text);
    return text;
  };
}

function claimsText(user: InputUser, names: readonly string[]): string {
  const present = names.filter((name) => Object.hasOwn(user.claims, name));
  return `{${present.map((name) => `${quote(name)}:${toExactJsonText(user.claims[name])}`).join(',')}}`;
}

/** What was asked for of the handshake; absent without TLS. */
function tlsMember(fields: readonly string[]): Member | null {
  const asked = (name: string, ...within: readonly string[]): boolean =>
    [name, ...within].some((field) => fields.includes(field));
  const parts = Object.keys(TLS_FIELDS).filter((name) => asked(`tls.${name}`, 'tls'));
  const client = Object.keys(TLS_CLIENT_FIELDS).filter((name) => asked(`tls.client.${name}`, 'tls.client', 'tls'));
  if (parts.length === 0 && client.length === 0) return null;
  // Bounded by the lifetime of the connections.
  const made = new WeakMap<InputTls, string>();
  return (source) => {
    const tls = source.tls;
    if (tls === null) return '';
    const known = made.get(tls);
    if (known !== undefined) return known;
    const members: string[] = [];
    for (const name of parts) {
      const text = TLS_FIELDS[name]?.(tls) ?? '';
      if (text !== '') members.push(`"${name}":${quote(text)}`);
    }
    const shown = tls.client;
    if (shown !== null && client.length > 0)
      members.push(
        `"client":{${client.map((name) => `"${name}":${TLS_CLIENT_FIELDS[name]?.(shown) ?? '""'}`).join(',')}}`,
      );
    const text = `{${members.join(',')}}`;
    made.set(tls, text);
    return text;
  };
}

const hasTls: FieldReader = (source) => (source.tls === null ? undefined : '');
/** All that is known of a certificate follows from its digest. */
const certificate: FieldReader = (source) => source.tls?.client?.fingerprint;
const TLS_TEXTS: Readonly<Record<string, FieldReader>> = Object.fromEntries(
  Object.entries(TLS_FIELDS).map(([name, text]) => [
    `tls.${name}`,
    (source: InputSource) => (source.tls === null ? undefined : text(source.tls)),
  ]),
);

/** The texts behind a field of the handshake. */
function tlsReaders(field: string): readonly FieldReader[] {
  const text = TLS_TEXTS[field];
  if (text !== undefined) return [text];
  return field === 'tls' ? [certificate, ...Object.values(TLS_TEXTS)] : [hasTls, certificate];
}

/** Segments between the slashes of a path, without empty ones: `/api//orders/` gives `["api","orders"]`. */
function segments(path: string): string {
  let out = '[';
  for (let from = 0; from < path.length; ) {
    const slash = path.indexOf('/', from);
    const to = slash < 0 ? path.length : slash;
    if (to > from) out += out.length === 1 ? quote(path.slice(from, to)) : `,${quote(path.slice(from, to))}`;
    from = to + 1;
  }
  return `${out}]`;
}
