import { type Digest, digestOf } from './digest.ts';
import { canonicalJsonBytes, parseStrictJson } from './json.ts';
import {
  BUNDLE_ARTIFACT,
  BUNDLE_BYTES_MAX,
  CREATED_ANNOTATION,
  LAYER_ROLES,
  LAYERS,
  LAYERS_MAX,
  type LayerRole,
  OCI_EMPTY,
  OCI_MANIFEST,
  RELEASE,
  RELEASE_BYTES_MAX,
  roleOf,
  SIGSTORE_BUNDLE,
  TITLE_ANNOTATION,
} from './media-types.ts';
import type { Descriptor, ImageManifest } from './manifest.ts';
import { Rejection } from './rejection.ts';
import { type Release, releaseBytes } from './release.ts';

/** One layer as the builder supplies it. */
export interface LayerInput {
  readonly mediaType: string;
  /** A name for people and for references between layers, such as `waf/sqli.conf`; unique in a bundle and never used as a path. */
  readonly title: string;
  readonly bytes: Uint8Array;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface BundleInput {
  readonly release: Release;
  readonly layers: readonly LayerInput[];
  /** Annotations of the manifest, such as `org.opencontainers.image.revision`. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Seconds since 1970 for `org.opencontainers.image.created`: SOURCE_DATE_EPOCH, else the commit's time. Never the clock: a build must be reproducible. */
  readonly createdEpochS: number;
}

export interface Blob {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

export interface AssembledBundle {
  readonly manifest: Uint8Array;
  readonly digest: Digest;
  readonly descriptor: Descriptor;
  /** Config first, then the layers; content that occurs twice stands once. */
  readonly blobs: ReadonlyMap<Digest, Blob>;
}

/** A layer with the role that its media type gives it; undefined for a foreign type that the release lists as optional. */
export interface PlacedLayer {
  readonly role: LayerRole;
  readonly title: string;
  readonly descriptor: Descriptor;
}

/**
 * Builds the manifest of a bundle: the same input gives the same bytes on every machine. Throws a Rejection for what a
 * gateway would refuse (unknown or missing layer, too large, malformed release), so that it is found where it is mended.
 */
export function assembleBundle(input: BundleInput): AssembledBundle {
  const blobs = new Map<Digest, Blob>();
  const add = (mediaType: string, bytes: Uint8Array, annotations?: Readonly<Record<string, string>>): Descriptor => {
    const digest = digestOf(bytes);
    const descriptor: Descriptor = {
      mediaType,
      digest,
      size: bytes.byteLength,
      ...(annotations === undefined ? {} : { annotations }),
    };
    if (!blobs.has(digest)) blobs.set(digest, { descriptor, bytes });
    return descriptor;
  };
  const config = add(RELEASE, releaseBytes(input.release));
  const layers = input.layers.map((layer) =>
    add(layer.mediaType, layer.bytes, { ...layer.annotations, [TITLE_ANNOTATION]: layer.title }),
  );
  placeLayers({ config, layers }, input.release.optional ?? []);
  for (const layer of input.layers) requireStrict(layer);
  const manifest = canonicalJsonBytes({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: BUNDLE_ARTIFACT,
    config,
    layers,
    annotations: { ...input.annotations, [CREATED_ANNOTATION]: isoSeconds(input.createdEpochS) },
  });
  const digest = digestOf(manifest);
  const descriptor: Descriptor = {
    mediaType: OCI_MANIFEST,
    digest,
    size: manifest.byteLength,
    artifactType: BUNDLE_ARTIFACT,
  };
  return { manifest, digest, descriptor, blobs };
}

/**
 * Gives every layer its role by the table of media types, before a byte of them is fetched. A Rejection names the layer
 * that is unknown, missing, twice or too large.
 */
export function placeLayers(
  manifest: Pick<ImageManifest, 'config' | 'layers'>,
  optional: readonly string[],
): PlacedLayer[] {
  if (manifest.config.mediaType !== RELEASE) {
    throw new Rejection(
      'wrong_artifact_type',
      `the bundle's config is ${manifest.config.mediaType}, expected ${RELEASE}`,
    );
  }
  if (manifest.config.size > RELEASE_BYTES_MAX) {
    throw new Rejection(
      'too_large',
      `the release document declares ${manifest.config.size} bytes, at most ${RELEASE_BYTES_MAX} are taken`,
    );
  }
  if (manifest.layers.length > LAYERS_MAX) {
    throw new Rejection(
      'too_large',
      `the bundle has ${manifest.layers.length} layers, at most ${LAYERS_MAX} are taken`,
    );
  }
  const placed: PlacedLayer[] = [];
  const titles = new Set<string>();
  const seen = new Map<LayerRole, number>();
  let total = manifest.config.size;
  for (const [i, descriptor] of manifest.layers.entries()) {
    const role = roleOf(descriptor.mediaType);
    const title = descriptor.annotations?.[TITLE_ANNOTATION] ?? '';
    const name = `layer ${i + 1} (${JSON.stringify(title)}, ${descriptor.mediaType})`;
    if (role === undefined) {
      if (optional.includes(descriptor.mediaType)) continue;
      throw new Rejection(
        'unknown_layer',
        `${name} has a media type that this gateway does not know and the release does not call optional`,
      );
    }
    if (title === '' || title.length > 255)
      throw new Rejection('malformed_manifest', `${name} has no title of 1 to 255 characters`);
    if (titles.has(title)) throw new Rejection('duplicate_layer', `two layers have the title ${JSON.stringify(title)}`);
    titles.add(title);
    const row = LAYERS[role];
    const count = (seen.get(role) ?? 0) + 1;
    seen.set(role, count);
    if (count > 1 && row.count !== 'many')
      throw new Rejection('duplicate_layer', `${name}: only one layer may be ${role}`);
    if (descriptor.size > row.bytesMax) {
      throw new Rejection('too_large', `${name} declares ${descriptor.size} bytes, at most ${row.bytesMax} are taken`);
    }
    total += descriptor.size;
    placed.push({ role, title, descriptor });
  }
  if (total > BUNDLE_BYTES_MAX)
    throw new Rejection('too_large', `the bundle declares ${total} bytes, at most ${BUNDLE_BYTES_MAX} are taken`);
  for (const role of LAYER_ROLES) {
    if (LAYERS[role].count === 'required' && !seen.has(role)) {
      throw new Rejection('missing_layer', `the bundle has no ${role} layer (${LAYERS[role].mediaType})`);
    }
  }
  return placed;
}

/** The two bytes `{}` that artifact manifests without a config point to. */
export const EMPTY_BLOB: Blob = (() => {
  const bytes = new TextEncoder().encode('{}');
  return { bytes, descriptor: { mediaType: OCI_EMPTY, digest: digestOf(bytes), size: bytes.byteLength } };
})();

/** A manifest that holds signatures of another one, with everything that it points to. */
export interface SignatureArtifact {
  readonly manifest: Uint8Array;
  readonly descriptor: Descriptor;
  /** Config and layers. */
  readonly blobs: readonly Blob[];
  /** It stands under this tag (cosign 1 and 2) and is no referrer. */
  readonly tag?: string;
}

/** The manifest by which a Sigstore bundle refers to what it signs, as cosign v3 writes it. */
export function assembleSignature(subject: Descriptor, sigstoreBundle: Uint8Array): SignatureArtifact {
  const layer: Descriptor = {
    mediaType: SIGSTORE_BUNDLE,
    digest: digestOf(sigstoreBundle),
    size: sigstoreBundle.byteLength,
  };
  const manifest = canonicalJsonBytes({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: SIGSTORE_BUNDLE,
    config: EMPTY_BLOB.descriptor,
    layers: [layer],
    subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size },
  });
  return {
    manifest,
    descriptor: {
      mediaType: OCI_MANIFEST,
      digest: digestOf(manifest),
      size: manifest.byteLength,
      artifactType: SIGSTORE_BUNDLE,
    },
    blobs: [EMPTY_BLOB, { descriptor: layer, bytes: sigstoreBundle }],
  };
}

/** What the gateway would refuse to parse is found where it is built. */
function requireStrict(layer: LayerInput): void {
  const role = roleOf(layer.mediaType);
  if (role === undefined || !LAYERS[role].json) return;
  parseStrictJson(layer.bytes, { what: `layer ${layer.title}`, bytesMax: LAYERS[role].bytesMax });
}

function isoSeconds(epochS: number): string {
  if (!Number.isSafeInteger(epochS) || epochS < 0 || epochS > 253_402_300_799)
    throw new RangeError(`createdEpochS ${epochS} is not a time in seconds`);
  return new Date(epochS * 1000).toISOString().replace('.000Z', 'Z');
}
