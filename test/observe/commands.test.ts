import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { run as explain } from '../../src/cli/explain.ts';
import { run as health } from '../../src/cli/health.ts';
import type { Command } from '../../src/cli/io.ts';
import { run as status } from '../../src/cli/status.ts';
import { REFUSALS } from '../../src/data/refusal.ts';
import { givenExchange } from './given.ts';
import { givenAdmin } from './given-admin.ts';

const TOKEN = '0123456789abcdef0123456789abcdef';

async function ran(command: Command, ...args: string[]) {
  let out = '';
  let err = '';
  const code = await command(args, { stdout: (s) => (out += s), stderr: (s) => (err += s), env: {} });
  return { code, out, err };
}

function directory(t: { after(f: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'cnx-cli-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

test('explain asks a running gateway, with its token', async (t) => {
  const given = givenAdmin(t);
  const ports = await given.admin.listen({
    probes: { address: '127.0.0.1', port: 0 },
    admin: { address: '127.0.0.1', port: 0, token: TOKEN },
  });
  given.observers[0]?.ended(givenExchange());
  const file = join(directory(t), 'token');
  writeFileSync(file, `${TOKEN}\n`);
  const admin = ['--admin', `http://127.0.0.1:${ports.admin}`];
  const told = await ran(explain, '3f2a1b-00-0000002a', ...admin, '--token-file', file);
  assert.equal(told.code, 0, told.err);
  assert.equal(
    told.out.replace('took 5 ms', 'took 5.125 ms'),
    readFileSync(new URL('explain/answered.txt', import.meta.url), 'utf8'),
  );
  const asJson = await ran(explain, '3f2a1b-00-0000002a', ...admin, '--token-file', file, '--json');
  assert.equal((JSON.parse(asJson.out) as { stages: unknown[] }).stages.length, 11);
  const denied = await ran(explain, '3f2a1b-00-0000002a', ...admin);
  assert.deepEqual([denied.code, denied.out, denied.err], [1, '', 'a bearer token is required\n']);
  const unknown = await ran(explain, '3f2a1b-00-000000ff', ...admin, '--token-file', file);
  assert.equal(unknown.code, 1);
  assert.match(unknown.err, /^no record of this request: .*cnx explain --log FILE/u);
});

test('explain reads the log after a restart, and finds refused requests among other lines', async (t) => {
  const given = givenAdmin(t, 1);
  for (let seq = 1; seq <= 200; seq++) {
    const x = givenExchange(undefined, seq);
    if (seq === 77) {
      x.refuse(REFUSALS.policy_denied, 'policy shop-access');
      x.at = x.refusedAt = 6;
      x.status = REFUSALS.policy_denied.status;
    }
    given.observers[0]?.ended(x);
  }
  given.admin.log.event('warn', 'something about 3f2a1b-00-0000004d');
  const lines = await given.closedLog();
  const file = join(directory(t), 'log');
  writeFileSync(file, ['not JSON 3f2a1b-00-0000004d', '{"id":"3f2a1b-00-0000004d"}', ...lines].join('\n'));
  const told = await ran(explain, '--log', file, '3f2a1b-00-0000004d');
  assert.equal(told.code, 0, told.err);
  assert.match(told.out, /^3f2a1b-00-0000004d: refused with 403 policy_denied by authorize\./u);
  assert.match(told.out, /\n> authorize {5}refused/u);
  const missing = await ran(explain, '--log', file, '3f2a1b-00-00000fff');
  assert.equal(missing.code, 1);
  assert.match(missing.err, /no line of .* is about 3f2a1b-00-00000fff/u);
  await assert.rejects(ran(explain, '--log', join(file, 'x'), '3f2a1b-00-0000004d'), /ENOTDIR/u);
});

test('explain says what is wrong with how it was called', async () => {
  for (const args of [[], ['a', 'b'], ['nonsense'], ['3F2A1B-00-0000002A']]) {
    assert.equal((await ran(explain, ...args)).code, 2, args.join(' '));
  }
  for (const command of [explain, health, status]) {
    const help = await ran(command, '--help');
    assert.deepEqual([help.code, help.err], [0, '']);
    assert.match(help.out, /^usage: cnx /u);
  }
  for (const url of ['nonsense', 'file:///etc/passwd']) {
    const { code, err } = await ran(explain, '3f2a1b-00-0000002a', '--admin', url);
    assert.equal(code, 2);
    assert.match(err, /no URL like/u);
  }
});

test('health says with its exit code whether a gateway is ready', async (t) => {
  const given = givenAdmin(t);
  const ports = await given.admin.listen({
    probes: { address: '127.0.0.1', port: 0 },
    admin: { address: '127.0.0.1', port: 0, token: null },
  });
  const url = ['--url', `http://127.0.0.1:${ports.probes}`, '--timeout-ms', '20000'];
  const ready = await ran(health, ...url);
  assert.deepEqual([ready.code, ready.err], [0, '']);
  assert.match(ready.out, /"ready": true/u);
  given.control.state = 'draining';
  const draining = await ran(health, ...url);
  assert.deepEqual([draining.code, draining.out], [1, '']);
  assert.equal((await ran(health, ...url, '--live')).code, 0);
  await given.closedLog();
  const gone = await ran(health, ...url);
  assert.equal(gone.code, 1);
  assert.match(gone.err, /does not answer: .*ECONNREFUSED/u);
  for (const wrong of [['x'], ['--timeout-ms', '0'], ['--timeout-ms', 'x']])
    assert.equal((await ran(health, ...wrong)).code, 2);
});

test('status shows what runs', async (t) => {
  const given = givenAdmin(t);
  const ports = await given.admin.listen({
    probes: { address: '127.0.0.1', port: 0 },
    admin: { address: '127.0.0.1', port: 0, token: null },
  });
  given.columns.ejected[3] = 1;
  given.observers[0]?.tick({ at: 1, openExchanges: 2, openConnections: 5, revision: 7 });
  const told = await ran(status, '--admin', `http://127.0.0.1:${ports.admin}`);
  assert.equal(told.code, 0, told.err);
  assert.match(told.out, /^cnx 0\.1\.0, instance 3f2a1b: serving, up /u);
  for (const text of [
    'bundle      41, sha256:5f70bf18',
    'new, signed by ci-2026a, made 2026-11-20T00:00:00Z, good until 2027-01-01T00:00:00.000Z',
    'source      oci:/srv/bundles: current, last answer 2026-11-21T00:00:00.000Z',
    'trust       epoch 2, highest sequence 42, floor 40, rollback tag, keys ci-2026a',
    'out of rotation: eu-1/127.0.0.1:9003',
    'verify  40  sha256:00  no signature by a trusted key',
    '\n  0     serving   7         2     5',
  ]) {
    assert.ok(told.out.includes(text), `${text}\nin\n${told.out}`);
  }
  const json = await ran(status, '--admin', `http://127.0.0.1:${ports.admin}`, '--json');
  assert.equal((JSON.parse(json.out) as { state: string }).state, 'serving');
});
