/** What another bundle changes, as a guardrail will see it: between directories and bundles, by two commands. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run as bundleCommand } from '../../src/cli/bundle/bundle.ts';
import { run as checkCommand } from '../../src/cli/check.ts';
import type { Command } from '../../src/cli/io.ts';
import type { Change } from '../../src/control/guardrail/change.ts';
import { buildBundle, CHANNEL, makeKey, plainBundle, writeBundle } from '../harness/bundle.ts';

const GUARDRAIL = fileURLToPath(new URL('../../config/guardrail/guardrail.wasm', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'cnx-diff-'));
after(() => rmSync(directory, { recursive: true, force: true }));

async function call(command: Command, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await command(args, { stdout: (t) => (out += t), stderr: (t) => (err += t), env: {} });
  return { code, out, err };
}

const LIMIT = { id: 'few', key: ['address'], requests: 10, windowMs: 1_000 };
const before = join(directory, 'before');
const next = join(directory, 'next');
const layout = join(directory, 'layout');
const former = `oci:${layout}:${CHANNEL}`;

describe('what a bundle changes', async () => {
  writeBundle(before, plainBundle(['10.0.0.1:80'], { limits: { limits: [LIMIT] }, release: { seq: 3, floor: 2 } }));
  const { keyFile } = await makeKey(join(directory, 'keys'));
  const digest = await buildBundle(before, layout, keyFile);

  it('is nothing between a directory and what was built of it', async () => {
    const { code, out } = await call(bundleCommand, 'diff', former, before, '--guardrail', GUARDRAIL);
    const change = JSON.parse(out) as Change;
    assert.equal(code, 0);
    assert.deepEqual(change.active, { digest, seq: 3, floor: 2 });
    for (const part of [change.routes, change.cells, change.limits, change.policies, change.files])
      assert.deepEqual([part.added, part.removed, part.changed], [{}, {}, {}]);
    for (const part of [change.waf, change.defaults, change.tenants]) assert.deepEqual(part.fields, []);
  });

  it('is compared with what is stable where the tag names a channel index', async () => {
    const promoter = join(directory, 'promoter');
    const made = await makeKey(promoter, 'p');
    const builder = (await makeKey(join(directory, 'second'), 'b')).trust as { keys: { roles: string[] }[] };
    const [keys, promoters] = [builder.keys, (made.trust as typeof builder).keys];
    for (const key of promoters) key.roles = ['promoter'];
    const trust = join(directory, 'trust.yaml');
    writeFileSync(trust, JSON.stringify({ ...made.trust, keys: [...keys, ...promoters] }));
    await call(bundleCommand, 'sign', former, '--key', join(directory, 'second', 'b.key'));
    const tag = `oci:${layout}:index`;
    const signs = ['--trust', trust, '--key', made.keyFile];
    const set = await call(bundleCommand, 'channel', 'set', tag, ...signs, '--stable', CHANNEL);
    assert.equal(set.code, 0, set.err);
    const { code, out, err } = await call(bundleCommand, 'diff', tag, before);
    assert.equal(code, 0, err);
    assert.equal((JSON.parse(out) as Change).active?.digest, digest);
    for (const args of [
      ['inspect', tag],
      ['tag', tag, 'x'],
      ['sign', tag, '--key', made.keyFile],
    ])
      assert.match((await call(bundleCommand, ...args)).err, /index, not a bundle; cnx bundle channel/);
  });

  it('is printed alike by both commands, and denied in the words of a guardrail', async () => {
    writeBundle(next, plainBundle(['10.0.0.2:80'], { release: { seq: 4, floor: 2 } }));
    const diff = await call(bundleCommand, 'diff', former, next, '--guardrail', GUARDRAIL);
    assert.equal(diff.code, 1);
    assert.equal(diff.err, 'denied: limit few goes\n');
    const change = JSON.parse(diff.out) as Change;
    assert.deepEqual(Object.keys(change.limits.removed), ['few']);
    assert.deepEqual(change.cells.changed['one']?.fields, ['/endpoints']);
    const check = await call(checkCommand, next, '--against', former);
    assert.equal(check.code, 0, check.err);
    assert.equal(check.out, diff.out);
    assert.match(check.err, /^ok: 1 route/m);
    const back = await call(bundleCommand, 'diff', next, before, '--rollback', '--guardrail', GUARDRAIL);
    assert.deepEqual([back.code, (JSON.parse(back.out) as Change).direction], [0, 'rollback']);
  });

  it('cannot be told of what is not there', async () => {
    assert.equal((await call(bundleCommand, 'diff', before)).code, 2);
    const absent = await call(bundleCommand, 'diff', `oci:${join(directory, 'absent')}`, before);
    assert.equal(absent.code, 1);
    const denied = await call(bundleCommand, 'diff', before, next, '--guardrail', join(directory, 'absent.wasm'));
    assert.equal(denied.code, 1);
    assert.match(denied.err, /cannot say yes: ENOENT/);
  });
});
