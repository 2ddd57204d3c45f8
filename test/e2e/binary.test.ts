/** The single binary does what the sources do: the same traffic, its commands, and a place where nothing can be written. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { TestGateway } from '../harness/gateway.ts';
import { TestIssuer } from '../harness/issuer.ts';
import type { TestUpstream } from '../harness/upstream.ts';
import { ask, codeOf, idOf } from './client.ts';
import { fullBundle, LANE_BYTES_MAX } from './full.ts';
import { Given, untilIdle } from './given.ts';

/** `npm test` builds it before it runs this; elsewhere `npm run build` does. */
const BINARY = process.env['CNX_BINARY'] ?? resolve(import.meta.dirname, '../../dist/cnx');
const ASSETS = `${BINARY}-assets`;

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function cnx(binary: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ran> {
  return new Promise((done) => {
    execFile(
      binary,
      args,
      { env: { ...process.env, ...env }, timeout: 30_000, maxBuffer: 16 * 1024 * 1024 },
      (error, out, err) => done({ code: error === null ? 0 : Number(error.code ?? -1), out, err }),
    );
  });
}

describe('the binary', () => {
  const given = new Given();
  let upstream: TestUpstream;
  let issuer: TestIssuer;

  before(async () => {
    assert.ok(existsSync(BINARY), `${BINARY} is missing: run \`npm run build\` first, or name another in CNX_BINARY`);
    assert.ok(existsSync(ASSETS), `${ASSETS} is missing: run \`npm run build\` first`);
    upstream = await given.upstream();
    issuer = await TestIssuer.make();
  });
  after(() => given.end());

  /** Everything that the sources are tested for, once. */
  async function serves(gateway: TestGateway): Promise<string> {
    const port = gateway.ports.https;
    const tls = true;
    const token = `Bearer ${await issuer.token({ roles: ['admin'], tenant: 'acme' })}`;
    assert.equal((await ask(port, '/', { tls })).body, 'upstream');
    assert.equal(codeOf(await ask(port, '/echo', { tls })), 'token_missing');
    const allowed = await ask(port, '/echo', { tls, method: 'POST', body: 'hi', headers: { authorization: token } });
    assert.equal(allowed.status, 200, allowed.body);
    const echoed = JSON.parse(allowed.body) as { body: string; headers: Record<string, string> };
    assert.deepEqual([echoed.body, echoed.headers['x-user']], ['hi', 'alice']);
    const reader = `Bearer ${await issuer.token({ roles: ['reader'], tenant: 'acme' })}`;
    const denied = await ask(port, '/echo', { tls, method: 'POST', body: 'hi', headers: { authorization: reader } });
    assert.equal(codeOf(denied), 'policy_denied');

    assert.equal(codeOf(await ask(port, '/?q=union%20select', { tls })), 'waf_blocked');
    // Too long for a lane: the pool's threads match it.
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    const filler = `a=${'x'.repeat(4 * LANE_BYTES_MAX)}`;
    const clean = await ask(port, '/sink', { tls, method: 'POST', headers: form, body: filler });
    assert.equal(clean.body, String(filler.length));
    const attack = await ask(port, '/sink', { tls, method: 'POST', headers: form, body: `${filler}&b=union+select` });
    assert.equal(codeOf(attack), 'waf_blocked');

    const limited = async (): Promise<number> =>
      (await ask(port, '/limited', { tls, headers: { 'x-key': 'one' } })).status;
    assert.deepEqual([await limited(), await limited(), await limited()], [200, 200, 429]);
    await untilIdle(gateway);
    return idOf(attack);
  }

  it('serves as the sources do, explains, is healthy, and ends with code 0', async () => {
    const gateway = await given.gateway({
      bundle: fullBundle(upstream.address, issuer),
      bootstrap: { lanes: 2 },
      command: [BINARY],
    });
    const refused = await serves(gateway);
    const { lanes } = (await gateway.admin('/v1/status')) as { lanes: { state: string }[] };
    assert.deepEqual(
      lanes.map((l) => l.state),
      ['serving', 'serving'],
    );

    const probes = `http://127.0.0.1:${gateway.ports.probes}`;
    const admin = `http://127.0.0.1:${gateway.ports.admin}`;
    const healthy = await cnx(BINARY, ['health', '--url', probes]);
    assert.equal(healthy.code, 0, healthy.err);
    const told = await cnx(BINARY, ['explain', refused, '--admin', admin]);
    assert.equal(told.code, 0, told.err);
    assert.match(told.out, /refused with 403 waf_blocked by waf[^]*\b1001\b/);
    const status = await cnx(BINARY, ['status', '--admin', admin]);
    assert.equal(status.code, 0, status.err);
    await gateway.stop();
    assert.notEqual((await cnx(BINARY, ['health', '--url', probes])).code, 0);
  });

  it('serves from a place where nothing can be written, as in the container image', async () => {
    const place = mkdtempSync(join(tmpdir(), 'cnx-image-'));
    given.ends(() => rmSync(place, { recursive: true, force: true }));
    const binary = join(place, 'cnx');
    copyFileSync(BINARY, binary);
    cpSync(ASSETS, join(place, 'cnx-assets'), { recursive: true });
    const before = readdirSync(place);
    const gateway = await given.gateway({
      bundle: fullBundle(upstream.address, issuer),
      bootstrap: { lanes: 2 },
      command: [binary],
      // Also for root, who may write everywhere: there is no such directory.
      env: { TMPDIR: join(place, 'not-there') },
    });
    await serves(gateway);
    await gateway.stop();
    assert.deepEqual(readdirSync(place), before);
  });

  it('alone unpacks what it needs into a private directory, and says so when it cannot', async () => {
    const place = mkdtempSync(join(tmpdir(), 'cnx-alone-'));
    given.ends(() => rmSync(place, { recursive: true, force: true }));
    const binary = join(place, 'cnx');
    copyFileSync(BINARY, binary);
    const temporary = join(place, 'tmp');
    mkdirSync(temporary);
    const version = await cnx(binary, ['--version'], { TMPDIR: temporary });
    assert.equal(version.code, 0, version.err);
    const bundle = fullBundle(upstream.address, issuer);
    await assert.rejects(
      given.gateway({ bundle, command: [binary], env: { TMPDIR: join(place, 'not-there') } }),
      /ended \(code \d+\)[^]*TMPDIR/,
    );
    const gateway = await given.gateway({
      bundle,
      command: [binary],
      env: { TMPDIR: temporary },
    });
    assert.equal((await ask(gateway.ports.http, '/')).body, 'upstream');
    assert.equal(readdirSync(temporary).length, 1);
    await gateway.stop();
  });
});
