/** The single binary, run as a user runs it and as an image does. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { plainBundle, writeBundle } from '../test/harness/bundle.ts';
import { TestGateway } from '../test/harness/gateway.ts';
import { TestUpstream } from '../test/harness/upstream.ts';
import { BINARY, binaryIsFresh, buildBinary, manifestOf, replaceOnce } from './build.ts';
import { IMAGE, layOutImage } from './image.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const demo = join(root, 'config/demo');
const dir = mkdtempSync(join(tmpdir(), 'cnx-binary-'));
/** Longer than what a lane matches by itself: goes to the pool. */
const LONG = 'a'.repeat(60_000);
/** A directory that cannot be one: whoever needs it fails. */
const NOWHERE = { HOME: '/dev/null/home', TMPDIR: '/dev/null/tmp' };

let upstream: TestUpstream;

before(
  async () => {
    if (!binaryIsFresh()) await buildBinary();
    upstream = await TestUpstream.start();
  },
  { timeout: 600_000 },
);
after(async () => {
  await upstream.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** The demo's rules in front of one upstream. */
function screened(): ReturnType<typeof plainBundle> {
  const files = globSync('waf/*', { cwd: demo }).map((path) => [path, new Uint8Array(readFileSync(join(demo, path)))]);
  const order = ['setup', 'protocol', 'traversal', 'command', 'sql', 'xss', 'score'];
  return plainBundle([upstream.address], {
    waf: { mode: 'block', rules: order.map((name) => `waf/${name}.conf`), data: ['waf/scanners.data'] },
    files: Object.fromEntries(files) as Record<string, Uint8Array>,
  });
}

/** Starts the gateway from `command`, asks what only lane, pool and addon together can answer, and returns the addon files that its threads have mapped. */
async function serve(
  command: string,
  env: Readonly<Record<string, string>>,
  transport: 'native' | 'uws',
): Promise<string[]> {
  const bootstrap = { lanes: 2, transport };
  const gateway = await TestGateway.start({ bundle: screened(), command: [command], env, bootstrap });
  try {
    const post = (body: string): Promise<Response> =>
      fetch(`http://127.0.0.1:${gateway.ports.http}/body`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body,
      });
    for (const padding of ['', LONG]) {
      const good = await post(`name=rita&text=${padding}`);
      assert.equal(await good.text(), `name=rita&text=${padding}`);
      const bad = await post(`text=${padding}&id=1%27%20OR%20%271%27=%271`);
      assert.equal(bad.status, 403);
      assert.match(await bad.text(), /"code":"waf_blocked"/);
    }
    const health = spawnSync(command, ['health', '--url', `http://127.0.0.1:${gateway.ports.probes}`], {
      env: { ...process.env, ...env },
    });
    assert.equal(health.status, 0, String(health.stderr));
    const maps = readFileSync(`/proc/${gateway.pid}/maps`, 'utf8');
    return [...new Set([...maps.matchAll(/\S+\.node$/gm)].map(([path]) => path))].sort();
  } finally {
    await gateway.stop();
  }
}

/** What is loaded: of transports only the one in use. */
const ADDONS = [
  ['native', ['cnx.node']],
  ['uws', ['cnx.node', 'uws.node']],
] as const;

describe('the bare binary', () => {
  const bare = join(dir, 'bare/cnx');
  const temporary = join(dir, 'tmp');
  const env = { TMPDIR: temporary };
  before(() => {
    mkdirSync(dirname(bare));
    mkdirSync(temporary);
    copyFileSync(BINARY, bare);
  });

  const cnx = (args: string[], own: Readonly<Record<string, string>> = env): ReturnType<typeof run> =>
    run(bare, args, own);

  it('says its version and help, and unpacks nothing for that', () => {
    const version = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version;
    assert.deepEqual(cnx(['--version']), { code: 0, stdout: `${version}\n`, stderr: '' });
    assert.match(cnx(['--help']).stdout, /usage: cnx <command>/);
    assert.deepEqual(readdirSync(temporary), []);
  });

  it('checks the demo bundle', () => {
    const said = cnx(['check', demo]);
    assert.equal(said.code, 0, said.stderr);
    assert.match(said.stdout, /^ok: /);
  });

  it('serves, and all of its threads load the same addons from its private directory', async () => {
    for (const [transport, addons] of ADDONS) {
      const mapped = await serve(bare, env, transport);
      assert.deepEqual(
        mapped.map((path) => basename(path)),
        addons,
      );
      assert.deepEqual([...new Set(mapped.map((path) => dirname(dirname(path))))], [temporary]);
    }
  });

  it('does not use files beside it that are not its own', () => {
    cpSync(join(dirname(BINARY), 'cnx-assets'), join(dirname(bare), 'cnx-assets'), { recursive: true });
    writeFileSync(join(dirname(bare), 'cnx-assets/cnx.node'), 'not an addon');
    const source = join(dir, 'source');
    writeBundle(source, plainBundle([upstream.address]));
    assert.equal(cnx(['check', source]).code, 0);
    const nowhere = cnx(['check', source], NOWHERE);
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.stderr, /cnx\.node is of another build, or was changed.*set TMPDIR/s);
  });
});

describe('the image', () => {
  before(() => layOutImage());

  it('holds the binary, its assets and an empty state directory, and nothing else', () => {
    assert.deepEqual(readdirSync(IMAGE).sort(), ['cnx', 'cnx-assets', 'state']);
    assert.deepEqual(readdirSync(join(IMAGE, 'state')), []);
    assert.deepEqual(manifestOf(join(IMAGE, 'cnx-assets')), manifestOf(join(dirname(BINARY), 'cnx-assets')));
  });

  it('serves with neither a home nor a temporary directory, from the files beside the binary', async () => {
    for (const [transport, addons] of ADDONS) {
      const mapped = await serve(join(IMAGE, 'cnx'), NOWHERE, transport);
      assert.deepEqual(
        mapped,
        addons.map((name) => join(IMAGE, 'cnx-assets', name)),
      );
    }
  });

  it('is what the Dockerfile copies, runs and probes', () => {
    const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8');
    const scripts = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: object }).scripts;
    for (const [, name = ''] of dockerfile.matchAll(/npm run ([\w:]+)/g)) assert.ok(name in scripts, name);
    for (const entry of readdirSync(IMAGE)) assert.ok(dockerfile.includes(`/dist/image/${entry}`), entry);
    assert.match(dockerfile, /^USER nonroot$/m);
    assert.match(dockerfile, /^HEALTHCHECK .*"\/opt\/cnx\/cnx", "health"\]$/m);
  });
});

describe('the build', () => {
  it('replaces exactly one place in a dependency, or fails', () => {
    assert.equal(replaceOnce('a b c', 'b', 'd'), 'a d c');
    assert.throws(() => replaceOnce('a c', 'b', 'd'), /found 0 times: b/);
    assert.throws(() => replaceOnce('b b', 'b', 'd'), /found 2 times/);
  });
});

function run(
  file: string,
  args: string[],
  env: Readonly<Record<string, string>>,
): { readonly code: number | null; readonly stdout: string; readonly stderr: string } {
  const { status, stdout, stderr } = spawnSync(file, args, {
    cwd: dir,
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  return { code: status, stdout, stderr };
}
