import { join } from 'node:path';
import { Serial } from '../../base/serial.ts';
import type { Blob, SignatureArtifact } from './artifact.ts';
import { type Digest, digestHex, digestOf, parseDigest, referrersTag } from './digest.ts';
import { DurableFiles, readBounded } from './files.ts';
import { canonicalJsonBytes, parseStrictJson, Shape } from './json.ts';
import { type Descriptor, type ImageIndex, parseManifest } from './manifest.ts';
import { MANIFEST_BYTES_MAX, OCI_INDEX, OCI_MANIFEST, REF_NAME_ANNOTATION } from './media-types.ts';
import { Rejection, SourceError } from './rejection.ts';
import { collectSignatures, withReferrer } from './signatures.ts';
import { joinSignatures, readSimpleSignatures, simpleSignatureTag } from './simple-signatures.ts';
import {
  type ArtifactList,
  type ArtifactSink,
  type ArtifactSource,
  type FetchedManifest,
  isReferrerTag,
  type KnownTag,
  type Listed,
  type Resolution,
  type SignatureSet,
  TAGS_MAX,
} from './source.ts';

export interface LayoutOptions {
  /** For a store: how files are written. */
  readonly files?: DurableFiles;
}

const MARKER = { imageLayoutVersion: '1.0.0' };

/**
 * An OCI image layout on disk (image-spec, `image-layout.md`): readable by skopeo and oras. File names come from digests
 * alone, never from titles. Blobs are written and synced first and `index.json` is renamed into place last, so a reader
 * sees the old content or the new, never half. Signatures stand in the same layout under the fallback tag.
 */
export class OciLayout implements ArtifactSource, ArtifactSink, ArtifactList {
  readonly name: string;
  readonly directory: string;
  readonly #files: DurableFiles;
  /** Index updates of this process, one after the other. */
  readonly #changes = new Serial();

  private constructor(directory: string, files: DurableFiles) {
    this.directory = directory;
    this.name = `oci:${directory}`;
    this.#files = files;
  }

  /** A layout for reading; the directory may appear later. Nothing is touched. */
  static at(directory: string, options: LayoutOptions = {}): OciLayout {
    return new OciLayout(directory, options.files ?? new DurableFiles());
  }

  /** A layout for writing: made if it is not there. */
  static async create(directory: string, options: LayoutOptions = {}): Promise<OciLayout> {
    const layout = OciLayout.at(directory, options);
    await layout.#files.makeDirectory(join(directory, 'blobs', 'sha256'));
    const marker = await readBounded(join(directory, 'oci-layout'), 1024);
    if (marker.state === 'absent') await layout.#files.write(join(directory, 'oci-layout'), canonicalJsonBytes(MARKER));
    return layout;
  }

  /** The index; an empty one when none is written yet. Every tag stands at most once. */
  async index(): Promise<ImageIndex> {
    await this.#checkMarker();
    const read = await readBounded(join(this.directory, 'index.json'), MANIFEST_BYTES_MAX);
    if (read.state === 'too_large')
      throw new SourceError('too_large', `${this.name}: index.json has more than ${MANIFEST_BYTES_MAX} bytes`);
    if (read.state === 'absent')
      return { kind: 'index', artifactType: undefined, manifests: [], subject: undefined, annotations: {} };
    try {
      const parsed = parseManifest(read.bytes);
      if (parsed.kind !== 'index') throw new Rejection('malformed_manifest', 'index.json is not an image index');
      return parsed;
    } catch (error) {
      if (!(error instanceof Rejection)) throw error;
      throw new SourceError('protocol', `${this.name}: index.json: ${error.message}`, { cause: error });
    }
  }

