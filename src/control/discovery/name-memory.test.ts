import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { NameMemory, REMEMBERED_MAX, type RememberedName } from './name-memory.ts';

const root = mkdtempSync(join(tmpdir(), 'cnx-names-'));
after(() => rmSync(root, { recursive: true }));
let files = 0;
const fresh = (): string => join(root, String(++files), 'names.json');

const to = (host: string): RememberedName => ({
  addresses: { 'ipv4 orders.test': [host] },
  records: [],
  found: [{ host, port: 80, name: 'orders.test', priority: 0, weight: null }],
  answeredAt: 1,
});

async function opened(file: string): Promise<{ memory: NameMemory; told: string[] }> {
  const told: string[] = [];
  const memory = new NameMemory(file, (_, message, { reason }) => told.push(`${message}: ${String(reason)}`));
  await memory.load();
  return { memory, told };
}

test('what was kept is known after a restart, and what leads nowhere is not', async () => {
  const file = fresh();
  const { memory, told } = await opened(file);
  memory.keep('a', to('10.0.0.1'));
  memory.keep('b', to('::1'));
  memory.keep('a', undefined);
  await memory.settled();
  const again = await opened(file);
  assert.equal(again.memory.recall('a'), undefined);
  assert.deepEqual(again.memory.recall('b'), to('::1'));
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual([...told, ...again.told], []);
});

test('those that led elsewhere longest ago go beyond the bound', async () => {
  const { memory } = await opened(fresh());
  for (let i = 0; i <= REMEMBERED_MAX; i++) memory.keep(`n${i}`, to('10.0.0.1'));
  memory.keep('n1', to('10.0.0.2'));
  memory.keep('last', to('10.0.0.3'));
  await memory.settled();
  assert.equal(memory.recall('n0'), undefined);
  assert.deepEqual(memory.recall('n1'), to('10.0.0.2'));
  assert.equal(memory.recall('n2'), undefined);
  assert.notEqual(memory.recall('n3'), undefined);
});

test('a file that is none is told, and nothing of it is believed', async () => {
  const file = fresh();
  const { memory } = await opened(file);
  memory.keep('a', to('10.0.0.1'));
  await memory.settled();
  const whole = readFileSync(file, 'utf8');
  for (const [text, reason] of [
    ['', /JSON/],
    [whole.slice(0, -2), /JSON/],
    [whole.replace('"format":1', '"format":2'), /another form/],
    [whole.replace('"port":80', '"port":"80"'), /another form/],
    [whole.replace('"names"', '"names":{},"other"'), /another form/],
  ] as const) {
    writeFileSync(file, text);
    const { memory: read, told } = await opened(file);
    assert.equal(read.recall('a'), undefined, text);
    assert.equal(told.length, 1);
    assert.match(told[0] ?? '', reason);
  }
  // A name in the place of an address would be asked for.
  writeFileSync(file, whole.replaceAll('10.0.0.1', 'evil.test'));
  assert.equal((await opened(file)).memory.recall('a'), undefined);
});

test('a place that cannot be written is told, and nothing fails', async () => {
  const file = join(fresh(), 'below', 'names.json');
  const { memory, told } = await opened(file);
  // A file where the directory would be.
  const above = join(file, '..');
  memory.keep('a', to('10.0.0.1'));
  await memory.settled();
  rmSync(above, { recursive: true });
  writeFileSync(above, '');
  memory.keep('b', to('10.0.0.1'));
  await memory.settled();
  assert.equal(told.length, 1);
  assert.match(told[0] ?? '', /cannot be kept/);
  assert.notEqual(memory.recall('b'), undefined);
});
