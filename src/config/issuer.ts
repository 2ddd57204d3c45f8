/** Issuers: whose tokens are believed, and what of them goes upstream. */
import Type, { type Static } from 'typebox';
import { Bytes, closed, HeaderName, Id, Ms, SecretName, word } from './fields.ts';

export const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
  'HS256',
  'HS384',
  'HS512',
] as const;

export const IssuerConfig = closed(
  {
    id: Id('Name of the issuer, unique in the bundle.'),
    issuer: Type.String({ minLength: 1, maxLength: 1024, description: 'Exact value of the claim `iss`.' }),
    audiences: Type.Array(Type.String({ minLength: 1, maxLength: 1024, description: 'Audience.' }), {
      minItems: 1,
      maxItems: 32,
      description: 'Accepted values of `aud`; one is enough.',
    }),
    algorithms: Type.Array(word([...ALGORITHMS], 'Algorithm.'), {
      minItems: 1,
      maxItems: 8,
      description: 'Pinned signature algorithms (RFC 8725 §3.1). HMAC cannot be mixed with the others.',
    }),
    jwks: Type.Optional(
      Type.Object(
        {
          keys: Type.Array(
            Type.Object({}, { additionalProperties: true, description: 'A public key (RFC 7517 §4).' }),
            {
              minItems: 1,
              maxItems: 64,
              description: 'The keys.',
            },
          ),
        },
        {
          additionalProperties: false,
          description: 'Inline keys (RFC 7517); public ones only.',
        },
      ),
    ),
    jwksUrl: Type.Optional(
      Type.String({
        pattern: '^https?://',
        examples: ['https://id.example.com/jwks.json'],
        maxLength: 2048,
        description: 'Where keys are fetched; `http:` only on loopback.',
      }),
    ),
    hmacSecret: Type.Optional(SecretName),
    refreshMs: Ms('Time between refreshes of fetched keys.', 10_000, 86_400_000, 300_000),
    cooldownMs: Ms('Shortest time between refetches for an unknown `kid`.', 1_000, 3_600_000, 30_000),
    clockSkewSeconds: Type.Integer({
      minimum: 0,
      maximum: 300,
      default: 30,
      description: 'Tolerance for exp, nbf and iat. Unit: seconds.',
    }),
    tokenBytesMax: Bytes('Longest accepted token.', 256, 32_768, 8_192),
    requiredClaims: Type.Array(Type.String({ minLength: 1, maxLength: 128, description: 'Claim.' }), {
      default: [],
      maxItems: 16,
      description: 'Claims that must be there besides `exp`, which always must.',
    }),
    rolesClaim: Type.String({
      default: 'roles',
      maxLength: 128,
      description: 'Claim that holds the roles; dots descend.',
    }),
    claimHeaders: Type.Record(Type.String(), HeaderName, {
      default: {},
      description: 'Claim → request header for the upstream. Copies sent by clients are always removed.',
    }),
  },
  'An issuer. Exactly one of jwks, jwksUrl, hmacSecret.',
);
export type IssuerConfig = Static<typeof IssuerConfig>;

export const IssuersConfig = closed(
  { issuers: Type.Array(IssuerConfig, { maxItems: 64, description: 'All issuers.' }) },
  '`issuers.yaml`: whose tokens are believed.',
);
export type IssuersConfig = Static<typeof IssuersConfig>;
