/** Making, signing and copying channel indexes: what promoters do, by hand or in CI. */
import type { KeyObject } from 'node:crypto';
import type { Digest } from '../oci/digest.ts';
import { type Descriptor, parseManifest } from '../oci/manifest.ts';
import { CHANNEL_ARTIFACT, OCI_INDEX } from '../oci/media-types.ts';
import {
  type ArtifactPlace,
  artifactsOf,
  copyBundle,
  readReleaseUnverified,
  readRoot,
  signRoot,
} from '../oci/publish.ts';
import { Rejection } from '../oci/rejection.ts';
import type { ArtifactSink, ArtifactSource, FetchedManifest } from '../oci/source.ts';
import { gatewayIdentity } from '../trust/gateway.ts';
import type { Trust } from '../trust/policy.ts';
import { EMPTY_SEQUENCE } from '../trust/rules.ts';
import { type VerifiedBundle, verifyBundle } from '../trust/verify.ts';
import {
  assembleChannelIndex,
  type ChannelEntry,
  type ChannelIndex,
  type ChannelRule,
  isChannelIndex,
  parseChannelIndex,
} from './document.ts';
import { type VerifiedChannel, verifyChannel } from './verify.ts';

/** What a tag names now, as far as the trust policy believes it. */
export type Current =
  | { readonly state: 'missing' }
  | { readonly state: 'bundle'; readonly digest: Digest }
  | { readonly state: 'index'; readonly digest: Digest; readonly channel: VerifiedChannel };

/**
 * What the tag of a channel names. An index must verify, for the next one is made from it; that it has ended does not matter, for that is why there is a next one.
 * @throws {Rejection} @throws {SourceError}
 */
export async function currentOf(place: ArtifactSource, tag: string, trust: Trust, nowMs: number): Promise<Current> {
  const resolution = await place.resolve(tag);
  if (resolution.state !== 'found') return { state: 'missing' };
  const { digest } = resolution;
  const root = await place.manifest(digest);
  if (!isIndexRoot(root)) return { state: 'bundle', digest };
  const { seq, epoch } = parseChannelIndex(root.bytes, root.contentType);
  const known = { seq, epoch: Math.min(epoch, trust.policy.epoch), digest };
  return { state: 'index', digest, channel: await verifyChannel(place, digest, root, { trust, nowMs, known }) };
}

/** Whether what was fetched is a channel index. @throws {Rejection} when it is no manifest at all. */
export function isIndexRoot(root: FetchedManifest): boolean {
  return isChannelIndex(parseManifest(root.bytes, root.contentType));
}

/** The index as its descriptor says it, unverified: for people. @throws {Rejection} @throws {SourceError} */
export async function readChannelUnverified(source: ArtifactSource, digest: Digest): Promise<ChannelIndex> {
  const { bytes, contentType } = await source.manifest(digest);
  return parseChannelIndex(bytes, contentType);
}

/**
 * A bundle that may stand in an index: promoters name nothing that builders have not signed for this product and channel. Labels that it selects by are taken as given.
 * @throws {Rejection} @throws {SourceError}
 */
export async function bundleFor(
  place: ArtifactSource,
  digest: Digest,
  trust: Trust,
  nowMs: number,
): Promise<VerifiedBundle> {
  const { audience } = await readReleaseUnverified(place, digest);
  const { policy, keys } = trust;
  return verifyBundle(place, digest, {
    trust: { keys, policy: { ...policy, labels: {} } },
    sequence: { ...EMPTY_SEQUENCE, epoch: policy.epoch },
    gateway: gatewayIdentity(audience.selector),
    nowMs,
    purpose: 'candidate',
  });
}

/** An entry of an index for a bundle of this place. @throws {Rejection} when it is none. */
export async function entryFor(place: ArtifactSource, digest: Digest, rule: ChannelRule): Promise<ChannelEntry> {
  return { digest, size: (await readRoot(place, digest)).descriptor.size, rule };
}

/** Writes an index, signs it with each key and then points the tag to it. Resolves with its digest. */
export async function publishChannel(
  place: ArtifactPlace,
  index: ChannelIndex,
  keys: readonly KeyObject[],
  tag: string,
): Promise<Digest> {
  const { bytes, descriptor } = assembleChannelIndex(index);
  await place.putManifest(bytes, descriptor);
  for (const key of keys) await signRoot(place, descriptor, key);
  await place.putManifest(bytes, descriptor, tag);
  return descriptor.digest;
}

/** Adds a signature. False: this key had signed it before. @throws {Rejection} when it is no index. */
export async function signChannel(place: ArtifactPlace, digest: Digest, key: KeyObject): Promise<boolean> {
  return signRoot(place, (await readIndexRoot(place, digest)).descriptor, key);
}

/** Copies an index with its signatures, and each bundle that it names with its own; the tag moves last. Resolves with the number of signatures. */
export async function copyChannel(
  from: ArtifactSource,
  to: ArtifactSink,
  digest: Digest,
  tag: string,
): Promise<number> {
  const { bytes, descriptor } = await readIndexRoot(from, digest);
  const index = parseChannelIndex(bytes);
  let signatures = 0;
  for (const bundle of new Set(index.entries.map((entry) => entry.digest)))
    signatures += await copyBundle(from, to, bundle);
  await to.putManifest(bytes, descriptor);
  const { candidates } = await from.signatures(digest);
  for (const artifact of artifactsOf(candidates)) await to.putSignature(descriptor, artifact);
  await to.putManifest(bytes, descriptor, tag);
  return signatures + candidates.length;
}

async function readIndexRoot(
  source: ArtifactSource,
  digest: Digest,
): Promise<{ readonly bytes: Uint8Array; readonly descriptor: Descriptor }> {
  const root = await source.manifest(digest);
  if (!isIndexRoot(root)) throw new Rejection('wrong_artifact_type', `${digest} is no channel index`);
  const { bytes } = root;
  return {
    bytes,
    descriptor: { mediaType: OCI_INDEX, digest, size: bytes.byteLength, artifactType: CHANNEL_ARTIFACT },
  };
}
