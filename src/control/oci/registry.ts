import type { Blob, SignatureArtifact } from './artifact.ts';
import { type Digest, digestOf, parseDigest, referrersTag } from './digest.ts';
import { type JsonObject, parseStrictJson } from './json.ts';
import { type Descriptor, type ImageIndex, parseManifest } from './manifest.ts';
import { MANIFEST_BYTES_MAX, OCI_INDEX, OCI_MANIFEST } from './media-types.ts';
import { RegistryHttp, type RegistryAnswer, type RegistryOptions } from './registry-http.ts';
import { Rejection, SourceError } from './rejection.ts';
import { collectSignatures, REFERRERS_MAX, withReferrer } from './signatures.ts';
import { joinSignatures, readSimpleSignatures, simpleSignatureTag } from './simple-signatures.ts';
import { isTag } from './reference.ts';
import {
  type ArtifactList,
  type ArtifactSink,
  type ArtifactSource,
  type FetchedManifest,
  type KnownTag,
  type Listed,
  type Resolution,
  type SignatureSet,
  referredBy,
  TAGS_MAX,
} from './source.ts';

/** Without it registries hide OCI manifests behind a 404. */
const ACCEPT = `${OCI_MANIFEST}, ${OCI_INDEX}`;
const REFERRER_PAGES_MAX = 4;
const NO_BODY_MAX = 64 * 1024;
const TAGS_PAGE = 500;
const TAG_PAGES_MAX = 8;
const TAGS_PAGE_BYTES_MAX = 256 * 1024;

/**
 * A repository of an OCI registry (distribution-spec 1.1), polled cheaply: an unchanged tag costs one HEAD. Content is
 * always fetched by digest, so that what is verified is what the tag named; `urls` of descriptors are never followed.
 */
export class OciRegistry implements ArtifactSource, ArtifactSink, ArtifactList {
  readonly name: string;
  readonly #base: string;
  readonly #http: RegistryHttp;
  /** What a GET by tag brought, where HEAD names no digest. */
  #fetched: { readonly digest: Digest; readonly manifest: FetchedManifest } | undefined;

  /** @param host with its port. @throws {SourceError} for plain HTTP beyond loopback. */
  constructor(host: string, repository: string, options: RegistryOptions = {}) {
    this.name = `${host}/${repository}`;
    this.#base = `/v2/${repository}`;
    this.#http = new RegistryHttp(host, repository, options);
  }

