import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { referrersTag } from '../../src/control/oci/digest.ts';
import { OciLayout } from '../../src/control/oci/layout.ts';
import { OCI_MANIFEST } from '../../src/control/oci/media-types.ts';
import { copyBundle, publishBundle, signBundle } from '../../src/control/oci/publish.ts';
import { OciRegistry } from '../../src/control/oci/registry.ts';
import type { RegistryOptions } from '../../src/control/oci/registry-http.ts';
import { shortPollIntervalForDevelopment } from '../../src/control/source/interval.ts';
import { BundlePoller } from '../../src/control/source/poller.ts';
import { verifyBundle } from '../../src/control/trust/verify.ts';
import { DebianRegistry, TokenServer } from './harness/debian-registry.ts';
import {
  bundle,
  KEY_A,
  KEY_B,
  publishSigned,
  temporaryDirectory,
  temporaryLayout,
  trust,
  verified,
  verifyOptions,
} from './harness/sample.ts';
import { requireTool } from './harness/tools.ts';

const REPOSITORY = 'edge/config';
const open = (
  t: Pick<TestContext, 'after'>,
  host: string,
  options: RegistryOptions = {},
  repository = REPOSITORY,
): OciRegistry => {
  const registry = new OciRegistry(host, repository, options);
  t.after(() => registry.close());
  return registry;
};

describe("Debian's registry without authentication", () => {
  it('takes a bundle with its signatures and gives them back to the byte', async (t) => {
    const { host } = await DebianRegistry.start(t);
    const registry = open(t, host);
    const built = bundle(1);
    await publishSigned(registry, built, [KEY_A, KEY_B], 'prod');
    const resolution = await registry.resolve('prod');
    assert.ok(resolution.state === 'found');
    assert.equal(resolution.digest, built.digest);
    assert.equal(resolution.etag, `"${built.digest}"`);
    const result = await verified(registry, built, { trust: trust({ threshold: 2 }) });
    assert.deepEqual(result.manifestBytes, Buffer.from(built.manifest));
    assert.equal(result.layers.length, 5);
    assert.equal(
      (await registry.resolve(referrersTag(built.digest))).state,
      'found',
      'signatures stand under the fallback tag',
    );
  });

  it('answers an unchanged poll with 304, shows a retag, a rollback and a missing tag', async (t) => {
    const { host } = await DebianRegistry.start(t);
    const registry = open(t, host);
    const [first, second] = [bundle(1), bundle(2)];
    assert.equal((await registry.resolve('prod')).state, 'missing');
    await publishSigned(registry, first, [KEY_A], 'prod');
    const known = await registry.resolve('prod');
    assert.ok(known.state === 'found');
    // With the validator it cannot have sent a digest: 304 is what it was.
    assert.deepEqual(await registry.resolve('prod', known), { state: 'unchanged' });
    await publishSigned(registry, second, [KEY_A], 'prod');
    const moved = await registry.resolve('prod', known);
    assert.ok(moved.state === 'found');
    assert.equal(moved.digest, second.digest);
    await registry.putManifest(first.manifest, first.descriptor, 'prod');
    const back = await registry.resolve('prod', moved);
    assert.ok(back.state === 'found');
    assert.equal(back.digest, first.digest);
    assert.deepEqual(await registry.resolve('absent'), { state: 'missing' });
  });

  it('is polled through: tagged before it is signed, then signed; killed, then back', async (t) => {
    const debian = await DebianRegistry.start(t);
    const registry = open(t, debian.host, { sleep: async () => {} });
    const built = bundle(1);
    const taken: number[] = [];
    const poller = new BundlePoller({
      source: registry,
      reference: 'prod',
      interval: shortPollIntervalForDevelopment(5),
      evaluate: async (digest) => {
        taken.push((await verifyBundle(registry, digest, verifyOptions())).release.seq);
      },
    });
    t.after(() => poller.stop());
    await publishBundle(registry, built, 'prod');
    await poller.pollNow();
    assert.deepEqual([poller.status.state, poller.status.reason?.code], ['pending_signature', 'unsigned']);
    await signBundle(registry, built.digest, KEY_B);
    await poller.pollNow();
    assert.deepEqual([poller.status.state, taken], ['current', [1]]);
    await debian.stop();
    await poller.pollNow();
    assert.equal(poller.status.state, 'unreachable');
    await debian.run();
    await poller.pollNow();
    assert.deepEqual([poller.status.state, taken], ['current', [1]]);
  });

  it('gives skopeo copies that verify, and takes them back unchanged', async (t) => {
    const skopeo = requireTool('skopeo');
    const { host } = await DebianRegistry.start(t);
    const registry = open(t, host);
    const built = bundle(1);
    await publishSigned(registry, built, [KEY_A], 'prod');
    const directory = join(await temporaryDirectory(t), 'copy');
    const run = promisify(execFile);
    await run(skopeo, [
      'copy',
      '--preserve-digests',
      '--src-tls-verify=false',
      `docker://${host}/${REPOSITORY}:prod`,
      `oci:${directory}:prod`,
    ]);
    const copy = OciLayout.at(directory);
    assert.deepEqual(await copy.resolve('prod'), { state: 'found', digest: built.digest });
    // skopeo does not carry referrers; ours does.
    await assert.rejects(verified(copy, built), { code: 'unsigned' });
    assert.equal(await copyBundle(registry, copy, built.digest, 'prod'), 1);
    await verified(copy, built);
    await run(skopeo, [
      'copy',
      '--preserve-digests',
      '--dest-tls-verify=false',
      `oci:${directory}:prod`,
      `docker://${host}/${REPOSITORY}:copied`,
    ]);
    assert.equal((await open(t, host).resolve('copied')).state, 'found');
    const { stdout } = await run(skopeo, [
      'inspect',
      '--raw',
      '--tls-verify=false',
      `docker://${host}/${REPOSITORY}:copied`,
    ]);
    assert.equal(stdout, Buffer.from(built.manifest).toString());
  });

  it('refuses a manifest whose content it does not hold, and we say why', async (t) => {
    const { host } = await DebianRegistry.start(t);
    const built = bundle(1);
    await assert.rejects(open(t, host).putManifest(built.manifest, built.descriptor, 'prod'), {
      code: 'write_refused',
      message: /MANIFEST_BLOB_UNKNOWN/,
    });
  });
});

