/** The trust policy: whose signatures make a bundle believable. Local, never from the registry; followed while the gateway runs. */
import Type, { type Static } from 'typebox';
import { closed, Id, Labels, Time, word } from './fields.ts';

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
    status: word(
      ['active', 'revoked'],
      'A revoked key is never believed; what only revoked keys have signed is not served again after a restart.',
      'active',
    ),
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
    promoterThreshold: Type.Integer({
      minimum: 1,
      maximum: 8,
      default: 1,
      description: 'Distinct promoter keys that must have signed a channel index.',
    }),
    formats: Type.Array(word(['sigstore-bundle', 'cosign-simple'], 'Format.'), {
      default: ['sigstore-bundle', 'cosign-simple'],
      minItems: 1,
      maxItems: 2,
      description:
        'Signatures that are read: sigstore-bundle = what this gateway and cosign 3 write; cosign-simple = the `.sig` tags of cosign 1 and 2.',
    }),
    rollback: word(
      ['tag', 'endorsed'],
      'tag = an older signed bundle above the floor may be activated again; endorsed = never.',
      'tag',
    ),
    channelIndex: word(
      ['optional', 'required'],
      'optional = the tag may name a bundle, or a channel index that promoters have signed; required = only an index, so that builders alone roll nothing out.',
      'optional',
    ),
    minSeq: Type.Integer({
      minimum: 0,
      maximum: 9_007_199_254_740_991,
      default: 0,
      description: 'Lowest sequence number accepted.',
    }),
    revokedBundles: Type.Array(
      Type.String({
        pattern: '^sha256:[0-9a-f]{64}$',
        description: 'Digest of a bundle.',
        examples: [`sha256:${'0'.repeat(64)}`],
      }),
      {
        default: [],
        maxItems: 256,
        description: 'Bundles that are never taken, whoever signed them; not served again after a restart either.',
      },
    ),
    serveRevoked: Type.Boolean({
      default: false,
      description:
        'After a restart go on with the kept bundle although its keys were revoked since, with an alarm, where there is no other: availability before revocation.',
    }),
    labels: Labels('Labels of this gateway, such as region or cell; a bundle may select by them.'),
  },
  'Whose signatures are believed.',
);
export type TrustConfig = Static<typeof TrustConfig>;
