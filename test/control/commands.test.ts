import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { cp, mkdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { parse } from 'yaml';
import { buildCommand, type BundleSource } from '../../src/cli/bundle/build.ts';
import { run as bundleCommand } from '../../src/cli/bundle/bundle.ts';
import type { Command } from '../../src/cli/io.ts';
import { run as keygen } from '../../src/cli/keygen.ts';
import { LAYERS } from '../../src/control/oci/media-types.ts';
import { readTrustFile } from '../../src/control/trust/file.ts';
import { temporaryDirectory } from './harness/sample.ts';

const ROUTES = (text: string): BundleSource => ({
  release: { product: 'edge', channels: ['prod'], floor: 0 },
  layers: [{ mediaType: LAYERS.routes.mediaType, title: 'routes.json', bytes: new TextEncoder().encode(text) }],
});

async function call(command: Command, args: string[], env: Record<string, string> = {}) {
  let out = '';
  let err = '';
  const code = await command(args, { stdout: (text) => void (out += text), stderr: (text) => void (err += text), env });
  return { code, out, err };
}

/** A directory with a key, a trust policy for it, and a build command whose source a test may change. */
async function world(t: TestContext) {
  const directory = await temporaryDirectory(t);
  const at = (...parts: string[]) => join(directory, ...parts);
  await mkdir(at('src'));
  await writeFile(at('src', 'routes.yaml'), 'routes: []\n');
  await utimes(at('src', 'routes.yaml'), 1_700_000_000, 1_700_000_000);
  const made = await call(keygen, ['--out', at('keys'), '--id', 'ci']);
  assert.equal(made.code, 0, made.err);
  await writeFile(
    at('trust.yaml'),
    `product: edge\nchannel: prod\nkeys:\n${made.out.slice(made.out.indexOf('  - id:'))}`,
  );
  const state = { source: ROUTES('{}') };
  const build = buildCommand(async () => state.source);
  return {
    at,
    state,
    build,
    key: at('keys', 'ci.key'),
    trust: at('trust.yaml'),
    layout: `oci:${at('layout')}`,
    env: { SOURCE_DATE_EPOCH: '1763596800' },
  };
}
const digestIn = (text: string) => /sha256:[0-9a-f]{64}/.exec(text)?.[0];

/** What is to be pasted under `keys:` of a trust policy. */
const entriesOf = (out: string): { id: string; alg: string; roles: string[]; spki: string }[] =>
  parse(out.slice(out.indexOf('  - id:')));

describe('cnx keygen', () => {
  it('prints entries that stand one under another in a trust policy as they are', async (t) => {
    const directory = await temporaryDirectory(t);
    const outs: string[] = [];
    for (const [id, role] of [
      ['ci-2026', 'builder'],
      ['release-2026', 'promoter'],
    ] as const)
      outs.push((await call(keygen, ['--out', directory, '--id', id, '--role', role])).out);
    const file = join(directory, 'trust.yaml');
    const pasted = outs.map((out) => out.slice(out.indexOf('  - id:')));
    await writeFile(file, `product: edge\nchannel: prod\nkeys:\n${pasted.join('')}`);
    const { keys } = await readTrustFile(file);
    assert.deepEqual(
      keys.map(({ id, roles }) => [id, roles]),
      [
        ['ci-2026', ['builder']],
        ['release-2026', ['promoter']],
      ],
    );
  });

  for (const alg of ['ed25519', 'ecdsa-p256'] as const) {
    it(`makes an ${alg} pair that openssl reads, the private key for its owner alone`, async (t) => {
      const directory = join(await temporaryDirectory(t), 'keys');
      const { code, out } = await call(keygen, ['--alg', alg, '--out', directory]);
      assert.equal(code, 0);
      assert.equal((await stat(join(directory, 'bundle.key'))).mode & 0o777, 0o600);
      const publicPem = await readFile(join(directory, 'bundle.pub'), 'utf8');
      assert.equal(
        execFileSync('openssl', ['pkey', '-in', join(directory, 'bundle.key'), '-pubout'], { encoding: 'utf8' }),
        publicPem,
      );
      const [entry] = entriesOf(out);
      assert.deepEqual([entry?.id, entry?.alg, entry?.roles], ['bundle', alg, ['builder']]);
      const fromSnippet = createPublicKey({
        key: Buffer.from(entry?.spki ?? '', 'base64'),
        format: 'der',
        type: 'spki',
      });
      assert.ok(fromSnippet.equals(createPublicKey(createPrivateKey(await readFile(join(directory, 'bundle.key'))))));
    });
  }

  it('never writes over a key', async (t) => {
    const directory = await temporaryDirectory(t);
    assert.equal((await call(keygen, ['--out', directory])).code, 0);
    const before = await readFile(join(directory, 'bundle.key'));
    const again = await call(keygen, ['--out', directory]);
    assert.equal(again.code, 2);
    assert.match(again.err, /is there already/);
    assert.deepEqual(await readFile(join(directory, 'bundle.key')), before);
  });

  for (const [args, message] of [
    [[], /--out DIR is missing/],
    [['--out', 'x', '--alg', 'rsa'], /ed25519 or ecdsa-p256/],
    [['--out', 'x', '--id', '../x'], /--id is a name/],
    [['--out', 'x', '--id', 'CI'], /--id is a name of small letters/],
    [['--nonsense'], /Unknown option '--nonsense'/],
  ] as const) {
    it(`says how it is used instead of ${JSON.stringify(args)}`, async () => {
      const { code, err } = await call(keygen, [...args]);
      assert.equal(code, 2);
      assert.match(err, message);
    });
  }
});

describe('cnx bundle build', () => {
  it('gives the same digest on every machine, and the next number when something changed', async (t) => {
    const { at, state, build, layout, env } = await world(t);
    const first = await call(build, [at('src'), '--out', layout], env);
    assert.equal(first.code, 0, first.err);
    assert.match(first.out, /^built/);
    assert.match(first.out, /sequence 1,/);
    const elsewhere = await call(build, [at('src'), '--out', `oci:${at('other')}`], env);
    assert.equal(digestIn(elsewhere.out), digestIn(first.out));
    const again = await call(build, [at('src'), '--out', layout], env);
    assert.match(again.out, /^unchanged/);
    assert.equal(digestIn(again.out), digestIn(first.out));
    state.source = ROUTES('{"routes":[]}');
    const second = await call(build, [at('src'), '--out', layout], env);
    assert.match(second.out, /sequence 2,/);
    state.source = ROUTES('{}');
    const back = await call(build, [at('src'), '--out', layout], env);
    assert.match(back.out, /sequence 3,/, 'going back to old sources is a new release');
  });

  it('takes its time from SOURCE_DATE_EPOCH, else from the newest file where there is no commit', async (t) => {
    const { at, build, layout, env } = await world(t);
    await call(build, [at('src'), '--out', `${layout}:a`], env);
    assert.match((await call(bundleCommand, ['inspect', `${layout}:a`])).out, /created: 2025-11-20T00:00:00Z/);
    await call(build, [at('src'), '--out', `${layout}:b`]);
    assert.match((await call(bundleCommand, ['inspect', `${layout}:b`])).out, /created: 2023-11-14T22:13:20Z/);
    assert.equal((await call(build, [at('src'), '--out', layout], { SOURCE_DATE_EPOCH: 'now' })).code, 2);
  });

  it('takes time and revision from the last commit, and says when there are changes since', async (t) => {
    const { at, build, layout } = await world(t);
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example', ...args], {
        cwd: at('src'),
        env: { ...process.env, GIT_COMMITTER_DATE: '1700000123 +0000' },
      });
    git('init', '-q');
    git('add', '.');
    git('commit', '-q', '-m', 'x');
    await call(build, [at('src'), '--out', `${layout}:clean`]);
    const clean = (await call(bundleCommand, ['inspect', `${layout}:clean`])).out;
    assert.match(clean, /created: 2023-11-14T22:15:23Z/);
    assert.match(clean, /revision: [0-9a-f]{40}\n/);
    await writeFile(at('src', 'routes.yaml'), 'changed');
    await call(build, [at('src'), '--out', `${layout}:dirty`]);
    assert.match((await call(bundleCommand, ['inspect', `${layout}:dirty`])).out, /revision: [0-9a-f]{40}-dirty\n/);
  });

  it('raises the floor to its own number, as the runbooks ask for, where the release before stands', async (t) => {
    const { at, state, build, layout, env } = await world(t);
    assert.equal((await call(build, [at('src'), '--out', layout], env)).code, 0);
    state.source = { ...ROUTES('{}'), release: { ...ROUTES('{}').release, floor: 2 } };
    const raised = await call(build, [at('src'), '--out', layout], env);
    assert.deepEqual([raised.code, raised.err], [0, '']);
    assert.match(raised.out, /sequence 2/);
    assert.match((await call(build, [at('src'), '--out', layout], env)).out, /^unchanged/);
  });

  it('does not give one number to two bundles', async (t) => {
    const { at, state, build, layout, env } = await world(t);
    await call(build, [at('src'), '--out', layout, '--seq', '7'], env);
    assert.match((await call(build, [at('src'), '--out', layout, '--seq', '7'], env)).out, /^unchanged/);
    state.source = ROUTES('[]');
    const again = await call(build, [at('src'), '--out', layout, '--seq', '7'], env);
    assert.equal(again.code, 2);
    assert.match(again.err, /sequence 7 is already that of sha256:.*the next is 8/);
  });

  it('refuses what a gateway would refuse, where it is built', async (t) => {
    const { at, state, build, layout, env } = await world(t);
    state.source = ROUTES('{"a":1,"a":2}');
    const { code, err } = await call(build, [at('src'), '--out', layout], env);
    assert.equal(code, 1);
    assert.match(err, /malformed_json: layer routes\.json: the name "a" twice/);
  });

  it('writes into layouts only, and wants to know which', async (t) => {
    const { at, build, layout } = await world(t);
    for (const [args, message] of [
      [[at('src')], /--out oci:<directory> is missing/],
      [[at('src'), '--out', 'registry.example/a:b'], /is an OCI layout/],
      [['--out', layout], /<dir> is missing/],
      [[at('src'), 'more', '--out', layout], /one argument too many/],
      [[at('src'), '--out', layout, '--seq', '0'], /--seq is a whole number/],
      [[at('src'), '--out', layout, '--key', at('trust.yaml')], /is not an unencrypted private key/],
    ] as const) {
      const { code, err } = await call(build, [...args]);
      assert.equal(code, 2, err);
      assert.match(err, message);
    }
  });
});

