import { type Digest, parseDigest } from './digest.ts';
import { type JsonObject, parseStrictJson, Shape } from './json.ts';
import { LAYERS_MAX, MANIFEST_BYTES_MAX, OCI_INDEX, OCI_MANIFEST } from './media-types.ts';
import { Rejection } from './rejection.ts';

/** A pointer to content. `urls` and inline `data` of the specification are never read: content comes from where the manifest came from. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes; a hard cap when the content is fetched. */
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ImageManifest {
  readonly kind: 'manifest';
  readonly artifactType: string | undefined;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly subject: Descriptor | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ImageIndex {
  readonly kind: 'index';
  readonly artifactType: string | undefined;
  readonly manifests: readonly Descriptor[];
  readonly subject: Descriptor | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

const ANNOTATIONS_MAX = 64;
/** A layout's index and a fallback index may list more than one bundle has layers. */
const INDEX_ENTRIES_MAX = 4096;

const shape: Shape = new Shape('malformed_manifest', 'manifest');
const NO_ANNOTATIONS: Readonly<Record<string, string>> = Object.freeze(Object.create(null) as Record<string, string>);

/**
 * Reads a manifest or an index (OCI image-spec 1.1). Refused: what is both (`manifests` beside `config` or `layers`, the
 * shape of CVE-2021-41190), a `mediaType` that disagrees with the fields or with `contentType`, and anything that is not
 * strict JSON. Unknown names are ignored, as the specification demands.
 *
 * @param contentType what the registry called it; parameters are ignored. Undefined in a layout.
 */
export function parseManifest(bytes: Uint8Array, contentType?: string): ImageManifest | ImageIndex {
  const value = parseStrictJson(bytes, { what: 'manifest', bytesMax: MANIFEST_BYTES_MAX });
  const document = shape.object(value, '');
  const isIndex = 'manifests' in document;
  if (isIndex && ('config' in document || 'layers' in document)) {
    throw new Rejection(
      'ambiguous_manifest',
      'the manifest holds "manifests" beside "config" or "layers": two readers would see two things',
    );
  }
  if (document['schemaVersion'] !== 2) shape.fail('schemaVersion', '2');
  const expected = isIndex ? OCI_INDEX : OCI_MANIFEST;
  const declared = document['mediaType'];
  // An index.json of a layout may leave it out (image-spec: SHOULD); what comes from a registry names its type in the header.
  if (declared !== undefined && declared !== expected) shape.fail('mediaType', JSON.stringify(expected));
  if (declared === undefined && contentType === undefined && !isIndex)
    shape.fail('mediaType', JSON.stringify(expected));
  if (contentType !== undefined) {
    const bare = (contentType.split(';', 1)[0] ?? '').trim().toLowerCase();
    if (bare !== expected) {
      throw new Rejection(
        'media_type_mismatch',
        `the registry calls this ${JSON.stringify(bare)}, but the bytes are ${expected}`,
      );
    }
  }
  const artifactType =
    document['artifactType'] === undefined ? undefined : shape.string(document['artifactType'], 'artifactType', 256);
  const subject = document['subject'] === undefined ? undefined : readDescriptor(document['subject'], 'subject');
  const annotations = readAnnotations(document, '');
  if (isIndex) {
    const manifests = shape
      .array(document['manifests'], 'manifests', INDEX_ENTRIES_MAX)
      .map((item, i) => readDescriptor(item, `manifests[${i}]`));
    return { kind: 'index', artifactType, manifests, subject, annotations };
  }
  const config = readDescriptor(document['config'], 'config');
  const layers = shape
    .array(document['layers'], 'layers', LAYERS_MAX)
    .map((item, i) => readDescriptor(item, `layers[${i}]`));
  return { kind: 'manifest', artifactType, config, layers, subject, annotations };
}

function readDescriptor(value: unknown, where: string): Descriptor {
  const object = shape.object(value, where);
  const digest = parseDigest(object['digest']);
  if (digest === undefined) shape.fail(`${where}.digest`, 'sha256: and 64 lowercase hex digits');
  const mediaType = shape.string(object['mediaType'], `${where}.mediaType`, 256);
  if (!/^[A-Za-z0-9][\w!#$&^.+-]*\/[A-Za-z0-9][\w!#$&^.+-]*$/.test(mediaType))
    shape.fail(`${where}.mediaType`, 'a media type (RFC 6838)');
  return {
    mediaType,
    digest,
    size: shape.count(object['size'], `${where}.size`),
    ...(object['artifactType'] === undefined
      ? {}
      : { artifactType: shape.string(object['artifactType'], `${where}.artifactType`, 256) }),
    ...(object['annotations'] === undefined ? {} : { annotations: readAnnotations(object, `${where}.`) }),
  };
}

function readAnnotations(holder: JsonObject, prefix: string): Readonly<Record<string, string>> {
  const value = holder['annotations'];
  return value === undefined ? NO_ANNOTATIONS : shape.stringMap(value, `${prefix}annotations`, ANNOTATIONS_MAX);
}