  async resolve(reference: string, known?: KnownTag): Promise<Resolution> {
    const conditional = known?.etag !== undefined && isStrongEtag(known.etag) ? { 'if-none-match': known.etag } : {};
    const head = await this.#http.send({
      method: 'HEAD',
      target: this.#manifestPath(reference),
      action: 'pull',
      headers: { accept: ACCEPT, ...conditional },
      bytesMax: 0,
      accept: [304, 404, 405],
    });
    if (head.status === 304 && known !== undefined) return { state: 'unchanged' };
    if (head.status === 404) return { state: 'missing' };
    const digest = head.status === 405 ? undefined : parseDigest(head.headers['docker-content-digest']);
    if (digest !== undefined) return resolution(digest, head, known);

    // The digest header is only a SHOULD of v1.1: fetch and compute it.
    const get = await this.#http.send({
      method: 'GET',
      target: this.#manifestPath(reference),
      action: 'pull',
      headers: { accept: ACCEPT, ...conditional },
      bytesMax: MANIFEST_BYTES_MAX,
      accept: [304, 404],
    });
    if (get.status === 304 && known !== undefined) return { state: 'unchanged' };
    if (get.status === 404) return { state: 'missing' };
    const computed = digestOf(get.bytes);
    this.#fetched = { digest: computed, manifest: { bytes: get.bytes, contentType: contentType(get) } };
    return resolution(computed, get, known);
  }

  async manifest(digest: Digest): Promise<FetchedManifest> {
    if (this.#fetched?.digest === digest) return this.#fetched.manifest;
    const answer = await this.#http.send({
      method: 'GET',
      target: this.#manifestPath(digest),
      action: 'pull',
      headers: { accept: ACCEPT },
      bytesMax: MANIFEST_BYTES_MAX,
    });
    requireDigest(answer, digest, 'manifest');
    return { bytes: answer.bytes, contentType: contentType(answer) };
  }

  async blob(descriptor: Descriptor): Promise<Uint8Array> {
    const answer = await this.#http.send({
      method: 'GET',
      target: `${this.#base}/blobs/${descriptor.digest}`,
      action: 'pull',
      bytesMax: descriptor.size,
    });
    if (answer.bytes.byteLength !== descriptor.size) {
      throw new Rejection(
        'size_mismatch',
        `blob ${descriptor.digest} came with ${answer.bytes.byteLength} bytes, declared ${descriptor.size}`,
      );
    }
    requireDigest(answer, descriptor.digest, 'blob');
    return answer.bytes;
  }

  async signatures(digest: Digest): Promise<SignatureSet> {
    const listed = await this.#referrers(digest);
    // A signature from before the registry learned the API still stands under the tag.
    const entries = listed.length > 0 ? listed : ((await this.#fallbackIndex(digest))?.manifests ?? []);
    const referring = await collectSignatures(this, digest, entries);
    try {
      return joinSignatures(referring, await this.#simpleSignatures(digest));
    } catch (error) {
      // What was found may be enough; if not, whoever counts learns that there may be more.
      if (!(error instanceof SourceError)) throw error;
      return joinSignatures(referring, { candidates: [], notes: [error.message], failure: error });
    }
  }

  /** What cosign 1 and 2 have put under a tag of their own; also beside referrers, for keys may have signed with either. */
  async #simpleSignatures(digest: Digest): Promise<SignatureSet> {
    const answer = await this.#http.send({
      method: 'GET',
      target: this.#manifestPath(simpleSignatureTag(digest)),
      action: 'pull',
      headers: { accept: ACCEPT },
      bytesMax: MANIFEST_BYTES_MAX,
      accept: [404],
    });
    if (answer.status === 404) return { candidates: [], notes: [] };
    const { bytes } = answer;
    return readSimpleSignatures(this, digest, { bytes, contentType: contentType(answer), digest: digestOf(bytes) });
  }

  async list(): Promise<{ listed: Listed[]; more: boolean }> {
    const names: string[] = [];
    const signed = new Set<Digest>();
    let target: string | URL = `${this.#base}/tags/list?n=${TAGS_PAGE}`;
    let more = true;
    for (let page = 0; page < TAG_PAGES_MAX && more; page += 1) {
      const answer: RegistryAnswer = await this.#http.send({
        method: 'GET',
        target,
        action: 'pull',
        headers: { accept: 'application/json' },
        bytesMax: TAGS_PAGE_BYTES_MAX,
      });
      for (const tag of readTags(answer.bytes, this.name)) {
        const subject = referredBy(tag);
        if (subject === null) names.push(tag);
        else signed.add(subject);
      }
      const next = nextPage(answer);
      more = next !== undefined;
      if (next !== undefined) target = next;
    }
    const tags = new Map<Digest, string[]>();
    for (const tag of names.slice(0, TAGS_MAX)) {
      const resolution = await this.resolve(tag);
      if (resolution.state === 'found') tags.set(resolution.digest, [...(tags.get(resolution.digest) ?? []), tag]);
    }
    for (const digest of signed) if (!tags.has(digest)) tags.set(digest, []);
    const listed = [...tags].map(([digest, own]) => ({ digest, tags: own })).slice(0, TAGS_MAX);
    return { listed, more: more || names.length > TAGS_MAX || tags.size > TAGS_MAX };
  }

  async close(): Promise<void> {
    await this.#http.close();
  }

  async putBlob(blob: Blob): Promise<void> {
    const { digest } = blob.descriptor;
    const head = await this.#http.send({
      method: 'HEAD',
      target: `${this.#base}/blobs/${digest}`,
      action: 'pull,push',
      bytesMax: 0,
      accept: [404],
    });
    if (head.status !== 404) return;
    // A single POST with the digest is not supported everywhere (Debian's registry answers 202): POST, then PUT.
    const started = await this.#http.send({
      method: 'POST',
      target: `${this.#base}/blobs/uploads/`,
      action: 'pull,push',
      bytesMax: NO_BODY_MAX,
    });
    const location = started.headers.location;
    if (started.status !== 202 || location === undefined || !URL.canParse(location, started.url)) {
      throw new SourceError('protocol', `${this.name}: the registry did not say where to upload`);
    }
    const target = new URL(location, started.url);
    target.searchParams.set('digest', digest);
    const done = await this.#http.send({
      method: 'PUT',
      target,
      action: 'pull,push',
      headers: { 'content-type': 'application/octet-stream' },
      body: blob.bytes,
      bytesMax: NO_BODY_MAX,
    });
    if (done.status !== 201)
      throw new SourceError('write_refused', `${this.name}: the upload of ${digest} ended with ${done.status}`);
  }

  async putManifest(bytes: Uint8Array, descriptor: Descriptor, tag?: string): Promise<void> {
    await this.#putManifest(bytes, descriptor, tag);
  }

  async putSignature(subject: Descriptor, signature: SignatureArtifact): Promise<void> {
    for (const blob of signature.blobs) await this.putBlob(blob);
    const answer = await this.#putManifest(signature.manifest, signature.descriptor, signature.tag);
    if (signature.tag !== undefined) return;
    if (answer.headers['oci-subject'] === subject.digest && (await this.#referrersApi(subject.digest)) !== undefined)
      return;
    const bytes = withReferrer(await this.#fallbackIndex(subject.digest), signature.descriptor);
    const descriptor: Descriptor = { mediaType: OCI_INDEX, digest: digestOf(bytes), size: bytes.byteLength };
    await this.#putManifest(bytes, descriptor, referrersTag(subject.digest));
  }

  async #putManifest(bytes: Uint8Array, descriptor: Descriptor, tag: string | undefined): Promise<RegistryAnswer> {
    const answer = await this.#http.send({
      method: 'PUT',
      target: this.#manifestPath(tag ?? descriptor.digest),
      action: 'pull,push',
      headers: { 'content-type': descriptor.mediaType },
      body: bytes,
      bytesMax: NO_BODY_MAX,
    });
    const said = answer.headers['docker-content-digest'];
    if (said !== undefined && said !== descriptor.digest) {
      throw new SourceError(
        'protocol',
        `${this.name}: the registry stored ${String(said)} instead of ${descriptor.digest}`,
      );
    }
    return answer;
  }

  async #referrers(digest: Digest): Promise<readonly Descriptor[]> {
    return (await this.#referrersApi(digest)) ?? [];
  }

  /** What the referrers API lists, unfiltered; undefined where there is none. */
  async #referrersApi(digest: Digest): Promise<Descriptor[] | undefined> {
    const entries: Descriptor[] = [];
    let target: string | URL = `${this.#base}/referrers/${digest}`;
    for (let page = 0; page < REFERRER_PAGES_MAX && entries.length < REFERRERS_MAX; page += 1) {
      const answer = await this.#http.send({
        method: 'GET',
        target,
        action: 'pull',
        headers: { accept: OCI_INDEX },
        bytesMax: MANIFEST_BYTES_MAX,
        accept: [400, 404, 405],
      });
      if (answer.status >= 400) return page === 0 ? undefined : entries;
      const index = readIndex(answer.bytes, contentType(answer));
      if (index === undefined) return page === 0 ? undefined : entries;
      entries.push(...index.manifests);
      const next = nextPage(answer);
      if (next === undefined) break;
      target = next;
    }
    return entries;
  }

  async #fallbackIndex(digest: Digest): Promise<ImageIndex | undefined> {
    const answer = await this.#http.send({
      method: 'GET',
      target: this.#manifestPath(referrersTag(digest)),
      action: 'pull',
      headers: { accept: ACCEPT },
      bytesMax: MANIFEST_BYTES_MAX,
      accept: [404],
    });
    return answer.status === 404 ? undefined : readIndex(answer.bytes, contentType(answer));
  }

  #manifestPath(reference: string): string {
    return `${this.#base}/manifests/${reference}`;
  }
}

