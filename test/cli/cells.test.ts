/** `cnx cells plan` as an operator uses it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { run as cellsCommand } from '../../src/cli/cells/cells.ts';
import { writeBundle } from '../harness/bundle.ts';

const root = mkdtempSync(join(tmpdir(), 'cnx-cells-'));
after(() => rmSync(root, { recursive: true, force: true }));
const directory = join(root, 'bundle');
writeBundle(directory, {
  routes: {
    routes: [
      { id: 'all', match: { path: { prefix: '/' } }, access: 'public', reason: 'for a test', tenant: { hostLabel: 0 } },
    ],
  },
  cells: {
    cells: ['a', 'b', 'c'].map((id) => ({ id, endpoints: [{ address: '127.0.0.1:1' }] })),
  },
});
const tenantsFile = join(root, 'tenants.txt');
writeFileSync(tenantsFile, `# ours\n${Array.from({ length: 900 }, (_, i) => `tenant-${i}`).join('\n')}\n`);

async function plan(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await cellsCommand(['plan', directory, ...args], {
    stdout: (t) => (out += t),
    stderr: (t) => (err += t),
    env: { PATH: '' },
  });
  return { code, out, err };
}

test('it tells what a new cell takes, and the pins that even it out', async () => {
  const { code, out } = await plan('--add', 'd', '--tenants', tenantsFile);
  assert.equal(code, 0);
  assert.match(out, /^CELL +RING +THEN +SKEW/);
  assert.match(out, /^d +- +\d/m);
  assert.match(out, / % of the ring moves:\n {2}[abc] -> d: /);
  assert.match(out, /\d+ tenant\(s\) move:/);
  assert.match(out, /every cell is within [0-5](\.\d\d)? % of an even share/);
});

test('--check fails where a cell is off, --json has everything', async () => {
  const { out } = await plan('--json', '--tenants', tenantsFile);
  const json = JSON.parse(out) as { after: { loadSkew: number }[]; moves: unknown[] };
  assert.deepEqual(json.moves, []);
  const uneven = json.after.some((c) => Math.abs(c.loadSkew) > 0.05);
  assert.equal((await plan('--check', '--tenants', tenantsFile)).code, uneven ? 1 : 0);
});

test('what cannot be is said', async () => {
  await assert.rejects(plan('--remove', 'z'), /no cell "z" takes tenants/);
  await assert.rejects(plan('--add', 'a'), /cell "a" is there already/);
  for (const wrong of ['x y', '', 'd@', 'd@e u', 'd@eu@us', 'D']) {
    const { code, out, err } = await plan('--add', wrong);
    assert.deepEqual([code, out], [2, '']);
    assert.match(err, /^cnx cells plan: --add ".*": a cell, and a region after @, is a name/);
  }
  const wrong = join(root, 'wrong.txt');
  writeFileSync(wrong, 'acme 3\nglobex much\n');
  await assert.rejects(plan('--tenants', wrong), /wrong\.txt:2: a tenant's id and, after a space, a number/);
});

test('--check fails where no cell is left', async () => {
  const { code, out } = await plan('--remove', 'a', '--remove', 'b', '--remove', 'c', '--check');
  assert.match(out, /no cell is left: every tenant would be refused\n$/);
  assert.equal(code, 1);
});
