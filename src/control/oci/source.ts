import type { Blob, SignatureArtifact } from './artifact.ts';
import { type Digest, parseDigest } from './digest.ts';
import type { Descriptor } from './manifest.ts';
import type { SourceError } from './rejection.ts';

/** What a tag pointed to when it was last looked at. */
export interface KnownTag {
  readonly digest: Digest;
  /** The registry's strong ETag, verbatim with its quotes. */
  readonly etag?: string | undefined;
}

export type Resolution =
  | { readonly state: 'found'; readonly digest: Digest; readonly etag?: string | undefined }
  /** Still what {@link KnownTag} says. */
  | { readonly state: 'unchanged'; readonly etag?: string | undefined }
  /** The place answers and has no such tag. */
  | { readonly state: 'missing' };

export interface FetchedManifest {
  /** Already compared with the digest that was asked for. */
  readonly bytes: Uint8Array;
  /** As the registry called it; undefined from a layout. */
  readonly contentType: string | undefined;
}

/** `sigstore-bundle`: a referrer with one Sigstore bundle (cosign 3). `cosign-simple`: a layer of the manifest under the `.sig` tag (cosign 1 and 2). */
export type SignatureFormat = 'sigstore-bundle' | 'cosign-simple';

/** Something that claims to be a signature of a manifest. Nothing in it is trusted yet. */
export interface SignatureCandidate {
  readonly format: SignatureFormat;
  /** Where it stands, whole: kept so that a store can be verified again offline, and copied. */
  readonly artifact: SignatureArtifact;
  /** The Sigstore bundle, or what the simple signature signs. */
  readonly bytes: Uint8Array;
  /** Of a simple signature: base64, as the annotation of its layer says it. */
  readonly signature?: string;
}

export interface SignatureSet {
  readonly candidates: readonly SignatureCandidate[];
  /** Why entries were passed over, as sentences. */
  readonly notes: readonly string[];
  /** An entry could not be fetched: whether it is a signature is not known. */
  readonly failure?: SourceError;
}

/** Where bundles come from. Every byte that it returns has been compared with its digest and its size cap; nothing else is promised. */
export interface ArtifactSource {
  /** For messages: the place without credentials. */
  readonly name: string;
  /**
   * What a tag (or a digest) points to now.
   * @throws {SourceError} when the place does not answer.
   */
  resolve(reference: string, known?: KnownTag): Promise<Resolution>;
  /** @throws {SourceError} when the place does not answer. @throws {Rejection} `digest_mismatch`, `too_large`. */
  manifest(digest: Digest): Promise<FetchedManifest>;
  /** Exactly `descriptor.size` bytes with `descriptor.digest`; the caller has judged the size. */
  blob(descriptor: Descriptor): Promise<Uint8Array>;
  signatures(digest: Digest): Promise<SignatureSet>;
  close(): Promise<void>;
}

/** Where bundles can be put. One writer at a time for one place: registries ignore If-Match on tags. */
export interface ArtifactSink {
  readonly name: string;
  putBlob(blob: Blob): Promise<void>;
  /** Blobs first: a registry refuses a manifest whose content it does not hold. The tag, if any, moves last. */
  putManifest(bytes: Uint8Array, descriptor: Descriptor, tag?: string): Promise<void>;
  /** Adds the signature as a referrer; where the referrers API is missing, under the fallback tag. */
  putSignature(subject: Descriptor, signature: SignatureArtifact): Promise<void>;
}

/** A manifest of a place, with the tags that name it now. */
export interface Listed {
  readonly digest: Digest;
  readonly tags: readonly string[];
}

/** Tags of a place that are looked at. */
export const TAGS_MAX = 500;

/** A place that can say what it holds. Tags of signatures are left out; what has them is listed also where no tag names it any more. */
export interface ArtifactList {
  /** @returns at most {@link TAGS_MAX} manifests; `more` when there are others. */
  list(): Promise<{ readonly listed: readonly Listed[]; readonly more: boolean }>;
}

/** Whether a tag belongs to signatures and other referrers (distribution-spec; cosign). */
export function isReferrerTag(tag: string): boolean {
  return referredBy(tag) !== null;
}

/** What such a tag refers to; null: it is none. */
export function referredBy(tag: string): Digest | null {
  const hex = /^sha256-([0-9a-f]{64})(\.[a-z]+)?$/.exec(tag)?.[1];
  return hex === undefined ? null : (parseDigest(`sha256:${hex}`) ?? null);
}