function resolution(digest: Digest, answer: RegistryAnswer, known: KnownTag | undefined): Resolution {
  const { etag } = answer.headers;
  const validator = etag === undefined || !isStrongEtag(etag) ? {} : { etag };
  return digest === known?.digest ? { state: 'unchanged', ...validator } : { state: 'found', digest, ...validator };
}

/** Debian's registry only understands one strong validator, verbatim. */
function isStrongEtag(etag: string): boolean {
  return /^"[\x21\x23-\x7e]{1,256}"$/.test(etag);
}

function requireDigest(answer: RegistryAnswer, digest: Digest, what: string): void {
  const actual = digestOf(answer.bytes);
  if (actual !== digest) throw new Rejection('digest_mismatch', `${what} ${digest} came with bytes of ${actual}`);
  const said = parseDigest(answer.headers['docker-content-digest']);
  if (said !== undefined && said !== digest)
    throw new Rejection('digest_mismatch', `the registry calls ${what} ${digest} by another name, ${said}`);
}

function contentType(answer: RegistryAnswer): string {
  const value = answer.headers['content-type'];
  return typeof value === 'string' ? value : '';
}

/** What a page of `tags/list` names; what cannot be a tag is left out. */
function readTags(bytes: Uint8Array, name: string): string[] {
  try {
    const page = parseStrictJson(bytes, { what: 'list of tags', bytesMax: TAGS_PAGE_BYTES_MAX }) as JsonObject;
    // A repository without tags: null in some registries.
    const tags = page?.['tags'] ?? [];
    if (!Array.isArray(tags)) throw new SourceError('protocol', `${name}: its list of tags is none`);
    return tags.filter((tag): tag is string => typeof tag === 'string' && isTag(tag));
  } catch (error) {
    if (!(error instanceof Rejection)) throw error;
    throw new SourceError('protocol', `${name}: ${error.message}`, { cause: error });
  }
}

/** An index, or undefined when it is something else: then there are no referrers (distribution-spec). */
function readIndex(bytes: Uint8Array, type: string): ImageIndex | undefined {
  try {
    const parsed = parseManifest(bytes, type);
    return parsed.kind === 'index' ? parsed : undefined;
  } catch (error) {
    if (error instanceof Rejection) return undefined;
    throw error;
  }
}

/** `Link: <…>; rel="next"` (RFC 8288), only within the registry. */
function nextPage(answer: RegistryAnswer): URL | undefined {
  const { link } = answer.headers;
  const text = Array.isArray(link) ? link.join(', ') : (link ?? '');
  const target = /<([^<>]{1,2048})>\s*;\s*rel="?next"?/.exec(text)?.[1];
  if (target === undefined || !URL.canParse(target, answer.url)) return undefined;
  const url = new URL(target, answer.url);
  return url.origin === answer.url.origin && url.pathname.startsWith('/v2/') ? url : undefined;
}
