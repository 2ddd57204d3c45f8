/** `npm start`, as a new user runs it, on ports of its own: every line that it prints does what it says, and Ctrl-C ends it all. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, relative } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { crsDirectory } from '../test/harness/crs.ts';
import { demoLines } from './demo/lines.ts';
import { crsPlace } from './demo/rules.ts';
import { type DemoPlace, demoPlace, takenPorts, withPorts } from './demo/place.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Below the ports that systems give to clients. */
const OFFSETS = [21_000, 20_000, 19_000, 18_000];
const START_MS = 240_000;

async function freePlace(): Promise<DemoPlace> {
  for (const offset of OFFSETS) {
    const place = demoPlace(root, offset);
    if ((await takenPorts(place)).length === 0) return place;
  }
  throw new Error(`ports are taken at every one of the offsets ${OFFSETS.join(', ')}`);
}

/** The rule set that the demo is started with, where it is there. */
const crs = crsDirectory();

function npmStart(...args: string[]): ChildProcess {
  return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(root, 'scripts/start.ts'), ...args], {
    cwd: root,
    env: { ...process.env, ...(crs === null ? {} : { CNX_CRS_DIR: crs }) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

for (const how of [[], ['--binary']])
  describe(['npm start', ...how].join(' -- '), () => {
    let place: DemoPlace;
    let demo: ChildProcess | undefined;
    let said = '';

    before(
      async () => {
        place = await freePlace();
        const started = npmStart(...how, '--port-offset', String(place.offset));
        demo = started;
        process.once('exit', () => started.kill());
        const ended = once(started, 'exit').then(([code]) => `npm start ended with ${String(code)}:\n${said}`);
        const printed = new Promise<void>((resolve) => {
          const hear = (chunk: Buffer): void => {
            said += chunk.toString('utf8');
            if (said.includes('Ctrl-C')) resolve();
          };
          started.stdout?.on('data', hear);
          started.stderr?.on('data', hear);
        });
        const early = await Promise.race([printed, ended]);
        assert.equal(early, undefined);
      },
      { timeout: START_MS },
    );

    after(() => {
      demo?.kill('SIGTERM');
      rmSync(place.state, { recursive: true, force: true });
    });

    it('prints each line of the demo, and each does what it says', () => {
      const file = (name: string): string => relative(root, join(place.state, name));
      const lines = demoLines({
        tlsPort: place.ports.tls,
        plainPort: place.ports.plain,
        caFile: file('tls/ca.crt'),
        readerToken: file('reader.token'),
        adminToken: file('admin.token'),
      });
      for (const { what, command, answers } of lines) {
        assert.ok(said.includes(command), `it does not print: ${command}`);
        const run = spawnSync('bash', ['-c', command], { cwd: root, encoding: 'utf8', timeout: 20_000 });
        assert.match(`${run.stdout}${run.stderr}`, answers, `${what}: ${command}`);
      }
    });

    it('says which rules the WAF runs', () => {
      assert.match(said, crs === null ? /WAF rules: / : /WAF rules: the Core Rule Set of .*crs-4\.28\.0/);
    });

    it('names the ports that are taken when it is started twice', async () => {
      const second = npmStart(...how, '--port-offset', String(place.offset));
      let heard = '';
      second.stderr?.on('data', (chunk: Buffer) => (heard += chunk.toString('utf8')));
      const [code] = (await once(second, 'close')) as [number];
      assert.equal(code, 1);
      assert.match(heard, new RegExp(`ports ${place.ports.plain}, .* taken by another process.*--port-offset`));
    });

    it('ends gateway and services on Ctrl-C, with code 0', async () => {
      assert.ok(demo);
      demo.kill('SIGINT');
      const [code] = (await once(demo, 'exit')) as [number | null];
      assert.equal(code, 0, said.slice(-4_000));
      assert.deepEqual(await takenPorts(place), []);
    });
  });

describe('the rules of the demo', () => {
  it("are those that somebody names, else Debian's when they are there, else its own", () => {
    const nowhere = { from: '/nowhere', setup: '/nowhere' };
    const debian = { from: join(root, 'config'), setup: join(root, 'package.json') };
    assert.deepEqual(crsPlace(root, debian), { from: root, asked: true });
    assert.throws(() => crsPlace('/nowhere'), /CNX_CRS_DIR names \/nowhere, which is not there/);
    assert.equal(crsPlace('', nowhere), null);
    assert.equal(crsPlace(undefined, debian), null, 'there are no rules below');
    const setup = { from: crs ?? root, setup: join(root, 'package.json') };
    assert.deepEqual(crsPlace(undefined, setup), crs === null ? null : { ...setup, asked: false });
  });
});

describe('the place of the demo', () => {
  it('moves every port by the offset, in documents too', () => {
    const place = demoPlace('/project', 1_000);
    assert.equal(place.ports.tls, 9_443);
    assert.equal(
      withPorts('a: "127.0.0.1:9101", to: https:8443, b: 10.0.0.1:1', place),
      'a: "127.0.0.1:10101", to: https:9443, b: 10.0.0.1:1',
    );
  });
  it('takes no offset that gives no port', () => {
    for (const offset of [-1, 1.5, Number.NaN, 60_000])
      assert.throws(() => demoPlace('/project', offset), /--port-offset/);
  });
  it('knows a taken port from a free one', async () => {
    const place = await freePlace();
    const server = createServer().listen(place.ports.admin, '127.0.0.1');
    await once(server, 'listening');
    assert.deepEqual(await takenPorts(place), [place.ports.admin]);
    server.close();
  });
});
