import { OciLayout } from '../oci/layout.ts';
import type { ArtifactPlace } from '../oci/publish.ts';
import type { Reference } from '../oci/reference.ts';
import { OciRegistry } from '../oci/registry.ts';
import type { RegistryOptions } from '../oci/registry-http.ts';

/**
 * The place that a reference names. Nothing is read or connected yet.
 * @throws {SourceError} for plain HTTP beyond loopback.
 */
export function openPlace(reference: Reference, options: RegistryOptions = {}): ArtifactPlace {
  switch (reference.kind) {
    case 'layout':
      return OciLayout.at(reference.directory);
    case 'registry':
      return new OciRegistry(reference.host, reference.repository, options);
  }
}
