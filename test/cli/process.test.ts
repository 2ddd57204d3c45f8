/** `cnx` as a process: that it ends, with which exit code, and what it says when what it was given cannot be used. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { after, describe, it } from 'node:test';
import { cli } from '../harness/cli.ts';
import { freePorts } from '../harness/ports.ts';

const root = mkdtempSync(join(tmpdir(), 'cnx-process-'));
after(() => rmSync(root, { recursive: true, force: true }));

const spki = (type: 'ed25519' | 'ec'): string =>
  (type === 'ec' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519')).publicKey
    .export({ type: 'spki', format: 'der' })
    .toString('base64');
const KEY = { id: 'ci', alg: 'ed25519', roles: ['builder'], spki: spki('ed25519') };
const TRUST = { product: 'test', channel: 'stable', keys: [KEY] };

let made = 0;
/** A directory with a bootstrap and a trust policy; gives the path of the bootstrap. */
async function bootstrap(more: object = {}, trust: object = TRUST): Promise<string> {
  const directory = join(root, `given-${++made}`);
  mkdirSync(directory);
  const [http, probes, admin] = await freePorts(3);
  const given = {
    listeners: [{ id: 'http', address: '127.0.0.1', port: http }],
    probes: { address: '127.0.0.1', port: probes },
    admin: { address: '127.0.0.1', port: admin },
    bundle: { source: 'oci:layout:stable' },
    trustFile: 'trust.yaml',
    stateDir: 'state',
    ...more,
  };
  writeFileSync(join(directory, 'trust.yaml'), JSON.stringify(trust));
  writeFileSync(join(directory, 'bootstrap.yaml'), JSON.stringify(given));
  return join(directory, 'bootstrap.yaml');
}

describe('cnx run, of what the bootstrap or the trust policy says and cannot be', () => {
  const wrong: Readonly<Record<string, readonly [RegExp, object, object?]>> = {
    'a source that is no reference': [/"foo"/, { bundle: { source: 'foo' } }],
    'a source that is a URL': [/https:\/\/registry\.example/, { bundle: { source: 'https://registry.example/a:b' } }],
    'a mirror that is no reference': [
      /"foo"/,
      { bundle: { source: 'oci:layout:stable', mirrors: [{ source: 'foo' }] } },
    ],
    'more signatures than keys': [/threshold/, {}, { ...TRUST, threshold: 2 }],
    'a key of another algorithm': [/ecdsa-p256/, {}, { ...TRUST, keys: [{ ...KEY, alg: 'ecdsa-p256' }] }],
    'a key that is none': [/spki/, {}, { ...TRUST, keys: [{ ...KEY, spki: 'A'.repeat(60) }] }],
    'two keys of one name': [/the same id as/, {}, { ...TRUST, keys: [KEY, { ...KEY, spki: spki('ed25519') }] }],
    'no key of a builder': [/builder/, {}, { ...TRUST, keys: [{ ...KEY, roles: ['promoter'] }] }],
  };
  for (const [what, [message, more, trust]] of Object.entries(wrong))
    for (const args of what === 'a source that is no reference' ? [[], ['--take-over']] : [[]])
      it(`ends with 1 and one line: ${[what, ...args].join(', ')}`, async () => {
        const { code, stderr } = await cli(['run', '--config', await bootstrap(more, trust), ...args]);
        // What the text alone shows has its place before it.
        assert.match(stderr, /^(cnx run|\S+bootstrap\.yaml:\d+:\d+): [^\n]+\n$/);
        assert.match(stderr, message);
        assert.equal(code, 1);
      });
});

