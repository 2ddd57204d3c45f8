import type { Blob } from './artifact.ts';
import { type Digest, digestHex } from './digest.ts';
import { type Descriptor, parseManifest } from './manifest.ts';
import { OCI_MANIFEST } from './media-types.ts';
import { Rejection, SourceError } from './rejection.ts';
import type { FetchedManifest, SignatureCandidate, SignatureSet } from './source.ts';

/** What a layer of such a manifest holds (cosign, `specs/SIGNATURE_SPEC.md`). */
export const SIMPLE_SIGNING = 'application/vnd.dev.cosign.simplesigning.v1+json';
/** The signature over it, base64, as an annotation of the layer. */
export const SIMPLE_SIGNATURE_ANNOTATION = 'dev.cosignproject.cosign/signature';

/** Signatures of one manifest that are looked at; `cosign sign` adds one layer each time. */
export const SIMPLE_SIGNATURES_MAX = 32;
const PAYLOAD_BYTES_MAX = 16 * 1024;
const CONFIG_BYTES_MAX = 64 * 1024;
const MANIFEST_BYTES_MAX = 64 * 1024;

/** The tag under which cosign 1 and 2 put signatures. */
export function simpleSignatureTag(digest: Digest): string {
  return `sha256-${digestHex(digest)}.sig`;
}

interface Reader {
  blob(descriptor: Descriptor): Promise<Uint8Array>;
}

/**
 * Reads what stands under the `.sig` tag. One layer is one signature; all of them are fetched, so that the manifest can be kept and copied whole. What is not
 * such a manifest gives a note and no candidate.
 */
export async function readSimpleSignatures(
  reader: Reader,
  subject: Digest,
  fetched: FetchedManifest & { readonly digest: Digest },
): Promise<SignatureSet> {
  const tag = simpleSignatureTag(subject);
  try {
    return { candidates: await readCandidates(reader, tag, fetched), notes: [] };
  } catch (error) {
    if (!(error instanceof Rejection) && !(error instanceof SourceError)) throw error;
    const failure = error instanceof SourceError && error.code !== 'not_found' && error.code !== 'too_large';
    return { candidates: [], notes: [`${tag}: ${error.message}`], ...(failure ? { failure: error } : {}) };
  }
}

async function readCandidates(
  reader: Reader,
  tag: string,
  { bytes, contentType, digest }: FetchedManifest & { readonly digest: Digest },
): Promise<SignatureCandidate[]> {
  const refuse = (sentence: string): never => {
    throw new Rejection('malformed_manifest', sentence);
  };
  if (bytes.byteLength > MANIFEST_BYTES_MAX) refuse(`it has more than ${MANIFEST_BYTES_MAX} bytes`);
  const parsed = parseManifest(bytes, contentType);
  if (parsed.kind !== 'manifest') return refuse('it is an index');
  if (parsed.layers.length > SIMPLE_SIGNATURES_MAX)
    refuse(`it holds ${parsed.layers.length} signatures, at most ${SIMPLE_SIGNATURES_MAX} are looked at`);
  if (parsed.config.size > CONFIG_BYTES_MAX) refuse('its config is too large');
  const blobs: Blob[] = [{ descriptor: parsed.config, bytes: await reader.blob(parsed.config) }];
  const found: { bytes: Uint8Array; signature: string }[] = [];
  for (const layer of parsed.layers) {
    const signature = layer.annotations?.[SIMPLE_SIGNATURE_ANNOTATION];
    if (layer.mediaType !== SIMPLE_SIGNING || signature === undefined)
      return refuse(`a layer is no ${SIMPLE_SIGNING} with a signature`);
    if (layer.size > PAYLOAD_BYTES_MAX) refuse(`a payload has more than ${PAYLOAD_BYTES_MAX} bytes`);
    const payload = await reader.blob(layer);
    blobs.push({ descriptor: layer, bytes: payload });
    found.push({ bytes: payload, signature });
  }
  const descriptor: Descriptor = { mediaType: OCI_MANIFEST, digest, size: bytes.byteLength };
  const artifact = { manifest: bytes, descriptor, blobs, tag };
  return found.map((item) => ({ format: 'cosign-simple', artifact, ...item }));
}

/** Two lists of candidates as one. */
export function joinSignatures(first: SignatureSet, second: SignatureSet): SignatureSet {
  const failure = first.failure ?? second.failure;
  return {
    candidates: [...first.candidates, ...second.candidates],
    notes: [...first.notes, ...second.notes],
    ...(failure === undefined ? {} : { failure }),
  };
}
