/** Bundles, keys and trust policies for tests. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { spkiBase64 } from '../../../src/cli/keygen.ts';
import {
  type AssembledBundle,
  assembleBundle,
  assembleSignature,
  type LayerInput,
} from '../../../src/control/oci/artifact.ts';
import { OciLayout } from '../../../src/control/oci/layout.ts';
import { LAYERS, POLICY_ANNOTATION } from '../../../src/control/oci/media-types.ts';
import { type ArtifactPlace, publishBundle } from '../../../src/control/oci/publish.ts';
import type { Release } from '../../../src/control/oci/release.ts';
import type { ArtifactSource } from '../../../src/control/oci/source.ts';
import {
  type KeyAlgorithm,
  prepareTrust,
  type Trust,
  type TrustedKey,
  type TrustPolicy,
} from '../../../src/control/trust/policy.ts';
import { EMPTY_SEQUENCE, type GatewayIdentity, type SequenceState } from '../../../src/control/trust/rules.ts';
import { makeSigstoreBundle } from '../../../src/control/trust/sigstore-bundle.ts';
import { type VerifiedBundle, verifyBundle, type VerifyOptions } from '../../../src/control/trust/verify.ts';

export const NOW_MS = Date.parse('2026-11-21T00:00:00Z');
export const GATEWAY: GatewayIdentity = { version: '1.2.3', features: new Set(['waf.v1']) };

export function newKey(alg: KeyAlgorithm = 'ed25519'): KeyObject {
  return alg === 'ed25519'
    ? generateKeyPairSync('ed25519').privateKey
    : generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
}

/** The keys that most tests sign with. */
export const KEY_A = newKey('ed25519');
export const KEY_B = newKey('ecdsa-p256');

export function trusted(id: string, key: KeyObject, more: Partial<TrustedKey> = {}): TrustedKey {
  const alg: KeyAlgorithm = key.asymmetricKeyType === 'ed25519' ? 'ed25519' : 'ecdsa-p256';
  return { id, spki: spkiBase64(key), alg, roles: ['builder'], ...more };
}

export function policy(more: Partial<TrustPolicy> = {}): TrustPolicy {
  return {
    product: 'edge',
    channel: 'prod',
    epoch: 1,
    keys: [trusted('a', KEY_A), trusted('b', KEY_B)],
    threshold: 1,
    rollback: 'tag',
    minSeq: 0,
    ...more,
  };
}

export function trust(more: Partial<TrustPolicy> = {}): Trust {
  return prepareTrust(policy(more));
}

export function release(seq: number, more: Partial<Release> = {}): Release {
  return {
    schema: 1,
    product: 'edge',
    audience: { channels: ['prod'] },
    seq,
    floor: 0,
    createdAt: '2026-11-20T00:00:00Z',
    ...more,
  };
}

/** A layer for each kind; `routes` differs by `mark`. */
export function layers(mark: string): LayerInput[] {
  const text = (value: unknown) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
  return [
    { mediaType: LAYERS.routes.mediaType, title: 'routes.json', bytes: text({ mark }) },
    { mediaType: LAYERS.cells.mediaType, title: 'cells.json', bytes: text({ cells: [] }) },
    {
      mediaType: LAYERS.seclang.mediaType,
      title: 'waf/sqli.conf',
      bytes: text('SecRule ARGS "@detectSQLi" "id:1,deny"\n'),
    },
    {
      mediaType: LAYERS.seclang.mediaType,
      title: 'waf/xss.conf',
      bytes: text('SecRule ARGS "@detectXSS" "id:2,deny"\n'),
    },
    {
      mediaType: LAYERS.wasm.mediaType,
      title: 'authz.wasm',
      bytes: Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0),
      annotations: { [POLICY_ANNOTATION]: 'authz' },
    },
  ];
}

export function bundle(
  seq: number,
  more: { release?: Partial<Release>; mark?: string; layers?: readonly LayerInput[] } = {},
): AssembledBundle {
  return assembleBundle({
    release: release(seq, more.release),
    layers: more.layers ?? layers(more.mark ?? `bundle ${seq}`),
    annotations: { 'org.opencontainers.image.revision': 'abc' },
    createdEpochS: 1_763_596_800,
  });
}

/** Publishes and signs, then moves the tag: as a careful publisher does. */
export async function publishSigned(
  place: ArtifactPlace,
  built: AssembledBundle,
  keys: readonly KeyObject[] = [KEY_A],
  tag = 'latest',
): Promise<void> {
  await publishBundle(place, built);
  for (const key of keys)
    await place.putSignature(
      built.descriptor,
      assembleSignature(built.descriptor, makeSigstoreBundle(key, built.digest)),
    );
  await place.putManifest(built.manifest, built.descriptor, tag);
}

export function verifyOptions(more: Partial<VerifyOptions> = {}): VerifyOptions {
  return {
    trust: trust(),
    sequence: { ...EMPTY_SEQUENCE, epoch: 1 } satisfies SequenceState,
    gateway: GATEWAY,
    nowMs: NOW_MS,
    purpose: 'candidate',
    ...more,
  };
}

/** A bundle as only verification makes it. */
export async function verified(
  place: ArtifactSource,
  built: AssembledBundle,
  more: Partial<VerifyOptions> = {},
): Promise<VerifiedBundle> {
  return verifyBundle(place, built.digest, verifyOptions(more));
}

/** A directory that is removed when the test ends. */
export async function temporaryDirectory(t: Pick<TestContext, 'after'>): Promise<string> {
  // Where there is a memory file system, syncing costs nothing.
  const root = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const directory = await mkdtemp(join(root, 'cnx-test-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export async function temporaryLayout(t: Pick<TestContext, 'after'>): Promise<OciLayout> {
  return OciLayout.create(join(await temporaryDirectory(t), 'layout'));
}