describe('cnx run, of what it cannot use', () => {
  const file = (name: string, text: string): string => {
    const path = join(root, name);
    writeFileSync(path, text);
    return path;
  };
  const refused = async (more: object, message: RegExp): Promise<void> => {
    const { code, stderr } = await cli(['run', '--config', await bootstrap(more)]);
    assert.match(stderr, message);
    assert.match(stderr, /^cnx run: [^\n]+\n$/);
    assert.equal(code, 1);
  };

  it('says that stateDir is no directory, not to remove what is there', async () => {
    await refused({ stateDir: file('state', '') }, /stateDir is no directory: .*state;/);
    await refused({ stateDir: join(file('above', ''), 'state') }, /above\/state: a part of the path is a file/);
  });
  it('names a directory that stands where a file is wanted', async () => {
    const { code, stderr } = await cli(['run', '--config', root]);
    assert.equal(stderr, `cnx run: ${root}: it is a directory, where a file is wanted (EISDIR)\n`);
    assert.equal(code, 1);
    await refused({ trustFile: root }, /cnx-process-\w+: it is a directory, where a file is wanted/);
    await refused({ admin: { port: 0, tokenFile: root } }, /cnx-process-\w+: it is a directory/);
  });
  it('names the listener whose port is taken, and the mend', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    try {
      for (const field of ['probes', 'admin'])
        await refused(
          { probes: { port: 0 }, [field]: { address: '127.0.0.1', port } },
          new RegExp(`\`${field}\` cannot be opened on 127\\.0\\.0\\.1:${port}: .*${field}\\.port.*EADDRINUSE`),
        );
    } finally {
      taken.close();
    }
  });
  it('names the field of a secret', async () => {
    await refused({ secrets: { db: 'file:none' } }, /secrets\.db cannot be read: .*none: there is no such file/);
    await refused({ secrets: { db: 'env:NOPE_A' } }, /secrets\.db is empty: env:NOPE_A holds nothing/);
    await refused({ secrets: { db: `file:${root}` } }, /secrets\.db cannot be read: .*it is a directory/);
    await refused({ rollout: { hashKeyFrom: 'env:NOPE_A' } }, /rollout\.hashKeyFrom is empty: env:NOPE_A/);
    const hook = { id: 'ops', url: 'http://127.0.0.1:1/', kinds: ['stale'], secretFrom: 'env:NOPE_A' };
    await refused({ webhooks: [hook] }, /secretFrom of the webhook ops is empty: env:NOPE_A/);
  });
  it('names the file of an admin token that will not do', async () => {
    await refused(
      { admin: { port: 0, tokenFile: file('token', '\n') } },
      /token in .*\/token \(admin\.tokenFile\) is empty/,
    );
    await refused({ admin: { port: 0, tokenFile: file('short', 'secret\n') } }, /in .*\/short .* is too short/);
  });
});

describe('a command that asks a running gateway', () => {
  it('tells a URL that is none as wrong usage, with one that would do', async () => {
    for (const [args, example] of [
      [['health', '--url', 'foo'], '--url "foo" is no URL like http://127.0.0.1:9901'],
      [['status', '--admin', 'foo'], '--admin "foo" is no URL like http://127.0.0.1:9902'],
      [
        ['explain', '3f2a1b-00-0000002a', '--admin', 'ftp://x'],
        '--admin "ftp://x" is no URL like http://127.0.0.1:9902',
      ],
      [['rollout', 'status', '--admin', 'foo'], '--admin "foo" is no URL like http://127.0.0.1:9902'],
    ] as [string[], string][]) {
      const { code, stderr } = await cli(args);
      assert.ok(stderr.includes(`: ${example}\n`), stderr);
      assert.equal(code, 2);
    }
  });
});

describe('what a command writes', () => {
  const full = openSync('/dev/full', 'w');
  after(() => closeSync(full));

  it('is nobody’s loss when its reader has ended: no stack, and the exit code of the command', async () => {
    assert.deepEqual(await cli(['--help'], { stdout: 'closed' }), { code: 0, stdout: '', stderr: '' });
    assert.deepEqual(await cli(['health', '--help'], { stdout: 'closed' }), { code: 0, stdout: '', stderr: '' });
    assert.deepEqual(await cli(['bogus'], { stderr: 'closed' }), { code: 2, stdout: '', stderr: '' });
  });
  it('makes it fail with one line when the disk is full', async () => {
    const { code, stderr } = await cli(['--help'], { stdout: full });
    assert.equal(stderr, 'cnx: standard output: the disk is full; make room (ENOSPC)\n');
    assert.equal(code, 1);
    assert.equal((await cli(['--help'], { stdout: full, stderr: full })).code, 1);
    assert.equal((await cli(['bogus'], { stderr: full })).code, 2);
  });
});
