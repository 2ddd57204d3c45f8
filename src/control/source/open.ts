import { OciLayout } from '../oci/layout.ts';
import type { ArtifactPlace } from '../oci/publish.ts';
import { parseReference, type Reference } from '../oci/reference.ts';
import { OciRegistry } from '../oci/registry.ts';
import type { RegistryOptions } from '../oci/registry-http.ts';
import { FailoverSource } from './failover.ts';

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

/**
 * A source and its mirrors as one. `options`: of each, in the same order.
 * @throws what `parseReference` and `openPlace` throw.
 */
export function openPlaces(
  [first, ...mirrors]: readonly [string, ...string[]],
  options: readonly RegistryOptions[],
  now: () => number,
): FailoverSource {
  const open = (text: string, i: number) => {
    const reference = parseReference(text);
    return { source: openPlace(reference, options[i]), reference: reference.digest ?? reference.tag };
  };
  return new FailoverSource([open(first, 0), ...mirrors.map((text, i) => open(text, i + 1))], now);
}
