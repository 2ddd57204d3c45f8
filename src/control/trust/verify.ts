import { placeLayers } from '../oci/artifact.ts';
import type { Digest } from '../oci/digest.ts';
import { parseStrictJson } from '../oci/json.ts';
import { type Descriptor, type ImageManifest, parseManifest } from '../oci/manifest.ts';
import {
  BUNDLE_ARTIFACT,
  LAYERS,
  type LayerRole,
  OCI_MANIFEST,
  RELEASE,
  RELEASE_BYTES_MAX,
} from '../oci/media-types.ts';
import { Rejection, type ReasonCode } from '../oci/rejection.ts';
import { parseRelease, type Release } from '../oci/release.ts';
import type { ArtifactSource, FetchedManifest, SignatureCandidate } from '../oci/source.ts';
import { type KeyRole, type PreparedKey, thresholdOf, type Trust } from './policy.ts';
import {
  type Direction,
  type GatewayIdentity,
  judgeAudience,
  judgeOrder,
  type NamedBy,
  type Purpose,
  type SequenceState,
} from './rules.ts';
import { verifySigstoreBundle } from './sigstore-bundle.ts';
import { verifySimpleSignature } from './simple-signature.ts';

/** Layers fetched at once. */
const FETCHES_AT_ONCE = 2;

export interface VerifiedLayer {
  readonly role: LayerRole;
  readonly title: string;
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

export interface Signer {
  readonly keyId: string;
  readonly fingerprint: string;
}

/** A step of the verification that has been passed, for people. */
export interface VerifyStep {
  readonly name: 'root' | 'signatures' | 'release' | 'audience' | 'order' | 'layers';
  readonly sentence: string;
}

interface VerifiedContent {
  readonly digest: Digest;
  readonly manifestBytes: Uint8Array;
  readonly manifest: ImageManifest;
  readonly releaseBytes: Uint8Array;
  readonly release: Release;
  readonly layers: readonly VerifiedLayer[];
  readonly signers: readonly Signer[];
  readonly signatures: readonly SignatureCandidate[];
  readonly direction: Direction;
  readonly stale: boolean;
  readonly expiresMs: number;
}

/**
 * A bundle whose root, signatures, rules and every byte have been checked. The class is private to this file: holding one
 * is the proof.
 */
class Verified {
  readonly #byRole: ReadonlyMap<LayerRole, readonly VerifiedLayer[]>;
  readonly digest: Digest;
  readonly manifestBytes: Uint8Array;
  readonly manifest: ImageManifest;
  readonly releaseBytes: Uint8Array;
  readonly release: Release;
  readonly layers: readonly VerifiedLayer[];
  /** The distinct keys that count, in the order of the trust policy. */
  readonly signers: readonly Signer[];
  /** Their signatures, so that the bundle can be verified again from a store. */
  readonly signatures: readonly SignatureCandidate[];
  readonly direction: Direction;
  /** Its `notAfter` (or its keys') has passed, or they were revoked and it is served nevertheless: with an alarm. Never true for a new activation. */
  readonly stale: boolean;
  /** When it will be stale by its `notAfter` or by its keys', milliseconds since 1970; Infinity when never. */
  readonly expiresMs: number;

  constructor(content: VerifiedContent) {
    this.digest = content.digest;
    this.manifestBytes = content.manifestBytes;
    this.manifest = content.manifest;
    this.releaseBytes = content.releaseBytes;
    this.release = content.release;
    this.layers = content.layers;
    this.signers = content.signers;
    this.signatures = content.signatures;
    this.direction = content.direction;
    this.stale = content.stale;
    this.expiresMs = content.expiresMs;
    this.#byRole = Map.groupBy(content.layers, (layer) => layer.role);
  }

  /** The layer of a role that stands at most once. */
  layer(role: LayerRole): VerifiedLayer | undefined {
    return this.#byRole.get(role)?.[0];
  }

