/** The trust policy: whose signatures make a bundle believable. Local, never from the registry. */
import Type, { type Static } from 'typebox';
import { closed, Id, Time, word } from './fields.ts';

export const TrustKeyConfig = closed(
  {
    id: Id('Name of the key, for logs.'),
    spki: Type.String({
      pattern: '^[A-Za-z0-9+/]{40,4094}={0,2}$',
      maxLength: 4_096,
      description: 'Public key: base64 of the DER SubjectPublicKeyInfo.',
    }),
    alg: word(['ecdsa-p256', 'ed25519'], 'Algorithm; pinned, never taken from the signature.'),
    roles: Type.Array(word(['builder', 'promoter'], 'Role.'), {
      minItems: 1,
      maxItems: 2,
      description: 'What the key may sign: bundles (builder), channel indexes (promoter).',
    }),
    notAfter: Type.Optional(Time('Not believed after this time.')),
    status: word(['active', 'revoked'], 'A revoked key is never believed.', 'active'),
  },
  'A key.',
);

export const TrustConfig = closed(
  {
    product: Id('Product that this gateway runs.'),
    channel: Id('Channel that this gateway runs.'),
    epoch: Type.Integer({
      minimum: 0,
      maximum: 1_000_000,
      default: 0,
      description: 'Raised after a compromise: resets the highest sequence number seen.',
    }),
    keys: Type.Array(TrustKeyConfig, { minItems: 1, maxItems: 8, description: 'Trusted keys.' }),
    threshold: Type.Integer({
      minimum: 1,
      maximum: 8,
      default: 1,
      description: 'Distinct builder keys that must have signed.',
    }),
    rollback: word(
      ['tag', 'endorsed'],
      'tag = an older signed bundle above the floor may be activated again; endorsed = never.',
      'tag',
    ),
    minSeq: Type.Integer({
      minimum: 0,
      maximum: 9_007_199_254_740_991,
      default: 0,
      description: 'Lowest sequence number accepted.',
    }),
  },
  'Whose signatures are believed.',
);
export type TrustConfig = Static<typeof TrustConfig>;
