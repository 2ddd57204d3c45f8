/**
 * Signatures against the real cosign 3, through a real registry: what it signs counts here, what is signed here counts there, and both say no to the same. Where there is
 * no cosign these tests say so and compare nothing.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createPublicKey, type KeyObject } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { publishChannel, signChannel } from '../../src/control/channel/publish.ts';
import { verifyChannel } from '../../src/control/channel/verify.ts';
import type { Digest } from '../../src/control/oci/digest.ts';
import { publishBundle, signBundle } from '../../src/control/oci/publish.ts';
import { OciRegistry } from '../../src/control/oci/registry.ts';
import { Rejection } from '../../src/control/oci/rejection.ts';
import { prepareTrust } from '../../src/control/trust/policy.ts';
import { goTool } from '../harness/go-tool.ts';
import { channelIndex, stable } from './harness/channel.ts';
import { DebianRegistry } from './harness/debian-registry.ts';
import { bundle, newKey, NOW_MS, policy, temporaryDirectory, trusted, verified } from './harness/sample.ts';

const COSIGN = goTool({ name: 'cosign', module: 'github.com/sigstore/cosign/v3/cmd/cosign', version: 'v3.1.3' });
const RUN_TIMEOUT_MS = 60_000;
const REPOSITORY = 'edge/config';

/** A registry, cosign with a key of its own, and what it says. Null: there is no cosign, which has been said. */
async function world(t: TestContext) {
  if ('absent' in COSIGN) {
    t.diagnostic(COSIGN.absent);
    return null;
  }
  const directory = await temporaryDirectory(t);
  const at = (name: string): string => join(directory, name);
  const env = { ...process.env, COSIGN_PASSWORD: '', HOME: directory };
  const cosign = async (...args: string[]): Promise<boolean> => {
    try {
      await promisify(execFile)(COSIGN.path, args, { cwd: directory, env, timeout: RUN_TIMEOUT_MS });
      return true;
    } catch (error) {
      const { code, stderr } = error as { code?: unknown; stderr?: string };
      // It said no; anything else is not an answer.
      assert.equal(typeof code, 'number', `cosign ${args.join(' ')}: ${stderr ?? String(error)}`);
      told = stderr ?? '';
      return false;
    }
  };
  let told = '';
  const must = async (...args: string[]): Promise<void> => assert.ok(await cosign(...args), told);
  const offline = ['fulcio', 'rekor', 'oidc', 'tsa'].map((name) => `--no-default-${name}`);
  await must('signing-config', 'create', ...offline, '--out', at('sc.json'));
  await must('trusted-root', 'create', '--out', at('tr.json'));
  await must('generate-key-pair');
  const own = createPublicKey(await readFile(at('cosign.pub')));
  const { host } = await DebianRegistry.start(t);
  const registry = new OciRegistry(host, REPOSITORY);
  t.after(() => registry.close());
  const reference = (digest: Digest): string => `${host}/${REPOSITORY}@${digest}`;
  let keys = 0;
  return {
    registry,
    own,
    /** As cosign 3 does it, or as 1 and 2 did. */
    sign: (digest: Digest, legacy: boolean): Promise<void> => {
      const how = legacy
        ? ['--use-signing-config=false', '--tlog-upload=false', '--new-bundle-format=false']
        : ['--signing-config', at('sc.json'), '--trusted-root', at('tr.json')];
      return must('sign', '--key', at('cosign.key'), '-y', ...how, reference(digest));
    },
    /** Whether cosign says that this key has signed it. */
    verifies: async (digest: Digest, key: KeyObject): Promise<boolean> => {
      const file = at(`key-${keys++}.pub`);
      const publicKey = key.type === 'private' ? createPublicKey(key) : key;
      await writeFile(file, publicKey.export({ format: 'pem', type: 'spki' }));
      const offlineRoot = ['--insecure-ignore-tlog=true', '--trusted-root', at('tr.json')];
      return cosign('verify', '--key', file, ...offlineRoot, reference(digest));
    },
  };
}

type World = NonNullable<Awaited<ReturnType<typeof world>>>;

/** Whether a gateway that trusts this key alone takes it. */
async function taken({ registry }: World, what: ReturnType<typeof bundle> | Digest, key: KeyObject): Promise<boolean> {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const trust = prepareTrust(policy({ keys: [trusted('k', publicKey, { roles: ['builder', 'promoter'] })] }));
  try {
    if (typeof what !== 'string') await verified(registry, what, { trust });
    else {
      const root = await registry.manifest(what);
      await verifyChannel(registry, what, root, { trust, known: undefined, nowMs: NOW_MS });
    }
    return true;
  } catch (error) {
    if (!(error instanceof Rejection)) throw error;
    return false;
  }
}

describe('signatures by cosign 3 and by us', () => {
  it('of bundles are taken by both, whoever made them and in whichever format, and by nobody with another key', async (t) => {
    const given = await world(t);
    if (given === null) return;
    const [ours, edwards, alien] = [newKey('ecdsa-p256'), newKey('ed25519'), newKey('ecdsa-p256')];
    for (const [i, [key, put]] of (
      [
        [given.own, (digest) => given.sign(digest, false)],
        [given.own, (digest) => given.sign(digest, true)],
        [ours, (digest) => signBundle(given.registry, digest, ours)],
        [edwards, (digest) => signBundle(given.registry, digest, edwards)],
      ] as [KeyObject, (digest: Digest) => Promise<unknown>][]
    ).entries()) {
      const built = bundle(i + 1);
      await publishBundle(given.registry, built, `r${i}`);
      await put(built.digest);
      for (const [who, expected] of [
        [key, true],
        [alien, false],
      ] as const) {
        assert.equal(await given.verifies(built.digest, who), expected, `cosign, case ${i}`);
        assert.equal(await taken(given, built, who), expected, `gateway, case ${i}`);
      }
    }
  });

  it('stand beside each other: each finds its own among those of others', async (t) => {
    const given = await world(t);
    if (given === null) return;
    const ours = newKey('ecdsa-p256');
    const built = bundle(1);
    await publishBundle(given.registry, built, 'r1');
    await signBundle(given.registry, built.digest, ours);
    await given.sign(built.digest, false);
    for (const key of [ours, given.own]) {
      assert.ok(await given.verifies(built.digest, key));
      assert.ok(await taken(given, built, key));
    }
  });

  it('of channel indexes are taken by both, and one of another index by neither', async (t) => {
    const given = await world(t);
    if (given === null) return;
    const ours = newKey('ecdsa-p256');
    const built = bundle(1);
    await publishBundle(given.registry, built, 'r1');
    const index = await publishChannel(given.registry, channelIndex(1, [stable(built)]), [ours], 'prod');
    const other = await publishChannel(given.registry, channelIndex(2, [stable(built)]), [], 'other');
    for (const [digest, key, expected] of [
      [index, ours, true],
      [index, given.own, false],
      [other, ours, false],
    ] as const) {
      assert.equal(await given.verifies(digest, key), expected);
      assert.equal(await taken(given, digest, key), expected);
    }
    await given.sign(other, false);
    assert.ok(await given.verifies(other, given.own));
    assert.ok(await taken(given, other, given.own));
    assert.ok(await signChannel(given.registry, other, ours));
    assert.ok(await given.verifies(other, ours));
  });
});
