/** `cnx rollout run` with a real registry and three gateways: to all of them step by step, back from all when one takes it back, and on where a run has ended. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { run as bundleCommand } from '../../src/cli/bundle/bundle.ts';
import type { Command } from '../../src/cli/io.ts';
import { run as rolloutCommand } from '../../src/cli/rollout/rollout.ts';
import type { Status } from '../../src/admin/admin-server.ts';
import { DebianRegistry } from '../control/harness/debian-registry.ts';
import { proxyOf } from '../control/harness/registry-proxy.ts';
import { temporaryDirectory } from '../control/harness/sample.ts';
import { type BundleParts, CHANNEL, makeKey, PRODUCT, writeBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { ask, keepAlive } from './client.ts';
import { Given } from './given.ts';
import { release } from './release.ts';

const GATEWAYS = ['edge-1', 'edge-2', 'edge-3'];
const statusOf = async (gateway: TestGateway): Promise<Status> => (await gateway.admin('/v1/status')) as Status;

async function call(command: Command, args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ['', ''];
  const code = await command([...args], {
    stdout: (text) => void (out += text),
    stderr: (text) => void (err += text),
    env: { SOURCE_DATE_EPOCH: '1767225600' },
  });
  return { code, out, err };
}

interface Report {
  readonly outcome: string;
  readonly seq: number;
  readonly done: readonly { readonly act: string; readonly seq: number; readonly text: string }[];
  readonly gateways: readonly { readonly id: string; readonly state: string; readonly detail: string }[];
}

/** A registry with release 1 at the tag, and three gateways that follow it. */
async function world(given: Given, bootstrap: Record<string, unknown> = {}) {
  const ends = { after: (end: () => unknown): void => given.ends(end) };
  const directory = await temporaryDirectory(ends);
  const { host } = await DebianRegistry.start(ends);
  const upstream = await given.upstream();
  const builder = await makeKey(join(directory, 'keys'), 'builder');
  const promoter = await makeKey(join(directory, 'keys'), 'promoter');
  const entry = (key: typeof builder) => (key.trust as { keys: object[] }).keys[0] ?? {};
  const trust = {
    product: PRODUCT,
    channel: CHANNEL,
    keys: [entry(builder), { ...entry(promoter), roles: ['promoter'] }],
  };
  const trustFile = join(directory, 'trust.yaml');
  writeFileSync(trustFile, JSON.stringify(trust));
  const ref = `${host}/edge/config:${CHANNEL}`;
  const layout = `oci:${join(directory, 'bundles')}:built`;

  /** As CI does: build and sign here, push under a tag of its own. */
  const push = async (parts: BundleParts, tag: string): Promise<string> => {
    writeBundle(join(directory, 'source'), parts);
    const built = await call(bundleCommand, [
      'build',
      join(directory, 'source'),
      '--out',
      layout,
      '--key',
      builder.keyFile,
    ]);
    assert.equal(built.code, 0, built.err);
    const pushed = await call(bundleCommand, ['push', layout, `${host}/edge/config:${tag}`]);
    assert.equal(pushed.code, 0, pushed.err);
    return /sha256:[0-9a-f]{64}/.exec(pushed.out)?.[0] ?? '';
  };
  const first = await push(release(upstream.address, 1), CHANNEL);
  const gateways: TestGateway[] = [];
  for (const [i, id] of GATEWAYS.entries()) {
    const gateway = await given.gateway({
      bundle: release(upstream.address, 1),
      awaitReady: false,
      bootstrap: {
        gateway: { id, labels: { ring: i === 0 ? 'first' : 'rest' } },
        trustFile,
        bundle: { source: ref, pollMs: 5_000 },
        ...bootstrap,
      },
    });
    gateways.push(gateway);
  }
  for (const gateway of gateways) await gateway.untilReady();
  const rollOutAt = async (at: string, candidate: string, ...more: string[]) => {
    const urls = gateways.flatMap(({ ports }) => ['--gateway', `http://127.0.0.1:${ports.admin}`]);
    const args = ['run', at, '--candidate', candidate, ...urls, '--trust', trustFile, '--key', promoter.keyFile];
    const told = await call(rolloutCommand, [...args, '--look', '1s', '--json', ...more]);
    return { ...told, report: told.out === '' ? null : (JSON.parse(told.out) as Report) };
  };
  const rollOut = (candidate: string, ...more: string[]) => rollOutAt(ref, candidate, ...more);
  const servedBy = async (gateway: TestGateway): Promise<string> =>
    String((await ask(gateway.ports.http, '/a', { headers: { 'x-tenant': 'any' } })).headers['x-release']);
  return { directory, host, ref, upstream, push, first, gateways, rollOut, rollOutAt, servedBy, trustFile };
}

