import type { KeyObject } from 'node:crypto';
import { signingKey } from '../trust/policy.ts';
import { makeSigstoreBundle, verifySigstoreBundle } from '../trust/sigstore-bundle.ts';
import { type AssembledBundle, assembleSignature, type SignatureArtifact } from './artifact.ts';
import type { Digest } from './digest.ts';
import { type Descriptor, type ImageIndex, type ImageManifest, parseManifest } from './manifest.ts';
import { BUNDLE_ARTIFACT, CHANNEL_ARTIFACT, OCI_MANIFEST, RELEASE } from './media-types.ts';
import { Rejection, SourceError } from './rejection.ts';
import { parseRelease, type Release } from './release.ts';
import {
  type ArtifactList,
  type ArtifactSink,
  type ArtifactSource,
  type SignatureCandidate,
  TAGS_MAX,
} from './source.ts';

/** A place that can be read and written: a layout or a registry. */
export type ArtifactPlace = ArtifactSource & ArtifactSink & ArtifactList;

/**
 * Writes an assembled bundle. Sign it before the tag moves where gateways poll: they wait for the signature (state
 * `pending_signature`), but that costs them a poll.
 */
export async function publishBundle(sink: ArtifactSink, bundle: AssembledBundle, tag?: string): Promise<void> {
  for (const blob of bundle.blobs.values()) await sink.putBlob(blob);
  await sink.putManifest(bundle.manifest, bundle.descriptor, tag);
}

/**
 * Signs a bundle that is there already and puts the signature beside it.
 * @returns false when this key had signed it before: nothing is added then.
 */
export async function signBundle(place: ArtifactPlace, digest: Digest, privateKey: KeyObject): Promise<boolean> {
  return signRoot(place, (await readRoot(place, digest)).descriptor, privateKey);
}

/** The same for any manifest that is there. */
export async function signRoot(place: ArtifactPlace, subject: Descriptor, privateKey: KeyObject): Promise<boolean> {
  const { digest } = subject;
  const { candidates } = await place.signatures(digest);
  if (candidates.some((candidate) => isSignedWith(candidate, digest, privateKey))) return false;
  await place.putSignature(subject, assembleSignature(subject, makeSigstoreBundle(privateKey, digest)));
  return true;
}

function isSignedWith(candidate: SignatureCandidate, digest: Digest, privateKey: KeyObject): boolean {
  if (candidate.format !== 'sigstore-bundle') return false;
  try {
    verifySigstoreBundle(candidate.bytes, digest, [signingKey('own', privateKey)]);
    return true;
  } catch (error) {
    if (error instanceof Rejection) return false;
    throw error;
  }
}

/** What a reference points to. @throws {SourceError} `not_found`. */
export async function resolveDigest(source: ArtifactSource, reference: string): Promise<Digest> {
  const resolution = await source.resolve(reference);
  if (resolution.state !== 'found')
    throw new SourceError('not_found', `${source.name} has no ${JSON.stringify(reference)}`);
  return resolution.digest;
}

/** The release document of a bundle, read without any signature: for builders and for people, never for a gateway. */
export async function readReleaseUnverified(source: ArtifactSource, digest: Digest): Promise<Release> {
  const { bytes, contentType } = await source.manifest(digest);
  return releaseOf(source, digest, parseManifest(bytes, contentType));
}

async function releaseOf(source: ArtifactSource, digest: Digest, root: ImageManifest | ImageIndex): Promise<Release> {
  if (root.kind !== 'manifest' || root.config.mediaType !== RELEASE)
    throw new Rejection('wrong_artifact_type', whatItIs(digest, root));
  return parseRelease(await source.blob(root.config));
}

/**
 * Copies a bundle with its signatures, byte for byte; the tag, if any, moves last, when both are there.
 * @returns how many signatures were copied.
 */
