/** Limits: how many requests a key may make. */
import Type, { type Static } from 'typebox';
import { closed, Id, Ms, word } from './fields.ts';

export const LimitConfig = closed(
  {
    id: Id('Name of the limit; its buckets outlive bundles by it.'),
    key: Type.Array(
      Type.String({
        pattern: '^(address|country|tenant|route|host|ja4|certificate|claim:.{1,128}|header:[A-Za-z0-9-]{1,128})$',
        description: 'address, country, tenant, route, host, ja4, certificate, claim:<name> or header:<name>.',
        examples: ['address', 'claim:sub'],
      }),
      {
        minItems: 1,
        maxItems: 4,
        description:
          'What is counted apart: address (IPv6 by /64), country (of the address), tenant, route, host, ja4 (fingerprint of the TLS client), certificate (fingerprint of the client certificate), claim:<name>, header:<name>; several make a tuple. Where a request lacks a part (no tenant, claim, header, certificate), the address of its client counts instead, apart from values of the same text.',
      },
    ),
    requests: Type.Integer({
      minimum: 1,
      maximum: 1_000_000_000,
      description: 'Requests in a window, evenly spaced (GCRA).',
    }),
    windowMs: Ms('The window.', 1, 86_400_000, 1_000),
    burst: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1_000_000_000, description: 'Requests at once; `requests` unless given.' }),
    ),
    mode: word(['enforce', 'detect'], 'detect counts and never refuses.', 'enforce'),
  },
  'A limit.',
);
export type LimitConfig = Static<typeof LimitConfig>;

export const LimitsConfig = closed(
  { limits: Type.Array(LimitConfig, { maxItems: 1_000, description: 'All limits.' }) },
  '`limits.yaml`: how many requests a key may make.',
);
export type LimitsConfig = Static<typeof LimitsConfig>;