describe('cnx rollout run', () => {
  const given = new Given();
  after(() => given.end());

  it('brings a bundle to three gateways step by step, tells what it did, and goes on where a run has ended', async () => {
    const { upstream, push, gateways, rollOut, servedBy, ref } = await world(given);
    const second = await push(release(upstream.address, 2), 'r2');
    const steps = ['--steps', 'ring=first,50,100', '--soak', '1s', '--deadline', '5m'];

    // A job that looks once and ends: the first step stands in the index, nothing else does.
    const once = await rollOut('r2', ...steps, '--once');
    assert.equal(once.code, 5, once.err);
    assert.deepEqual(
      once.report?.done.map(({ act, seq, text }) => [act, seq, text]),
      [['step', 1, 'step 1: ring=first']],
    );
    const [edge1, edge2] = gateways;
    assert.ok(edge1 && edge2);
    await edge1.until('the first has it', async () => (await servedBy(edge1)) === '2');
    assert.equal(await servedBy(edge2), '1');
    const status = await statusOf(edge1);
    assert.deepEqual(
      [status.gateway?.id, status.channel?.role, status.channel?.rule, status.channel?.bundle],
      ['edge-1', 'canary', 'ring=first', second],
    );
    const why = await call(rolloutCommand, ['status', '--admin', `http://127.0.0.1:${edge1.ports.admin}`]);
    assert.match(why.out, /gateway +edge-1, ring=first\n/);
    assert.match(why.out, /because +.* assigns by index 1 \(canary, by ring=first\) it\n/);
    const other = await call(rolloutCommand, ['status', '--admin', `http://127.0.0.1:${edge2.ports.admin}`]);
    assert.match(other.out, /stable, for ring=first is not for a gateway with ring=rest/);
    // It serves a moment before that is written down and the poll is over.
    for (const line of ['policy_version_mismatch 0', 'cnx_channel_seq 1', 'cnx_channel_canary 1'])
      await edge1.until(line, async () => (await edge1.probe('/metrics')).body.split('\n').includes(line));

    const rest = await rollOut('r2', ...steps);
    assert.equal(rest.code, 0, rest.err);
    assert.deepEqual(
      rest.report?.done.map(({ act, seq }) => [act, seq]),
      [
        ['step', 2],
        ['step', 3],
        ['promote', 4],
      ],
    );
    assert.deepEqual(
      rest.report?.gateways.map(({ id, state }) => [id, state]),
      GATEWAYS.map((id) => [id, 'serving']),
    );
    for (const gateway of gateways) assert.equal(await servedBy(gateway), '2');

    // Once more is nothing more.
    const again = await rollOut('r2', ...steps);
    assert.deepEqual([again.code, again.report?.done], [0, []]);
    const shown = await call(bundleCommand, ['channel', 'show', ref]);
    assert.match(shown.out, new RegExp(`sequence 4,[^]*stable +${second}`));
    for (const gateway of gateways) await gateway.stop();
  });

  it('takes a bundle back from all when one gateway has taken it back by itself, and not anew by itself', async () => {
    const staged = { rollout: { plan: 'staged', steps: [50, 100], soakMs: 1_000, samplesMin: 5 } };
    const { upstream, push, gateways, rollOut, servedBy, first } = await world(given, staged);
    const [edge1, edge2, edge3] = gateways;
    assert.ok(edge1 && edge2 && edge3);
    const bad = await push(release(upstream.address, 2, true), 'r2');
    const load = { on: true };
    const agent = keepAlive(4);
    const client = async (gateway: TestGateway): Promise<void> => {
      for (let i = 0; load.on; i++) {
        await ask(gateway.ports.http, i % 3 === 0 ? '/b' : '/a', {
          agent,
          headers: { 'x-tenant': `tenant-${i % 200}` },
        });
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    const clients = Promise.all(gateways.map(client));
    try {
      const ended = await rollOut('r2', '--steps', 'gateway=edge-1,100', '--soak', '5s', '--deadline', '5m');
      assert.equal(ended.code, 3, ended.err);
      assert.equal(ended.report?.outcome, 'rolled-back');
      assert.deepEqual(
        ended.report?.done.map(({ act }) => act),
        ['step', 'roll-back'],
      );
      assert.match(ended.report?.done.at(-1)?.text ?? '', /edge-1: rollout: failed answers/);
      for (const { state } of ended.report?.gateways ?? []) assert.equal(state, 'others');
    } finally {
      load.on = false;
      await clients;
      agent.destroy();
    }
    for (const gateway of gateways) {
      assert.equal((await statusOf(gateway)).bundle?.digest, first);
      assert.equal(await servedBy(gateway), '1');
    }
    for (const gateway of [edge2, edge3])
      assert.ok(!(await statusOf(gateway)).rejections.some((r) => r.digest === bad), 'it never saw it');
    const again = await rollOut('r2', '--soak', '1s', '--deadline', '1m');
    assert.deepEqual([again.code, again.report?.done], [3, []]);
    for (const gateway of gateways) await gateway.stop();
  });

  it('holds at its deadline, or takes back, when a gateway does not answer; and endorses nothing that builders have not signed', async () => {
    const { upstream, push, gateways, rollOut, rollOutAt, directory, host, first } = await world(given);
    const [edge1, edge2, edge3] = gateways;
    assert.ok(edge1 && edge2 && edge3);
    await push(release(upstream.address, 2), 'r2');
    await edge3.stop();
    const held = await rollOut('r2', '--steps', 'gateway=edge-1,100', '--soak', '1s', '--deadline', '3s');
    assert.equal(held.code, 4, held.err);
    assert.match(held.report?.gateways.at(-1)?.detail ?? '', /does not answer/);
    await edge1.until('it is there', async () => (await statusOf(edge1)).bundle?.digest !== first);
    // A registry that does not take the tag twice.
    let untaken = 0;
    const flaky = await proxyOf({ after: (end: () => unknown): void => given.ends(end) }, host, (method, path) => {
      const now = method === 'PUT' && path.endsWith(`/manifests/${CHANNEL}`) && untaken < 2;
      if (now) untaken++;
      return now;
    });
    const late = ['--steps', 'gateway=edge-1,100', '--deadline', '1s', '--late', 'roll-back'];
    const back = await rollOutAt(`${flaky.host}/edge/config:${CHANNEL}`, 'r2', ...late);
    assert.equal(back.code, 3, back.err);
    assert.equal(untaken, 2, 'a registry that is away for a moment keeps nothing where it is');
    assert.equal((await statusOf(edge1)).bundle?.digest, first);

    const alien = await makeKey(join(directory, 'keys'), 'alien');
    writeBundle(join(directory, 'source'), release(upstream.address, 3));
    const layout = `oci:${join(directory, 'other')}:built`;
    const built = await call(bundleCommand, [
      'build',
      join(directory, 'source'),
      '--out',
      layout,
      '--key',
      alien.keyFile,
      '--seq',
      '9',
    ]);
    assert.equal(built.code, 0, built.err);
    assert.equal((await call(bundleCommand, ['push', layout, `${host}/edge/config:alien`])).code, 0);
    const refused = await rollOut('alien', '--deadline', '10s');
    assert.equal(refused.code, 1);
    assert.match(refused.err, /wrong_key/);
    assert.ok(readFileSync(alien.keyFile).byteLength > 0);
    for (const gateway of [edge1, edge2]) await gateway.stop();
  });
});
