import { EMPTY_BLOB } from './artifact.ts';
import type { Digest } from './digest.ts';
import { canonicalJsonBytes } from './json.ts';
import { type Descriptor, type ImageIndex, parseManifest } from './manifest.ts';
import { OCI_INDEX, OCI_MANIFEST, SIGSTORE_BUNDLE } from './media-types.ts';
import { Rejection, SourceError, type SourceErrorCode } from './rejection.ts';
import type { FetchedManifest, SignatureCandidate, SignatureSet } from './source.ts';

/** Referrers looked at for one manifest; a place can list any number. */
export const REFERRERS_MAX = 32;
/** A referrer's manifest, and the signature it points to. */
export const SIGNATURE_BYTES_MAX = 64 * 1024;
export const SIGNATURES_TOTAL_BYTES_MAX = 1024 * 1024;

/** What the place says of an entry of its own list, as opposed to a place that does not answer. */
const ABSENT: ReadonlySet<SourceErrorCode> = new Set(['not_found', 'too_large']);

interface Reader {
  manifest(digest: Digest): Promise<FetchedManifest>;
  blob(descriptor: Descriptor): Promise<Uint8Array>;
}

/**
 * Fetches what refers to a manifest and looks like a signature. The list is unauthenticated and registries disagree about
 * its `artifactType`: an entry counts when its own manifest, fetched by digest, names the subject and holds one Sigstore
 * bundle. What does not is passed over with a note; a hostile entry must not hide a good one.
 */
export async function collectSignatures(
  reader: Reader,
  subject: Digest,
  entries: readonly Descriptor[],
): Promise<SignatureSet> {
  const notes: string[] = [];
  const candidates: SignatureCandidate[] = [];
  // Those that say what they are come first, so that other referrers (SBOMs, attestations) do not use up the limit.
  const ordered = [...entries].sort((a, b) => rank(a) - rank(b));
  if (ordered.length > REFERRERS_MAX)
    notes.push(`${ordered.length} referrers are listed, only ${REFERRERS_MAX} were looked at`);
  const seen = new Set<Digest>();
  let failure: SourceError | undefined;
  let total = 0;
  for (const entry of ordered.slice(0, REFERRERS_MAX)) {
    if (seen.has(entry.digest)) continue;
    seen.add(entry.digest);
    if (entry.mediaType !== OCI_MANIFEST || entry.size > SIGNATURE_BYTES_MAX) {
      notes.push(`referrer ${entry.digest}: not a manifest of at most ${SIGNATURE_BYTES_MAX} bytes`);
      continue;
    }
    try {
      const candidate = await readCandidate(reader, subject, entry, SIGNATURES_TOTAL_BYTES_MAX - total);
      total += candidate.bytes.byteLength + candidate.artifact.manifest.byteLength;
      candidates.push(candidate);
    } catch (error) {
      if (!(error instanceof Rejection) && !(error instanceof SourceError)) throw error;
      notes.push(`referrer ${entry.digest}: ${error.message}`);
      if (error instanceof SourceError && !ABSENT.has(error.code)) failure ??= error;
    }
  }
  return { candidates, notes, ...(failure === undefined ? {} : { failure }) };
}

function rank(descriptor: Descriptor): number {
  return descriptor.artifactType === SIGSTORE_BUNDLE ? 0 : 1;
}

async function readCandidate(
  reader: Reader,
  subject: Digest,
  entry: Descriptor,
  bytesLeft: number,
): Promise<SignatureCandidate> {
  const { bytes: manifest, contentType } = await reader.manifest(entry.digest);
  if (manifest.byteLength > SIGNATURE_BYTES_MAX) throw new Rejection('too_large', 'its manifest is too large');
  const parsed = parseManifest(manifest, contentType);
  if (parsed.kind !== 'manifest') throw new Rejection('malformed_manifest', 'it is an index');
  if (parsed.subject?.digest !== subject) throw new Rejection('malformed_manifest', 'its subject is another manifest');
  const layer = parsed.layers.find((item) => item.mediaType === SIGSTORE_BUNDLE);
  if (layer === undefined || parsed.layers.length !== 1) {
    throw new Rejection('malformed_manifest', `it does not hold exactly one ${SIGSTORE_BUNDLE}`);
  }
  if (layer.size > SIGNATURE_BYTES_MAX || layer.size + manifest.byteLength > bytesLeft)
    throw new Rejection('too_large', 'it is too large');
  if (parsed.config.size > SIGNATURE_BYTES_MAX) throw new Rejection('too_large', 'its config is too large');
  // The empty config is known; fetching it would cost a request for two bytes.
  const configBytes =
    parsed.config.digest === EMPTY_BLOB.descriptor.digest ? EMPTY_BLOB.bytes : await reader.blob(parsed.config);
  const bytes = await reader.blob(layer);
  const blobs = [
    { descriptor: parsed.config, bytes: configBytes },
    { descriptor: layer, bytes },
  ];
  return { format: 'sigstore-bundle', artifact: { manifest, descriptor: entry, blobs }, bytes };
}

/** The fallback index with one more entry; unchanged bytes when it is already there. */
export function withReferrer(current: ImageIndex | undefined, entry: Descriptor): Uint8Array {
  const manifests = current?.manifests ?? [];
  const rest = manifests.filter((item) => item.digest !== entry.digest);
  return canonicalJsonBytes({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [...rest, entry] });
}
