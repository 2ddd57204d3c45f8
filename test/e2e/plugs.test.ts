/** Pulls the plugs that no other test pulls with a whole gateway (docs/degradation.md has the table): it says what is lost, goes on, and recovers. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { testAuthority } from '../harness/certs.ts';
import type { BundleParts } from '../harness/bundle.ts';
import { TestGateway } from '../harness/gateway.ts';
import { TestIssuer } from '../harness/issuer.ts';
import { ask, type Ask, codeOf, type Heard } from './client.ts';
import { WebhookReceiver } from './webhook-receiver.ts';
import { EndpointProcess } from './endpoint-process.ts';

interface Dependency {
  readonly name: string;
  readonly down: boolean;
  readonly reason: string;
}

describe('a gateway that loses', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cnx-plugs-'));
  const certificateFile = join(directory, 'tls.crt');
  const keyFile = join(directory, 'tls.key');
  let issuer: TestIssuer;
  let shop: EndpointProcess;
  let receiver: WebhookReceiver;
  let gateway: TestGateway;

  const bundle = (more: object = {}): BundleParts => ({
    waf: { mode: 'off' },
    routes: {
      routes: [{ id: 'all', match: { path: { prefix: '/' } }, access: 'public', reason: 'for a test', cell: 'shop' }],
    },
    cells: { cells: [{ id: 'shop', endpoints: [{ address: shop.address }] }] },
    issuers: {
      issuers: [
        {
          id: 'login',
          issuer: 'https://issuer.test',
          audiences: ['test'],
          algorithms: ['ES256'],
          jwksUrl: issuer.jwksUrl,
        },
      ],
    },
    defaults: {
      degradation: {
        downAfterMs: 0,
        upAfterMs: 0,
        dependencies: [
          { name: 'shop', for: 'all of it', watch: { cell: 'shop' } },
          { name: 'login', for: 'new keys', watch: { issuer: 'login' } },
          { name: 'bundles', for: 'changes', watch: { part: 'registry' } },
          { name: 'disk', for: 'restarts without a source', watch: { part: 'state' } },
          { name: 'certificates', for: 'renewal', watch: { part: 'certificates' } },
          { name: 'time', for: 'tokens', watch: { part: 'clock' } },
          { name: 'log', for: 'audits', watch: { part: 'log' } },
        ],
      },
    },
    ...more,
  });

  before(async () => {
    const leaf = testAuthority().leaf();
    copyFileSync(leaf.certificateFile, certificateFile);
    copyFileSync(leaf.keyFile, keyFile);
    issuer = await TestIssuer.make();
    await issuer.serve();
    shop = await EndpointProcess.start('shop');
    receiver = await WebhookReceiver.start();
    gateway = await TestGateway.start({
      bundle: bundle(),
      tls: { certificateFile, keyFile },
      env: { HOOK_KEY: 'shared' },
      bootstrap: {
        allowFaults: true,
        webhooks: [{ id: 'ops', url: receiver.url, secretFrom: 'env:HOOK_KEY', kinds: ['activated'] }],
      },
    });
  });
  after(async () => {
    await gateway.stop();
    await shop.kill();
    await issuer.stop();
    await receiver.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const down = async (): Promise<readonly Dependency[]> => {
    const status = (await gateway.admin('/v1/status')) as { mode: { dependencies: readonly Dependency[] } };
    return status.mode.dependencies.filter((d) => d.down);
  };
  const untilDown = (...names: readonly string[]): Promise<void> =>
    gateway.until(`down: ${names.join(', ')}`, async () => (await down()).map((d) => d.name).join() === names.join());
  const get = (options: Ask = {}): Promise<Heard> =>
    ask(options.tls === true ? gateway.ports.https : gateway.ports.http, '/', options);

  const said = (words: string): number => gateway.stdout.split(words).length - 1;
  /** Every failure of the audit log's disk was followed by a recovery. */
  const untilAudited = (): Promise<void> =>
    gateway.until(
      'the audit log can be written',
      () => said('the audit log cannot be written') === said('the audit log is written again'),
    );

  it('nothing: nothing is down', () => untilDown());

  it('a cell: its routes are refused, and served again when it is back', async () => {
    await shop.kill();
    await gateway.until('it is refused', async () => codeOf(await get()) === 'no_endpoint');
    await untilDown('shop');
    await shop.run();
    await gateway.until('it is served', async () => (await get()).status === 200);
    await untilDown();
  });

  it('its certificate files: the former certificate serves', async () => {
    writeFileSync(certificateFile, 'no certificate');
    await untilDown('certificates');
    assert.equal((await get({ tls: true })).status, 200);
    copyFileSync(testAuthority().leaf().certificateFile, certificateFile);
    await untilDown();
  });

  it('the source of bundles: what was taken serves', async () => {
    const bundles = join(gateway.directory, 'bundles');
    renameSync(bundles, `${bundles}-away`);
    await untilDown('bundles');
    await gateway.untilPrinted(/"no bundle can be had from the source.*"state":"unreachable".*no oci-layout file/);
    assert.equal((await get()).status, 200);
    renameSync(`${bundles}-away`, bundles);
    await untilDown();
    await gateway.untilPrinted(/"the source answers again"/);
  });

  it('the state directory: bundles are still taken, and it says that none would be there after a restart', async () => {
    const state = join(gateway.directory, 'state');
    renameSync(state, `${state}-away`);
    writeFileSync(state, 'a file where a directory was');
    await gateway.publish(bundle({ limits: { limits: [{ id: 'l', key: ['address'], requests: 1_000 }] } }));
    await untilDown('disk');
    assert.equal((await get()).status, 200);
    rmSync(state);
    renameSync(`${state}-away`, state);
    await gateway.publish(bundle({ limits: { limits: [{ id: 'm', key: ['address'], requests: 1_000 }] } }));
    await untilDown();
  });

  it('room on its disk: what is active serves, it says so, and bundles are taken again when there is some', async () => {
    // As on a full disk every write that would need more room fails; what is there stays.
    const room = (...more: readonly string[]): string =>
      execFileSync('prlimit', ['--pid', String(gateway.pid), ...more], { encoding: 'utf8' }).trim();
    const before = room('--fsize', '--output=SOFT', '--noheadings');
    const limits = (id: string): object => ({ limits: { limits: [{ id, key: ['address'], requests: 1_000 }] } });
    room('--fsize=0:');
    await gateway.publish(bundle(limits('full')));
    await untilDown('disk');
    assert.equal((await get()).status, 200);
    room(`--fsize=${before}:`);
    await gateway.publish(bundle(limits('room')));
    await untilDown();
    assert.equal((await get()).status, 200);
  });

  it('the disk of its audit log: bundles are still taken, it says so, and goes on writing when it can', async () => {
    const audit = join(gateway.directory, 'state/audit');
    await untilAudited();
    const failed = said('the audit log cannot be written');
    renameSync(audit, `${audit}-away`);
    writeFileSync(audit, 'a file where a directory was');
    const limits = (id: string): object => ({ limits: { limits: [{ id, key: ['address'], requests: 1_000 }] } });
    // What is open is written on; a file that is begun, or a head that is put down, is not.
    await gateway.publish(bundle(limits('n')));
    await gateway.until('it says so', () => said('the audit log cannot be written') > failed);
    assert.equal((await get()).status, 200);
    rmSync(audit);
    renameSync(`${audit}-away`, audit);
    await untilAudited();
  });

  it('a receiver of its events: nothing waits for it, and it hears of everything in order when it is back', async () => {
    const limits = (id: string): object => ({ limits: { limits: [{ id, key: ['address'], requests: 1_000 }] } });
    await receiver.stop();
    const missed = [await gateway.publish(bundle(limits('o')))];
    await gateway.untilPrinted(/a webhook cannot be reached; it is tried again/);
    const activated = (digest: string): Promise<void> =>
      gateway.until('the bundle is active', async () => {
        const status = (await gateway.admin('/v1/status')) as { bundle: { digest: string } | null };
        return status.bundle?.digest === digest;
      });
    missed.push(await gateway.publish(bundle(limits('p'))));
    await activated(missed[1] as string);
    assert.equal((await get()).status, 200);
    await receiver.listen();
    await gateway.until('it has heard of both', () => receiver.digests.slice(-2).join() === missed.join());
    await gateway.untilPrinted(/a webhook is reached again/);
  });

  it('its control thread for a while: lanes go on with what is known, nobody answers probes', async () => {
    const probe = (path: string): Promise<unknown> =>
      fetch(`http://127.0.0.1:${gateway.ports.probes}${path}`).then((answer) => answer.text());
    /** Whether requests were served while it was held up, and a probe was not. */
    const stalled = async (): Promise<boolean> => {
      const held = { up: true };
      const stall = fetch(`http://127.0.0.1:${gateway.ports.admin}/v1/fault?stallMs=2000`, { method: 'POST' }).then(
        async (answer) => {
          held.up = false;
          return answer.json();
        },
      );
      await sleep(500);
      const probed = probe('/healthz').then(() => held.up);
      // On a busy machine few fit into that time; those that do were served without it.
      let meanwhile = 0;
      for (; held.up && meanwhile < 200; meanwhile += held.up ? 1 : 0) assert.equal((await get()).status, 200);
      assert.deepEqual(await stall, { stallMs: 2_000 });
      // A lane that waits for it answers one of them at its end.
      return !(await probed) && meanwhile > 2;
    };
    // Where the machine stands still itself, it may not have begun when the probe is asked for, or be over before the first request.
    await gateway.until('requests are served while it is held up, and a probe waits for it', stalled);
    await untilDown();
  });

  it('an issuer: its keys cannot be fetched, and are when it is there', async () => {
    await issuer.stop();
    const { issuers } = bundle() as { issuers: { issuers: readonly object[] } };
    const elsewhere = { issuers: issuers.issuers.map((i) => ({ ...i, jwksUrl: `${issuer.jwksUrl}?again` })) };
    await gateway.publish(bundle({ issuers: elsewhere }));
    await untilDown('login');
    assert.equal((await get()).status, 200);
    await issuer.serve();
    await untilDown();
  });
});
