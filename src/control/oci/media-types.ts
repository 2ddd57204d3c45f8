/**
 * Every media type that a bundle may hold, in one table: role → type, size cap, how many.
 * A layer whose type is not here is refused unless the release document lists it as optional.
 */

const ORG = 'application/vnd.cloudnexus.edge';
const MIB = 1024 * 1024;

export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const OCI_EMPTY = 'application/vnd.oci.empty.v1+json';
export const SIGSTORE_BUNDLE = 'application/vnd.dev.sigstore.bundle.v0.3+json';

/** `artifactType` of a bundle's manifest. */
export const BUNDLE_ARTIFACT = `${ORG}.bundle.v1`;
/** `artifactType` of a channel index. */
export const CHANNEL_ARTIFACT = `${ORG}.channel.v1`;
/** The config blob of a bundle's manifest: the release document. */
export const RELEASE = `${ORG}.release.v1+json`;

export const TITLE_ANNOTATION = 'org.opencontainers.image.title';
export const CREATED_ANNOTATION = 'org.opencontainers.image.created';
export const REF_NAME_ANNOTATION = 'org.opencontainers.image.ref.name';
/** On a WASM or data layer: the policy it belongs to. */
export const POLICY_ANNOTATION = 'cloudnexus.edge.policy';

/** Begin of the titles of files, so that none is taken for a document. */
export const WEB_TITLE = 'file:';

/** Manifests and indexes, also those of signatures (the registry's own limit is the same). */
export const MANIFEST_BYTES_MAX = 4 * MIB;
export const RELEASE_BYTES_MAX = 256 * 1024;
/** Sum of the declared sizes of config and layers of one bundle. */
export const BUNDLE_BYTES_MAX = 64 * MIB;
export const LAYERS_MAX = 512;

export type LayerCount = 'required' | 'optional' | 'many';

export interface LayerRow {
  readonly mediaType: string;
  readonly bytesMax: number;
  /** `required` exactly one, `optional` none or one, `many` any number. */
  readonly count: LayerCount;
  /** JSON layers are held to the strict JSON rules before anyone else reads them. */
  readonly json: boolean;
}

export const LAYERS = {
  routes: { mediaType: `${ORG}.routes.v1+json`, bytesMax: 16 * MIB, count: 'required', json: true },
  cells: { mediaType: `${ORG}.cells.v1+json`, bytesMax: 8 * MIB, count: 'optional', json: true },
  waf: { mediaType: `${ORG}.waf.v1+json`, bytesMax: 4 * MIB, count: 'optional', json: true },
  issuers: { mediaType: `${ORG}.issuers.v1+json`, bytesMax: 4 * MIB, count: 'optional', json: true },
  limits: { mediaType: `${ORG}.limits.v1+json`, bytesMax: 4 * MIB, count: 'optional', json: true },
  policies: { mediaType: `${ORG}.policies.v1+json`, bytesMax: 4 * MIB, count: 'optional', json: true },
  defaults: { mediaType: `${ORG}.defaults.v1+json`, bytesMax: 1 * MIB, count: 'optional', json: true },
  seclang: { mediaType: `${ORG}.seclang.v1`, bytesMax: 4 * MIB, count: 'many', json: false },
  seclangData: { mediaType: `${ORG}.seclang-data.v1`, bytesMax: 4 * MIB, count: 'many', json: false },
  /** Files that routes answer with, and pages in the place of refusals. */
  file: { mediaType: `${ORG}.file.v1`, bytesMax: 1 * MIB, count: 'many', json: false },
  wasm: { mediaType: 'application/wasm', bytesMax: 8 * MIB, count: 'many', json: false },
  opaData: { mediaType: `${ORG}.opa-data.v1+json`, bytesMax: 16 * MIB, count: 'many', json: true },
  /** The bundle's own tests. */
  tests: { mediaType: `${ORG}.tests.v1+json`, bytesMax: 4 * MIB, count: 'optional', json: true },
} as const satisfies Record<string, LayerRow>;

export type LayerRole = keyof typeof LAYERS;

export const LAYER_ROLES = Object.keys(LAYERS) as readonly LayerRole[];

const ROLE_BY_TYPE: ReadonlyMap<string, LayerRole> = new Map(
  LAYER_ROLES.map((role) => [LAYERS[role].mediaType as string, role] as const),
);

/** The role that a layer's media type has, or undefined for a foreign type. */
export function roleOf(mediaType: string): LayerRole | undefined {
  return ROLE_BY_TYPE.get(mediaType);
}
