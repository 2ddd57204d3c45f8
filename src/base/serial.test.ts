import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Serial } from './serial.ts';

test('tasks run one after the other, in order, whichever takes longer', async () => {
  const serial = new Serial();
  const seen: string[] = [];
  const task = (name: string, turns: number) => async (): Promise<string> => {
    seen.push(`${name} begins`);
    for (let i = 0; i < turns; i++) await turn();
    seen.push(`${name} ends`);
    return name;
  };
  const results = await Promise.all([serial.run(task('a', 5)), serial.run(task('b', 0))]);
  assert.deepEqual(results, ['a', 'b']);
  assert.deepEqual(seen, ['a begins', 'a ends', 'b begins', 'b ends']);
});

test('a failure reaches who asked, and nobody else', async () => {
  const serial = new Serial();
  const failing = serial.run(() => Promise.reject(new Error('a disk is full')));
  const next = serial.run(() => Promise.resolve(7));
  await assert.rejects(failing, /a disk is full/);
  assert.equal(await next, 7);
  await serial.idle();
});

test('idle waits for what was asked for before it', async () => {
  const serial = new Serial();
  let done = false;
  void serial.run(async () => {
    await turn();
    done = true;
  });
  await serial.idle();
  assert.equal(done, true);
});
