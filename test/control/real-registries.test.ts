/** What a gateway does at registries that are not ours: how often it asks Debian's, and that the referrers API of another is enough. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { referrersTag } from '../../src/control/oci/digest.ts';
import { copyBundle } from '../../src/control/oci/publish.ts';
import { OciRegistry } from '../../src/control/oci/registry.ts';
import { shortPollIntervalForDevelopment } from '../../src/control/source/interval.ts';
import { BundlePoller } from '../../src/control/source/poller.ts';
import { verifyBundle } from '../../src/control/trust/verify.ts';
import { goTool } from '../harness/go-tool.ts';
import { DebianRegistry } from './harness/debian-registry.ts';
import { proxyOf } from './harness/registry-proxy.ts';
import { bundle, KEY_A, KEY_B, publishSigned, trust, verified, verifyOptions } from './harness/sample.ts';

const REPOSITORY = 'edge/config';
const REFERRERS = goTool({
  name: 'referrers-registry',
  module: 'github.com/google/go-containerregistry/pkg/registry',
  version: 'v0.20.3',
  source: fileURLToPath(new URL('../harness/referrers-registry', import.meta.url)),
});

function open(t: TestContext, host: string): OciRegistry {
  const registry = new OciRegistry(host, REPOSITORY);
  t.after(() => registry.close());
  return registry;
}

/** Polls the tag `prod` and verifies what it names. */
async function following(t: TestContext, source: OciRegistry) {
  const taken: number[] = [];
  const poller = new BundlePoller({
    source,
    reference: 'prod',
    interval: shortPollIntervalForDevelopment(600_000),
    evaluate: async (digest) => {
      taken.push((await verifyBundle(source, digest, verifyOptions())).release.seq);
    },
  });
  t.after(() => poller.stop());
  await poller.start();
  return { poller, taken };
}

describe("Debian's registry", () => {
  it('is asked one HEAD by a poll that finds nothing new, and for nothing twice by one that does', async (t) => {
    const debian = await DebianRegistry.start(t);
    const { requests, host } = await proxyOf(t, debian.host);
    const publisher = open(t, debian.host);
    await publishSigned(publisher, bundle(1), [KEY_A], 'prod');
    const { poller, taken } = await following(t, open(t, host));
    assert.deepEqual(taken, [1]);
    requests.length = 0;
    for (let i = 0; i < 5; i += 1) await poller.pollNow();
    const head = `HEAD /v2/${REPOSITORY}/manifests/prod`;
    assert.deepEqual(requests, [head, head, head, head, head]);

    const next = bundle(2);
    await publishSigned(publisher, next, [KEY_A], 'prod');
    requests.length = 0;
    await poller.pollNow();
    assert.deepEqual(taken, [1, 2]);
    assert.equal(requests[0], head);
    assert.equal(new Set(requests).size, requests.length, 'nothing is asked for twice');
    assert.equal(requests.filter((line) => line.includes('/manifests/prod')).length, 1, 'the rest goes by digest');
    requests.length = 0;
    await poller.pollNow();
    assert.deepEqual(requests, [head]);
  });
});

describe('a registry with the referrers API', () => {
  it('gives signatures by that, to be followed, and to be copied to registries without it and back', async (t) => {
    if ('absent' in REFERRERS) {
      t.diagnostic(REFERRERS.absent);
      return;
    }
    const child = spawn(REFERRERS.path, { stdio: ['ignore', 'pipe', 'ignore'] });
    t.after(() => child.kill('SIGKILL'));
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const { requests, host } = await proxyOf(t, line.toString().trim());
    const registry = open(t, host);
    const built = bundle(1);
    await publishSigned(registry, built, [KEY_A, KEY_B], 'prod');
    requests.length = 0;
    const { taken, poller } = await following(t, open(t, host));
    assert.deepEqual([taken, poller.status.state], [[1], 'current']);
    assert.ok(requests.includes(`GET /v2/${REPOSITORY}/referrers/${built.digest}`), requests.join('\n'));
    const fallback = referrersTag(built.digest);
    assert.deepEqual(
      requests.filter((asked) => asked.endsWith(fallback)),
      [],
      'what the API answers is enough',
    );
    await verified(registry, built, { trust: trust({ threshold: 2 }) });
    requests.length = 0;
    await poller.pollNow();
    assert.deepEqual(requests, [`HEAD /v2/${REPOSITORY}/manifests/prod`]);

    // To one without it, and back: the signatures come along either way.
    const debian = open(t, (await DebianRegistry.start(t)).host);
    assert.equal(await copyBundle(registry, debian, built.digest, 'prod'), 2);
    await verified(debian, built, { trust: trust({ threshold: 2 }) });
    const back = new OciRegistry(host, 'edge/back');
    t.after(() => back.close());
    assert.equal(await copyBundle(debian, back, built.digest, 'prod'), 2);
    await verified(back, built, { trust: trust({ threshold: 2 }) });
  });
});
