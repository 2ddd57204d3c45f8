/** A bundle of a place, read without any signature: to be compared with, never to serve. */
import type { BundleConfig, Part } from '../../config/bundle.ts';
import type { Document } from '../../config/document.ts';
import { readLayers, type LayerSource } from '../activator.ts';
import { placeLayers } from '../oci/artifact.ts';
import type { Digest } from '../oci/digest.ts';
import type { LayerRole } from '../oci/media-types.ts';
import { readRoot } from '../oci/publish.ts';
import { parseRelease, type Release } from '../oci/release.ts';
import type { ArtifactSource } from '../oci/source.ts';
import type { BundleFiles } from './bundle-directory.ts';

export interface FormerBundle {
  readonly release: Release;
  readonly config: BundleConfig;
  readonly documents: ReadonlyMap<Part, Document>;
  readonly files: BundleFiles;
}

/** @throws {Rejection} when it is no bundle. @throws {SourceError} @throws {ConfigError} */
export async function readFormer(source: ArtifactSource, digest: Digest): Promise<FormerBundle> {
  const { manifest } = await readRoot(source, digest);
  const release = parseRelease(await source.blob(manifest.config));
  const layers: ReturnType<LayerSource['layersOf']>[number][] = [];
  const roles: LayerRole[] = [];
  for (const { role, title, descriptor } of placeLayers(manifest, release.optional ?? [])) {
    layers.push({ title, descriptor, bytes: await source.blob(descriptor) });
    roles.push(role);
  }
  const layersOf: LayerSource['layersOf'] = (role) => layers.filter((_, i) => roles[i] === role);
  return { release, ...readLayers({ layer: (role) => layersOf(role)[0], layersOf }) };
}