describe("Debian's registry with Basic authentication", () => {
  const basic = { username: 'publisher', password: 'p:\u00e4ss w\u00f6rd' };

  it('is used with the right password, which is not sent before it is asked for', async (t) => {
    const { host } = await DebianRegistry.start(t, { basic });
    let asked = 0;
    const registry = open(t, host, { credentials: () => ((asked += 1), basic) });
    assert.equal(asked, 0);
    const built = bundle(1);
    await publishSigned(registry, built, [KEY_A], 'prod');
    await verified(registry, built);
  });

  it('refuses without a password and with a wrong one', async (t) => {
    const { host } = await DebianRegistry.start(t, { basic });
    await assert.rejects(open(t, host).resolve('prod'), { code: 'unauthorized', message: /none is configured/ });
    await assert.rejects(open(t, host, { credentials: () => ({ ...basic, password: 'x' }) }).resolve('prod'), {
      code: 'unauthorized',
    });
  });

  it('may keep its blobs elsewhere: redirects are followed without the password', async (t) => {
    const seen: IncomingHttpHeaders[] = [];
    let data = '';
    const store = createServer((incoming, answer) => {
      seen.push(incoming.headers);
      void readFile(join(data, new URL(incoming.url ?? '/', 'http://x').pathname)).then(
        (bytes) => answer.end(bytes),
        () => answer.writeHead(404).end(),
      );
    });
    await new Promise<void>((resolve) => store.listen(0, '127.0.0.1', resolve));
    t.after(() => store.close());
    const debian = await DebianRegistry.start(t, {
      basic,
      redirectBlobsTo: `http://127.0.0.1:${(store.address() as AddressInfo).port}/`,
    });
    data = debian.data;
    const registry = open(t, debian.host, { credentials: () => basic });
    const built = bundle(1);
    await publishSigned(registry, built, [KEY_A], 'prod');
    await verified(registry, built);
    // Release, five layers, one signature.
    assert.ok(seen.length >= 7, `${seen.length} redirects`);
    assert.ok(seen.every((headers) => headers.authorization === undefined));
  });
});

