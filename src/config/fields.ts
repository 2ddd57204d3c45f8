/** Kinds of values that several parts of the configuration use; each says its bounds once. */
import Type, { type Static, type TSchema } from 'typebox';
import { CALENDAR_FORMAT, TIME_PATTERN } from './time.ts';

/** An object that accepts no key but those declared. `absent`: what it is when it is not written. */
export function closed<P extends Record<string, TSchema>>(properties: P, description: string, absent?: object) {
  return Type.Object(properties, {
    additionalProperties: false,
    description,
    ...(absent === undefined ? {} : { default: absent }),
  });
}

/** One of some words. */
export function word<const T extends string[]>(values: [...T], description: string, fallback?: T[number]) {
  return Type.Enum(values, fallback === undefined ? { description } : { description, default: fallback });
}

/** What names of things look like; those that are keys of a mapping are checked apart. */
export const NAME = '^[a-z0-9][a-z0-9._-]{0,62}$';

/** Name of a thing that other parts refer to. */
export const Id = (description: string) => Type.String({ pattern: NAME, description, examples: ['orders-v2'] });

/** HTTP header field name (RFC 9110 §5.1), written in any case. */
export const HeaderName = Type.String({
  pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$",
  description: 'Header field name.',
  examples: ['x-request-source'],
});

/** HTTP header field value (RFC 9110 §5.5) without control characters. */
export const HeaderValue = Type.String({
  pattern: '^[\\x20-\\x7e\\x80-\\xff\\t]*$',
  maxLength: 4096,
  description: 'Header field value, without line breaks and control characters.',
});

/** Milliseconds, with the bounds that make sense for the field. */
export const Ms = (description: string, minimum: number, maximum: number, fallback: number) =>
  Type.Integer({ minimum, maximum, default: fallback, description: `${description} Unit: milliseconds.` });

/** Bytes. */
export const Bytes = (description: string, minimum: number, maximum: number, fallback: number) =>
  Type.Integer({ minimum, maximum, default: fallback, description: `${description} Unit: bytes.` });

/** A network in CIDR notation. */
export const Cidr = Type.String({
  pattern: '^[0-9A-Fa-f.:]+/[0-9]{1,3}$',
  description: 'Network in CIDR notation.',
  examples: ['10.0.0.0/8'],
});

/** `host:port`; IPv6 in brackets. */
export const HostPort = Type.String({
  pattern: '^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]+):[0-9]{1,5}$',
  description: 'Host and port; IPv6 in brackets.',
  examples: ['10.0.0.7:8080', '[::1]:8080'],
});

/** Name of a secret; only the bootstrap says where it comes from. */
export const SecretName = Type.String({
  pattern: NAME,
  description: 'Name of a secret that the bootstrap maps to `env:` or `file:`.',
  examples: ['session-key'],
});

/** Where a secret is, in the bootstrap only. */
export const SecretPlace = (description: string) =>
  Type.String({
    pattern: '^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$',
    maxLength: 4_096,
    description: `${description}: \`env:NAME\` or \`file:PATH\`.`,
    examples: ['env:SESSION_KEY', 'file:secrets/session-key'],
  });

/** Secrets by the names that a bundle may use. */
export const SecretPlaces = Type.Record(Type.String(), SecretPlace('Where the secret is'), {
  default: {},
  description: 'Name that a bundle may use → `env:NAME` or `file:PATH`.',
});

/** What a thing is, for selectors: label → value. */
export const Labels = (description: string) =>
  Type.Record(
    Type.String(),
    Type.String({ minLength: 1, maxLength: 128, description: 'Value of the label.', examples: ['eu'] }),
    { default: {}, maxProperties: 16, description },
  );

/** A point in time. */
export const Time = (description: string) =>
  Type.String({
    pattern: TIME_PATTERN,
    format: CALENDAR_FORMAT,
    maxLength: 40,
    description: `${description} A UTC date or time (RFC 3339).`,
    examples: ['2027-01-01', '2027-01-01T12:00:00Z'],
  });

/** A path on this machine, in the bootstrap only. */
export const LocalPath = (description: string) => Type.String({ minLength: 1, maxLength: 4_096, description });

export const HeaderEditsConfig = closed(
  {
    set: Type.Record(Type.String(), HeaderValue, {
      default: {},
      description: 'Fields to set; replaces those of that name.',
    }),
    setIfAbsent: Type.Record(Type.String(), HeaderValue, {
      default: {},
      description: 'Fields to set unless the message has one of that name.',
    }),
    append: Type.Record(Type.String(), HeaderValue, {
      default: {},
      description: 'Members to add to the list that a field holds: `a` becomes `a, b`.',
    }),
    add: Type.Record(Type.String(), HeaderValue, {
      default: {},
      description: 'Fields to add, beside those of that name.',
    }),
    remove: Type.Array(HeaderName, { default: [], maxItems: 64, description: 'Fields to remove.' }),
    setSecret: Type.Record(Type.String(), SecretName, {
      default: {},
      description: 'Fields to set to the value of a secret.',
    }),
  },
  'Edits of header fields, in the order remove, set, setIfAbsent, append, add. Values may hold variables such as `${address}` (answers.md); a field whose value comes out empty is not sent.',
);
export type HeaderEditsConfig = Static<typeof HeaderEditsConfig>;
