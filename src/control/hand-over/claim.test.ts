import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { StateClaim } from './claim.ts';

/** Who wants it at the same instant. */
const RIVALS = 12;
const ROUNDS = 25;

const nobody = (): void => assert.fail('no socket could be had');

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'cnx-claim-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

async function race(directory: string): Promise<readonly (StateClaim | null)[]> {
  const ends = await Promise.allSettled(Array.from({ length: RIVALS }, () => StateClaim.take(directory, nobody)));
  for (const end of ends)
    if (end.status === 'rejected') assert.match(String(end.reason), /another gateway runs with the state directory/);
  return ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
}

describe('a state directory', () => {
  it('is had by one of those who want it at once, also after one that is gone', async (t) => {
    const directory = directoryOf(t);
    for (let round = 0; round < ROUNDS; round += 1) {
      const winners = await race(directory);
      assert.equal(winners.length, 1, `round ${round}`);
      await assert.rejects(StateClaim.take(directory, nobody), /another gateway runs/);
      winners[0]?.release();
    }
    assert.equal(readdirSync(directory).length, 1, 'what lies there does not grow');
  });

  it('is held by a process until it is killed, and then had by one of those who want it', async (t) => {
    const directory = directoryOf(t);
    const claim = fileURLToPath(new URL('claim.ts', import.meta.url));
    const script = `import { StateClaim } from ${JSON.stringify(claim)};
      await StateClaim.take(process.argv[1], console.error);
      console.log('held');
      setInterval(() => undefined, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    assert.equal((await race(directory)).length, 0);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const winners = await race(directory);
    assert.equal(winners.length, 1);
    winners[0]?.release();
  });

  it('is had where only files of that name lie', async (t) => {
    const directory = directoryOf(t);
    for (const name of ['in-use.sock', 'in-use-7.sock', 'in-use-000000000000.new'])
      writeFileSync(join(directory, name), '');
    const claim = await StateClaim.take(directory, nobody);
    assert.deepEqual(readdirSync(directory), ['in-use-8.sock']);
    claim?.release();
  });

  it('without room for a socket is had, and that nothing keeps others off is told', async (t) => {
    const directory = join(directoryOf(t), 'x'.repeat(200));
    const told: string[] = [];
    const tell = (_level: string, message: string, { reason }: Record<string, unknown>): void =>
      void told.push(`${message}: ${String(reason)}`);
    assert.equal(await StateClaim.take(directory, tell), null);
    assert.equal(told.length, 1);
    assert.match(told[0] ?? '', /^nothing keeps another gateway from .* at most 107: name a shorter stateDir/);
    assert.deepEqual(readdirSync(join(directory, '..')), [basename(directory)], 'nothing is made beside it');
  });
});