describe("Debian's registry with token authentication", () => {
  const grants = {
    publisher: { password: 'p1', repositories: { [REPOSITORY]: ['pull', 'push'] } },
    gateway: { password: 'p2', repositories: { [REPOSITORY]: ['pull'] } },
  };
  const as = (username: keyof typeof grants) => ({
    credentials: () => ({ username, password: grants[username].password }),
  });

  it('gives tokens for exactly the scope that is needed, which are used until they expire', async (t) => {
    const tokens = await TokenServer.start(t, grants);
    const { host } = await DebianRegistry.start(t, { token: tokens });
    const built = bundle(1);
    await publishSigned(open(t, host, as('publisher')), built, [KEY_A], 'prod');
    tokens.scopes.length = 0;
    let nowMs = Date.now();
    const gateway = open(t, host, { ...as('gateway'), now: () => nowMs });
    await verified(gateway, built);
    for (let i = 0; i < 5; i += 1) await gateway.resolve('prod');
    assert.deepEqual(tokens.scopes, [`repository:${REPOSITORY}:pull`]);
    nowMs += 47_000;
    await gateway.resolve('prod');
    assert.equal(tokens.scopes.length, 1);
    nowMs += 2000;
    await gateway.resolve('prod');
    assert.equal(tokens.scopes.length, 2, 'a new one after four fifths of its life');
  });

  it('refuses another repository, a push with the right to pull, and a wrong password', async (t) => {
    const tokens = await TokenServer.start(t, grants);
    const { host } = await DebianRegistry.start(t, { token: tokens });
    await assert.rejects(open(t, host, as('gateway'), 'edge/other').resolve('prod'), { code: 'unauthorized' });
    await assert.rejects(publishSigned(open(t, host, as('gateway')), bundle(1)), { code: 'unauthorized' });
    await assert.rejects(
      open(t, host, { credentials: () => ({ username: 'gateway', password: 'x' }) }).resolve('prod'),
      { code: 'unauthorized', message: /for the configured credentials/ },
    );
    await assert.rejects(open(t, host).resolve('prod'), { code: 'unauthorized', message: /without credentials/ });
  });
});

describe('copying a bundle from a layout to the registry', () => {
  it('carries every signature and moves the tag last', async (t) => {
    const { host } = await DebianRegistry.start(t);
    const layout = await temporaryLayout(t);
    const built = bundle(1);
    await publishSigned(layout, built, [KEY_A, KEY_B]);
    const order: string[] = [];
    const registry = open(t, host);
    const watched = Object.assign(Object.create(registry) as OciRegistry, {
      putBlob: registry.putBlob.bind(registry),
      putSignature: (...args: Parameters<OciRegistry['putSignature']>) => (
        order.push('signature'), registry.putSignature(...args)
      ),
      putManifest: (...args: Parameters<OciRegistry['putManifest']>) => (
        order.push(`manifest ${args[2] ?? ''}`), registry.putManifest(...args)
      ),
    });
    assert.equal(await copyBundle(layout, watched, built.digest, 'prod'), 2);
    assert.deepEqual(order, ['manifest ', 'signature', 'signature', 'manifest prod']);
    assert.equal((await registry.manifest(built.digest)).contentType, OCI_MANIFEST);
    await verified(registry, built, { trust: trust({ threshold: 2 }) });
  });
});