describe('cnx bundle', () => {
  it('signs, verifies with every step, inspects and pushes', async (t) => {
    const { at, build, key, trust, layout, env } = await world(t);
    const built = await call(build, [at('src'), '--out', layout], env);
    assert.match(built.out, /\(not signed\)/);
    const unsigned = await call(bundleCommand, ['verify', layout, '--trust', trust]);
    assert.equal(unsigned.code, 1);
    assert.match(unsigned.out, /^ok {3}root .*\nNO {3}unsigned: /s);
    assert.match((await call(bundleCommand, ['sign', layout, '--key', key])).out, /^signed/);
    assert.match((await call(bundleCommand, ['sign', layout, '--key', key])).out, /^already/);
    const good = await call(bundleCommand, ['verify', layout, '--trust', trust]);
    assert.equal(good.code, 0, good.out);
    assert.deepEqual(
      good.out.split('\n').map((line) => line.slice(0, 16).trim()),
      [
        'ok   root',
        'ok   signatures',
        'ok   release',
        'ok   audience',
        'ok   order',
        'ok   layers',
        'verified sha256:',
        '',
      ],
    );
    const pushed = await call(bundleCommand, ['push', layout, `oci:${at('copy')}:prod`]);
    assert.match(pushed.out, /signatures {2}1/);
    assert.equal((await call(bundleCommand, ['verify', `oci:${at('copy')}:prod`, '--trust', trust])).code, 0);
    const json = JSON.parse((await call(bundleCommand, ['inspect', `oci:${at('copy')}:prod`, '--json'])).out) as {
      release: { seq: number };
      signatures: string[];
    };
    assert.deepEqual([json.release.seq, json.signatures.length], [1, 1]);
    assert.equal(
      (await call(bundleCommand, ['verify', `oci:${at('copy')}@${digestIn(good.out)}`, '--trust', trust])).code,
      0,
    );
  });

  it('pulls, copies, tags and lists, with what is signed by whom', async (t) => {
    const { at, state, build, key, trust, layout, env } = await world(t);
    const first = digestIn((await call(build, [at('src'), '--out', layout, '--key', key], env)).out);
    state.source = ROUTES('{"second":true}');
    const second = digestIn((await call(build, [at('src'), '--out', layout], env)).out);
    assert.notEqual(first, second);

    const log = (await call(bundleCommand, ['log', layout, '--trust', trust])).out.split('\n');
    assert.match(log[0] ?? '', /^seq +digest +made +floor +signed +commit +tags$/);
    assert.match(log[1] ?? '', new RegExp(`^2 +${second} .* NO +latest$`));
    assert.match(log[2] ?? '', new RegExp(`^1 +${first} .* [a-z]+$`));

    // What a gateway would refuse is not copied when it is asked to look.
    const refused = await call(bundleCommand, ['pull', layout, `oci:${at('seed')}`, '--trust', trust]);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /unsigned/);
    const pulled = await call(bundleCommand, ['pull', `${layout}@${first}`, `oci:${at('seed')}`, '--trust', trust]);
    assert.match(pulled.out, /^pulled .*\nto .*\nsignatures {2}1\n$/s);
    assert.match((await call(bundleCommand, ['pull', layout, 'registry.example/a:b'])).err, /pull writes a layout/);

    // The first run of a pipeline has nothing to go on from; that is no reason to pass over other failures.
    const absent = [`${layout}:candidate`, `oci:${at('seed')}:candidate`] as const;
    assert.deepEqual((await call(bundleCommand, ['pull', ...absent])).code, 1);
    const allowed = await call(bundleCommand, ['pull', ...absent, '--absent-ok']);
    assert.deepEqual([allowed.code, allowed.out], [0, `absent      ${layout}:candidate\n`], allowed.err);
    const none = await call(bundleCommand, ['pull', `oci:${at('nowhere')}:x`, `oci:${at('seed')}`, '--absent-ok']);
    assert.deepEqual([none.code, none.out], [1, '']);
    assert.match((await call(bundleCommand, ['push', ...absent, '--absent-ok'])).err, /--absent-ok is for pull/);
    assert.equal((await call(bundleCommand, ['copy', `oci:${at('seed')}`, `oci:${at('third')}:prod`])).code, 0);
    assert.equal((await call(bundleCommand, ['verify', `oci:${at('third')}:prod`, '--trust', trust])).code, 0);

    const back = await call(bundleCommand, ['tag', `${layout}@${first}`, 'latest']);
    assert.match(back.out, /sequence {4}1, before sequence 2/);
    assert.match(back.err, /goes back/);
    const json = JSON.parse((await call(bundleCommand, ['log', layout, '--json'])).out) as {
      bundles: { seq: number; tags: string[]; signatures: number }[];
    };
    assert.deepEqual(
      json.bundles.map(({ seq, tags, signatures }) => [seq, tags, signatures]),
      [
        [2, [], 0],
        [1, ['latest'], 1],
      ],
    );
    for (const [args, message] of [
      [['tag', layout], /write cnx bundle tag <ref> <tag>/],
      [['tag', layout, 'no tag'], /is no tag for a bundle/],
      [['tag', layout, `sha256-${'0'.repeat(64)}`], /is no tag for a bundle/],
      [['tag', `${layout}:absent`, 'x'], /has no "absent"/],
      [['log'], /<ref> is missing/],
    ] as const) {
      const { code, err } = await call(bundleCommand, [...args]);
      assert.ok(code !== 0);
      assert.match(err, message);
    }
  });

  it('signs while it builds, before the tag moves, and not twice', async (t) => {
    const { at, build, key, trust, layout, env } = await world(t);
    for (let i = 0; i < 2; i += 1) {
      assert.match((await call(build, [at('src'), '--out', layout, '--key', key], env)).out, /\(signed\)/);
      assert.match((await call(bundleCommand, ['inspect', layout])).out, /signatures {2}1 /);
    }
    assert.equal((await call(bundleCommand, ['verify', layout, '--trust', trust])).code, 0);
  });

  it('prints nothing of an unverified bundle that could drive a terminal', async (t) => {
    const { at, state, build, layout, env } = await world(t);
    state.source = {
      ...state.source,
      layers: state.source.layers.map((layer) => ({ ...layer, title: 'x\u001b[2J\u009b31m' })),
    };
    await call(build, [at('src'), '--out', layout], env);
    const { out } = await call(bundleCommand, ['inspect', layout]);
    assert.doesNotMatch(out.replaceAll('\n', ''), /[^ -~\u00a0-\uffff]/);
  });

  it('says what is wrong with a trust policy, with its place', async (t) => {
    const { at, layout, build, env } = await world(t);
    await call(build, [at('src'), '--out', layout], env);
    await cp(at('trust.yaml'), at('bad.yaml'));
    await writeFile(at('bad.yaml'), (await readFile(at('bad.yaml'), 'utf8')).replace('channel:', 'chanel:'));
    const { code, err } = await call(bundleCommand, ['verify', layout, '--trust', at('bad.yaml')]);
    assert.equal(code, 1);
    assert.match(err, /bad\.yaml:2:1.*channel/s);
    await writeFile(
      at('rsa.yaml'),
      (await readFile(at('trust.yaml'), 'utf8')).replace('alg: ed25519', 'alg: ecdsa-p256'),
    );
    assert.match(
      (await call(bundleCommand, ['verify', layout, '--trust', at('rsa.yaml')])).err,
      /keys\[0\]\.spki is ed25519, but alg says ecdsa-p256/,
    );
  });

  for (const [args, code, message] of [
    [[], 2, /cnx bundle <command>/],
    [['nonsense'], 2, /no command "nonsense"/],
    [['toString'], 2, /no command "toString"/],
    [['sign', 'oci:nowhere'], 2, /--key FILE is missing/],
    [['verify', 'oci:nowhere'], 2, /--trust FILE is missing/],
    [['verify'], 2, /<ref> is missing/],
    [['inspect', 'oci:nowhere'], 1, /nowhere is not an OCI image layout/],
    [['inspect', 'https://registry.example/a'], 2, /holds a scheme/],
    [['push', 'oci:nowhere'], 2, /<from ref> <to ref>/],
    [['sign', 'oci:nowhere', '--key', 'no.such.file'], 1, /no\.such\.file/],
  ] as const) {
    it(`answers ${JSON.stringify(args)} with ${code} and the reason`, async () => {
      const result = await call(bundleCommand, [...args]);
      assert.equal(result.code, code, result.err);
      assert.match(result.err, message);
    });
  }

  for (const name of ['build', 'sign', 'verify', 'inspect', 'diff', 'push', 'pull', 'copy', 'tag', 'log']) {
    it(`${name} --help tells how it is used`, async () => {
      const { code, out } = await call(bundleCommand, [name, '--help']);
      assert.equal(code, 0);
      assert.match(out, new RegExp(`^cnx bundle ${name} <`));
    });
  }
});