export async function copyBundle(
  from: ArtifactSource,
  to: ArtifactSink,
  digest: Digest,
  tag?: string,
): Promise<number> {
  const { bytes, manifest, descriptor } = await readRoot(from, digest);
  for (const descriptor of new Map([manifest.config, ...manifest.layers].map((item) => [item.digest, item])).values()) {
    await to.putBlob({ descriptor, bytes: await from.blob(descriptor) });
  }
  await to.putManifest(bytes, descriptor);
  const { candidates } = await from.signatures(digest);
  for (const artifact of artifactsOf(candidates)) await to.putSignature(descriptor, artifact);
  if (tag !== undefined) await to.putManifest(bytes, descriptor, tag);
  return candidates.length;
}

/** The artifacts in which candidates stand, each once: a manifest of cosign 2 may hold several. */
export function artifactsOf(candidates: readonly SignatureCandidate[]): SignatureArtifact[] {
  return [...new Map(candidates.map(({ artifact }) => [artifact.descriptor.digest, artifact])).values()];
}

/** Moves a tag to a bundle that is there already: how a release is promoted, and how one is gone back to. */
export async function tagBundle(place: ArtifactPlace, digest: Digest, tag: string): Promise<void> {
  const { bytes, descriptor } = await readRoot(place, digest);
  await place.putManifest(bytes, descriptor, tag);
}

/** Manifests that `logOf` reads. */
const LOG_MAX = 2 * TAGS_MAX;

/** A bundle of a place as it describes itself. */
export interface LogEntry {
  readonly digest: Digest;
  readonly tags: readonly string[];
  readonly release: Release;
  readonly signatures: readonly SignatureCandidate[];
}

/** The bundles of a place, those that only a channel index names among them, highest sequence first. Nothing is verified; what is no bundle is left out. */
export async function logOf(place: ArtifactPlace): Promise<{ entries: LogEntry[]; more: boolean }> {
  const { listed, more } = await place.list();
  const entries: LogEntry[] = [];
  const found = new Map(listed.map(({ digest, tags }) => [digest, tags]));
  // A map gives what is put into it meanwhile, too: each digest once. A channel index of an index is none, so one level is all there is.
  for (const [digest, tags] of found) {
    try {
      const { bytes, contentType } = await place.manifest(digest);
      const root = parseManifest(bytes, contentType);
      if (root.kind === 'index' && root.artifactType === CHANNEL_ARTIFACT) {
        for (const named of root.manifests)
          if (!found.has(named.digest) && found.size < LOG_MAX) found.set(named.digest, []);
        continue;
      }
      const release = await releaseOf(place, digest, root);
      entries.push({ digest, tags, release, signatures: (await place.signatures(digest)).candidates });
    } catch (error) {
      // Other artifacts, or torn ones, may stand in the same place.
      const other = error instanceof Rejection || (error instanceof SourceError && error.code === 'not_found');
      if (!other) throw error;
    }
  }
  return { entries: entries.sort((a, b) => b.release.seq - a.release.seq), more };
}

/** The root of a bundle. */
export interface Root {
  readonly bytes: Uint8Array;
  readonly manifest: ImageManifest;
  readonly descriptor: Descriptor;
}

/** @throws {Rejection} when it is no bundle. @throws {SourceError} */
export async function readRoot(source: ArtifactSource, digest: Digest): Promise<Root> {
  const { bytes, contentType } = await source.manifest(digest);
  const manifest = parseManifest(bytes, contentType);
  if (manifest.kind !== 'manifest' || manifest.artifactType !== BUNDLE_ARTIFACT) {
    throw new Rejection('wrong_artifact_type', whatItIs(digest, manifest));
  }
  const descriptor: Descriptor = {
    mediaType: OCI_MANIFEST,
    digest,
    size: bytes.byteLength,
    artifactType: BUNDLE_ARTIFACT,
  };
  return { bytes, manifest, descriptor };
}

function whatItIs(digest: Digest, root: ImageManifest | ImageIndex): string {
  return root.artifactType === CHANNEL_ARTIFACT
    ? `${digest} is a channel index, not a bundle; cnx bundle channel shows, sets and signs it`
    : `${digest} is not a bundle`;
}
