/** Channel indexes for tests, in a registry that may lie. */
import type { KeyObject } from 'node:crypto';
import { assembleChannelIndex, type ChannelEntry, type ChannelIndex } from '../../../src/control/channel/document.ts';
import { type AssembledBundle, assembleSignature } from '../../../src/control/oci/artifact.ts';
import type { Digest } from '../../../src/control/oci/digest.ts';
import { OCI_EMPTY, OCI_INDEX, OCI_MANIFEST } from '../../../src/control/oci/media-types.ts';
import { makeSigstoreBundle } from '../../../src/control/trust/sigstore-bundle.ts';
import { newKey, NOW_MS } from './sample.ts';
import type { ScriptedRegistry } from './scripted-registry.ts';

/** The keys of promoters. */
export const PROMOTER = newKey('ed25519');
export const PROMOTER_B = newKey('ecdsa-p256');

export const stable = (built: AssembledBundle): ChannelEntry => ({
  digest: built.digest,
  size: built.manifest.byteLength,
  rule: { role: 'stable' },
});

export const canary = (
  built: AssembledBundle,
  percent: number | null,
  selector: Readonly<Record<string, string>> = {},
): ChannelEntry => ({ ...stable(built), rule: { role: 'canary', percent, selector } });

export function channelIndex(
  seq: number,
  entries: readonly ChannelEntry[],
  more: Partial<ChannelIndex> = {},
): ChannelIndex {
  return {
    product: 'edge',
    channel: 'prod',
    seq,
    epoch: 1,
    madeMs: NOW_MS,
    expiresMs: NOW_MS + 30 * 86_400_000,
    entries,
    ...more,
  };
}

/** Puts an index behind the tag, signed with these keys. */
export function publishIndex(
  registry: ScriptedRegistry,
  index: ChannelIndex,
  keys: readonly KeyObject[] = [PROMOTER],
  tag = 'prod',
): Digest {
  const { bytes, descriptor } = assembleChannelIndex(index);
  registry.manifests.set(descriptor.digest, { bytes, type: OCI_INDEX });
  for (const key of keys) {
    const signature = assembleSignature(descriptor, makeSigstoreBundle(key, descriptor.digest));
    for (const blob of signature.blobs) registry.blobs.set(blob.descriptor.digest, blob.bytes);
    registry.manifests.set(signature.descriptor.digest, { bytes: signature.manifest, type: OCI_MANIFEST });
    const entries = registry.referrers.get(descriptor.digest) ?? [];
    registry.referrers.set(descriptor.digest, [...entries, { ...signature.descriptor, artifactType: OCI_EMPTY }]);
  }
  registry.tags.set(tag, descriptor.digest);
  return descriptor.digest;
}