  /** The layers of a role, in the order of the manifest. */
  layersOf(role: LayerRole): readonly VerifiedLayer[] {
    return this.#byRole.get(role) ?? [];
  }
}

export type { Verified as VerifiedBundle };

/** Whether this really came from {@link verifyBundle}, for places that get it through an untyped channel. */
export function isVerifiedBundle(value: unknown): value is Verified {
  return value instanceof Verified;
}

export interface VerifyOptions {
  readonly trust: Trust;
  readonly sequence: SequenceState;
  readonly gateway: GatewayIdentity;
  /** Now, milliseconds since 1970. */
  readonly nowMs: number;
  readonly purpose: Purpose;
  /** Who says that it is to be taken; `tag` unless said. */
  readonly namedBy?: NamedBy;
  /** Its manifest where that has been fetched already. */
  readonly root?: FetchedManifest;
  /** Content that is already here, so that unchanged layers are not fetched again; must check digests like a source. */
  readonly cache?: { cached(descriptor: Descriptor): Promise<Uint8Array | undefined> };
  /** Of what is kept: keys that were revoked since count, and make it stale. For a gateway that would serve nothing otherwise. */
  readonly revokedCount?: boolean;
  /** Digests that were taken back, with the reason. */
  readonly quarantined?: ReadonlyMap<Digest, string>;
  readonly onStep?: (step: VerifyStep) => void;
}

/** @throws {Rejection} for one that was taken back on this gateway. */
export function refuseTakenBack(digest: Digest, quarantined: ReadonlyMap<Digest, string> | undefined): void {
  const reason = quarantined?.get(digest);
  if (reason !== undefined)
    throw new Rejection('quarantined', `it was taken back and stays out until the tag moves: ${reason}`);
}

/**
 * All checks that need no knowledge of what the layers say, cheapest first: root → signatures → release document →
 * audience → order → layers. Nothing but the root and the signatures is fetched before the signatures are verified.
 *
 * @throws {Rejection} with the reason. @throws {SourceError} when the source does not answer.
 */
export async function verifyBundle(source: ArtifactSource, digest: Digest, options: VerifyOptions): Promise<Verified> {
  const { trust, onStep } = options;
  refuseTakenBack(digest, options.quarantined);
  if (trust.policy.revokedBundles?.includes(digest) === true)
    throw new Rejection('revoked_bundle', 'the trust policy lists it under revokedBundles');

  const root = options.root ?? (await source.manifest(digest));
  const manifest = parseManifest(root.bytes, root.contentType);
  if (manifest.kind !== 'manifest')
    throw new Rejection('wrong_artifact_type', 'the tag points to an index, not to a bundle');
  if (manifest.artifactType !== BUNDLE_ARTIFACT) {
    throw new Rejection(
      'wrong_artifact_type',
      `its artifactType is ${JSON.stringify(manifest.artifactType ?? '')}, expected ${BUNDLE_ARTIFACT}`,
    );
  }
  if (manifest.config.mediaType !== RELEASE) {
    throw new Rejection('wrong_artifact_type', `its config is ${manifest.config.mediaType}, expected ${RELEASE}`);
  }
  onStep?.({
    name: 'root',
    sentence: `${digest}: ${root.bytes.byteLength} bytes, ${OCI_MANIFEST}, ${manifest.layers.length} layers`,
  });

  const signed = await verifySignatures(source, digest, 'builder', options);
  const names = signed.keys.map((key) => key.id).join(', ');
  onStep?.({
    name: 'signatures',
    sentence: `${signed.keys.length} of ${thresholdOf(trust.policy, 'builder')} needed, by ${names}`,
  });

  if (manifest.config.size > RELEASE_BYTES_MAX) {
    throw new Rejection(
      'too_large',
      `its release document declares ${manifest.config.size} bytes, at most ${RELEASE_BYTES_MAX} are taken`,
    );
  }
  const releaseBytes = await fetchBlob(source, manifest.config, options);
  const release = parseRelease(releaseBytes);
  const placed = placeLayers(manifest, release.optional ?? []);
  const expiresMs = release.notAfter === undefined ? Number.POSITIVE_INFINITY : Date.parse(release.notAfter);
  const expired = options.nowMs > expiresMs;
  if (expired && options.purpose === 'candidate')
    throw new Rejection('expired', `it may be activated until ${release.notAfter ?? ''} only`);
  onStep?.({
    name: 'release',
    sentence: `${release.product}, sequence ${release.seq}, floor ${release.floor}, created ${release.createdAt}`,
  });

  judgeAudience(release, trust.policy, options.gateway);
  onStep?.({
    name: 'audience',
    sentence: `channel ${trust.policy.channel} of ${release.audience.channels.join(', ')}`,
  });

  const direction = judgeOrder(release, digest, trust.policy, options.sequence, options.purpose, options.namedBy);
  onStep?.({
    name: 'order',
    sentence: `${direction}: epoch ${trust.policy.epoch}, highest seen ${options.sequence.highestSeq}`,
  });

  const layers = await fetchLayers(source, placed, options);
  const bytes = layers.reduce((sum, layer) => sum + layer.bytes.byteLength, 0);
  onStep?.({ name: 'layers', sentence: `${layers.length} layers, ${bytes} bytes, every digest and size as signed` });

  return new Verified({
    digest,
    manifestBytes: root.bytes,
    manifest,
    releaseBytes,
    release,
    layers,
    signers: signed.keys.map((key) => ({ keyId: key.id, fingerprint: key.fingerprint })),
    signatures: signed.signatures,
    direction,
    stale: expired || signed.keyExpired || signed.revoked,
    expiresMs: Math.min(expiresMs, signed.expiresMs),
  });
}

/** What signatures of a root say. */
export interface SignedBy {
  readonly keys: readonly PreparedKey[];
  readonly signatures: readonly SignatureCandidate[];
  readonly keyExpired: boolean;
  /** A revoked key was counted. */
  readonly revoked: boolean;
  /** From then on fewer of these keys than needed are good. */
  readonly expiresMs: number;
}

/** The key that made a signature of this manifest. @throws {Rejection} */
function verifyCandidate(candidate: SignatureCandidate, digest: Digest, keys: readonly PreparedKey[]): PreparedKey {
  return candidate.format === 'sigstore-bundle'
    ? verifySigstoreBundle(candidate.bytes, digest, keys)
    : verifySimpleSignature(candidate.bytes, candidate.signature ?? '', digest, keys);
}

/** Ids of the keys of a policy that made any of these signatures, also those that do not count any more: for people. */
export function signersOf(candidates: readonly SignatureCandidate[], digest: Digest, trust: Trust): string[] {
  const found = new Set<string>();
  for (const candidate of candidates) {
    try {
      const key = verifyCandidate(candidate, digest, trust.keys);
      found.add(key.revoked ? `${key.id}(revoked)` : key.id);
    } catch (error) {
      if (!(error instanceof Rejection)) throw error;
    }
  }
  return [...found].sort();
}

/** Counts distinct public keys, never signatures: a key that signs twice is one key. @throws {Rejection} when too few of the role have signed. */
export async function verifySignatures(
  source: ArtifactSource,
  digest: Digest,
  role: KeyRole,
  options: Pick<VerifyOptions, 'trust' | 'nowMs' | 'purpose' | 'revokedCount'>,
): Promise<SignedBy> {
  const { policy, keys: allKeys } = options.trust;
  const needed = thresholdOf(policy, role);
  const roleKeys = allKeys.filter((key) => key.roles.includes(role));
  const { candidates: found, notes: said, failure } = await source.signatures(digest);
  const notes = [...said];
  const candidates = found.filter((item) => policy.formats?.includes(item.format) !== false);
  if (found.length > candidates.length)
    notes.push(`${found.length - candidates.length} are of a format that the trust policy does not list`);
  if (candidates.length === 0 && failure !== undefined) throw failure;
  if (candidates.length === 0) throw new Rejection('unsigned', ['no signature of it was found', ...notes].join('; '));
  const good = new Map<string, { key: PreparedKey; signature: SignatureCandidate }>();
  const faults: { code: ReasonCode; sentence: string }[] = [];
  const grace = options.purpose === 'kept' && options.revokedCount === true;
  let keyExpired = false;
  for (const candidate of candidates) {
    try {
      const key = verifyCandidate(candidate, digest, roleKeys);
      if (key.revoked && !grace) throw new Rejection('revoked_key', `the key ${key.id} is revoked`);
      if (options.nowMs > key.notAfterMs) {
        if (options.purpose === 'candidate') throw new Rejection('expired_key', `the key ${key.id} has expired`);
        keyExpired = true;
      }
      if (!good.has(key.fingerprint)) good.set(key.fingerprint, { key, signature: candidate });
    } catch (error) {
      if (!(error instanceof Rejection)) throw error;
      faults.push({ code: error.code, sentence: error.message });
    }
  }
  if (good.size < needed) {
    // One more might have counted.
    if (failure !== undefined) throw failure;
    const why = faults.slice(0, 4).map((fault) => fault.sentence);
    if (good.size > 0) {
      throw new Rejection(
        'below_threshold',
        [`signed by ${good.size} of ${needed} needed ${role} keys`, ...why, ...notes].join('; '),
      );
    }
    throw new Rejection(
      worst(faults),
      [`none of its ${candidates.length} signatures counts`, ...why, ...notes].join('; '),
    );
  }
  const entries = allKeys.flatMap((key) => good.get(key.fingerprint) ?? []);
  const keys = entries.map((entry) => entry.key);
  // The threshold holds until the last but `needed - 1` of them has ended.
  const ends = keys.map((key) => key.notAfterMs).sort((a, b) => b - a);
  return {
    keys,
    signatures: entries.map((entry) => entry.signature),
    keyExpired,
    revoked: keys.some((key) => key.revoked),
    expiresMs: ends[needed - 1] ?? Number.POSITIVE_INFINITY,
  };
}

/** What says most about the cause comes first: an alien key is ordinary, a revoked key of ours is not. */
function worst(faults: readonly { code: ReasonCode }[]): ReasonCode {
  const order: readonly ReasonCode[] = ['revoked_key', 'expired_key', 'bad_signature', 'wrong_key'];
  return order.find((code) => faults.some((fault) => fault.code === code)) ?? 'bad_signature';
}

async function fetchLayers(
  source: ArtifactSource,
  placed: readonly { role: LayerRole; title: string; descriptor: Descriptor }[],
  options: VerifyOptions,
): Promise<VerifiedLayer[]> {
  const layers: VerifiedLayer[] = [];
  for (let i = 0; i < placed.length; i += FETCHES_AT_ONCE) {
    const batch = await Promise.all(
      placed.slice(i, i + FETCHES_AT_ONCE).map(async (item) => {
        const bytes = await fetchBlob(source, item.descriptor, options);
        // Only whether all parsers agree on it; what it says is the compiler's.
        if (LAYERS[item.role].json)
          parseStrictJson(bytes, { what: `layer ${item.title}`, bytesMax: LAYERS[item.role].bytesMax });
        return { ...item, bytes };
      }),
    );
    layers.push(...batch);
  }
  return layers;
}

async function fetchBlob(source: ArtifactSource, descriptor: Descriptor, options: VerifyOptions): Promise<Uint8Array> {
  return (await options.cache?.cached(descriptor)) ?? (await source.blob(descriptor));
}