  async resolve(reference: string, known?: KnownTag): Promise<Resolution> {
    const digest = parseDigest(reference) ?? (await this.#tagged(reference))?.digest;
    if (digest === undefined) return { state: 'missing' };
    return digest === known?.digest ? { state: 'unchanged' } : { state: 'found', digest };
  }

  async manifest(digest: Digest): Promise<FetchedManifest> {
    return { bytes: await this.#read(digest, MANIFEST_BYTES_MAX), contentType: undefined };
  }

  async blob(descriptor: Descriptor): Promise<Uint8Array> {
    const bytes = await this.#read(descriptor.digest, descriptor.size);
    if (bytes.byteLength !== descriptor.size) {
      throw new Rejection(
        'size_mismatch',
        `blob ${descriptor.digest} has ${bytes.byteLength} bytes, declared ${descriptor.size}`,
      );
    }
    return bytes;
  }

  async signatures(digest: Digest): Promise<SignatureSet> {
    return joinSignatures(await this.#referring(digest), await this.#simple(digest));
  }

  async #simple(digest: Digest): Promise<SignatureSet> {
    const tagged = await this.#tagged(simpleSignatureTag(digest));
    if (tagged === undefined) return { candidates: [], notes: [] };
    try {
      const bytes = await this.#read(tagged.digest, MANIFEST_BYTES_MAX);
      return await readSimpleSignatures(this, digest, { bytes, contentType: undefined, digest: tagged.digest });
    } catch (error) {
      if (!(error instanceof Rejection) && !(error instanceof SourceError)) throw error;
      return { candidates: [], notes: [`${simpleSignatureTag(digest)}: ${error.message}`] };
    }
  }

  async #referring(digest: Digest): Promise<SignatureSet> {
    const tagged = await this.#tagged(referrersTag(digest));
    if (tagged === undefined) return { candidates: [], notes: [] };
    const index = await this.#referrers(tagged);
    if (index === undefined)
      return { candidates: [], notes: [`what stands under ${referrersTag(digest)} is not an index`] };
    return collectSignatures(this, digest, index.manifests);
  }

  async list(): Promise<{ listed: Listed[]; more: boolean }> {
    const tags = new Map<Digest, string[]>();
    for (const { digest, annotations } of (await this.index()).manifests) {
      const tag = annotations?.[REF_NAME_ANNOTATION];
      if (tag !== undefined && isReferrerTag(tag)) continue;
      const known = tags.get(digest) ?? [];
      tags.set(digest, tag === undefined ? known : [...known, tag]);
    }
    const listed = [...tags].map(([digest, names]) => ({ digest, tags: names }));
    return { listed: listed.slice(-TAGS_MAX), more: listed.length > TAGS_MAX };
  }

  async close(): Promise<void> {
    await this.#changes.idle();
  }

  /** Writes a blob unless the right bytes are already there; a torn or altered file is replaced. */
  async putBlob(blob: Blob): Promise<void> {
    const path = this.#path(blob.descriptor.digest);
    const present = await readBounded(path, blob.bytes.byteLength);
    if (present.state === 'read' && digestOf(present.bytes) === blob.descriptor.digest) return;
    if (digestOf(blob.bytes) !== blob.descriptor.digest)
      throw new Rejection('digest_mismatch', `blob ${blob.descriptor.digest} has other bytes`);
    await this.#files.write(path, blob.bytes);
  }

  async putManifest(bytes: Uint8Array, descriptor: Descriptor, tag?: string): Promise<void> {
    await this.putBlob({ bytes, descriptor });
    await this.update((entries) => tagEntry(entries, descriptor, tag));
  }

  async putSignature(subject: Descriptor, signature: SignatureArtifact): Promise<void> {
    for (const blob of signature.blobs) await this.putBlob(blob);
    if (signature.tag !== undefined) {
      await this.putManifest(signature.manifest, signature.descriptor, signature.tag);
      return;
    }
    await this.putBlob({ bytes: signature.manifest, descriptor: signature.descriptor });
    await this.#changes.run(async () => {
      const tag = referrersTag(subject.digest);
      const tagged = await this.#tagged(tag);
      const bytes = withReferrer(
        tagged === undefined ? undefined : await this.#referrers(tagged),
        signature.descriptor,
      );
      const descriptor: Descriptor = { mediaType: OCI_INDEX, digest: digestOf(bytes), size: bytes.byteLength };
      await this.putBlob({ bytes, descriptor });
      await this.#writeIndex(tagEntry((await this.index()).manifests, descriptor, tag));
    });
  }

  /** Changes the list of manifests in one atomic step. */
  async update(change: (entries: readonly Descriptor[]) => readonly Descriptor[]): Promise<void> {
    await this.#changes.run(async () => this.#writeIndex(change((await this.index()).manifests)));
  }

  async #writeIndex(manifests: readonly Descriptor[]): Promise<void> {
    await this.#files.write(
      join(this.directory, 'index.json'),
      canonicalJsonBytes({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }),
    );
  }

  async #tagged(tag: string): Promise<Descriptor | undefined> {
    const found = (await this.index()).manifests.filter((item) => item.annotations?.[REF_NAME_ANNOTATION] === tag);
    if (found.length > 1)
      throw new SourceError(
        'protocol',
        `${this.name}: the tag ${JSON.stringify(tag)} stands ${found.length} times in index.json`,
      );
    return found[0];
  }

  async #referrers(tagged: Descriptor): Promise<ImageIndex | undefined> {
    const parsed = parseManifest(await this.#read(tagged.digest, MANIFEST_BYTES_MAX));
    return parsed.kind === 'index' ? parsed : undefined;
  }

  async #read(digest: Digest, bytesMax: number): Promise<Uint8Array> {
    const read = await readBounded(this.#path(digest), bytesMax);
    if (read.state === 'absent') throw new SourceError('not_found', `${this.name} has no blob ${digest}`);
    if (read.state === 'too_large')
      throw new Rejection('size_mismatch', `blob ${digest} has more than ${bytesMax} bytes`);
    const actual = digestOf(read.bytes);
    if (actual !== digest) throw new Rejection('digest_mismatch', `the file of blob ${digest} holds ${actual}`);
    return read.bytes;
  }

  async #checkMarker(): Promise<void> {
    const read = await readBounded(join(this.directory, 'oci-layout'), 1024);
    if (read.state !== 'read')
      throw new SourceError('unreachable', `${this.directory} is not an OCI image layout: it has no oci-layout file`);
    const shape: Shape = new Shape('malformed_json', 'oci-layout');
    try {
      const marker = shape.object(parseStrictJson(read.bytes, { what: 'oci-layout', bytesMax: 1024 }), '');
      if (marker['imageLayoutVersion'] !== MARKER.imageLayoutVersion)
        shape.fail('imageLayoutVersion', JSON.stringify(MARKER.imageLayoutVersion));
    } catch (error) {
      throw new SourceError('protocol', `${this.directory} is not an OCI image layout: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  #path(digest: Digest): string {
    return join(this.directory, 'blobs', 'sha256', digestHex(digest));
  }
}

/** Manifests without a tag that stay listed: what a tag pointed to before, so that numbers are not given twice and rollbacks stay possible. */
const UNTAGGED_MAX = 64;

/** The entries with this manifest listed, under the tag if one is given; who held the tag before stays without it. */
function tagEntry(entries: readonly Descriptor[], descriptor: Descriptor, tag: string | undefined): Descriptor[] {
  if (tag === undefined && entries.some((item) => item.digest === descriptor.digest)) return [...entries];
  const annotations = { ...descriptor.annotations, ...(tag === undefined ? {} : { [REF_NAME_ANNOTATION]: tag }) };
  const next: Descriptor[] = [{ ...descriptor, ...(Object.keys(annotations).length === 0 ? {} : { annotations }) }];
  const listed = new Set([descriptor.digest]);
  let untagged = 0;
  // Newest last: from the end, so that the oldest fall out.
  for (const item of entries.toReversed()) {
    const name = item.annotations?.[REF_NAME_ANNOTATION];
    if (name !== undefined && name !== tag) {
      next.push(item);
      listed.add(item.digest);
      continue;
    }
    const replaced = listed.has(item.digest) || (name === tag && item.mediaType !== OCI_MANIFEST);
    if (replaced || untagged === UNTAGGED_MAX) continue;
    untagged += 1;
    listed.add(item.digest);
    const { [REF_NAME_ANNOTATION]: _moved, ...rest } = item.annotations ?? {};
    const { annotations: _all, ...bare } = item;
    next.push({ ...bare, ...(Object.keys(rest).length === 0 ? {} : { annotations: rest }) });
  }
  return next.toReversed();
}
