/** Kinds of values that several parts of the configuration use; each says its bounds once. */
import Type, { type Static, type TSchema } from 'typebox';

/** An object that accepts no key but those declared. */
export function closed<P extends Record<string, TSchema>>(properties: P, description: string) {
  return Type.Object(properties, { additionalProperties: false, description });
}

/** One of some words. */
export function word<const T extends string[]>(values: [...T], description: string, fallback?: T[number]) {
  return Type.Enum(values, fallback === undefined ? { description } : { description, default: fallback });
}

/** Name of a thing that other parts refer to. */
export const Id = (description: string) =>
  Type.String({ pattern: '^[a-z0-9][a-z0-9._-]{0,62}$', description, examples: ['orders'] });

/** HTTP header field name (RFC 9110 §5.1), written in any case. */
export const HeaderName = Type.String({
  pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$",
  description: 'Header field name',
});

/** HTTP header field value (RFC 9110 §5.5) without control characters. */
export const HeaderValue = Type.String({
  pattern: '^[\\x20-\\x7e\\x80-\\xff\\t]*$',
  maxLength: 4096,
  description: 'Header field value',
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
  description: 'Network in CIDR notation',
  examples: ['10.0.0.0/8'],
});

/** `host:port`; IPv6 in brackets. */
export const HostPort = Type.String({
  pattern: '^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]+):[0-9]{1,5}$',
  description: 'Host and port; IPv6 in brackets',
  examples: ['10.0.0.7:8080', '[::1]:8080'],
});

/** Name of a secret; only the bootstrap says where it comes from. */
export const SecretName = Type.String({
  pattern: '^[a-z0-9][a-z0-9._-]{0,62}$',
  description: 'Name of a secret that the bootstrap maps to `env:` or `file:`',
});

export const HeaderEditsConfig = closed(
  {
    set: Type.Record(Type.String(), HeaderValue, {
      default: {},
      description: 'Fields to set; replaces those of that name.',
    }),
    add: Type.Record(Type.String(), HeaderValue, { default: {}, description: 'Fields to add.' }),
    remove: Type.Array(HeaderName, { default: [], maxItems: 64, description: 'Fields to remove.' }),
    setSecret: Type.Record(Type.String(), SecretName, {
      default: {},
      description: 'Fields to set to the value of a secret.',
    }),
  },
  'Edits of header fields, in the order remove, set, add.',
);
export type HeaderEditsConfig = Static<typeof HeaderEditsConfig>;
