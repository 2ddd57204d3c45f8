/** Files and directories that a command line names and that are not there, or are something else: the command says which place, what is wrong with it, and what mends it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { run as audit } from '../../src/cli/audit/audit.ts';
import { run as bundle } from '../../src/cli/bundle/bundle.ts';
import type { Command } from '../../src/cli/io.ts';
import { run as keygen } from '../../src/cli/keygen.ts';
import { run as rollout } from '../../src/cli/rollout/rollout.ts';
import { run as status } from '../../src/cli/status.ts';
import { messageOf } from '../../src/cli/system-error.ts';
import { AuditLog } from '../../src/control/audit/log.ts';

const root = mkdtempSync(join(tmpdir(), 'cnx-places-'));
after(() => rmSync(root, { recursive: true }));

async function said(command: Command, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ['', ''];
  const io = { stdout: (t: string) => void (out += t), stderr: (t: string) => void (err += t), env: {} };
  try {
    return { code: await command(args, io), out, err };
  } catch (error) {
    // As main.ts tells it.
    return { code: 1, out, err: messageOf(error) };
  }
}

/** A state directory with a log of one entry. */
async function logged(name: string): Promise<string> {
  const directory = join(root, name, 'audit');
  mkdirSync(directory, { recursive: true });
  const log = await AuditLog.open(directory, { now: Date.now, event: () => undefined });
  log.append('started', {});
  await log.close();
  return directory;
}

describe('a place that is not what a command wants', () => {
  it('of an audit log: not there, without one, or the directory above it', async () => {
    const empty = join(root, 'empty');
    mkdirSync(empty);
    const directory = await logged('state');
    const { publicKey } = await AuditLog.open(directory, { now: Date.now, event: () => undefined });
    for (const name of ['verify', 'export']) {
      const absent = await said(audit, name, join(root, 'nowhere'));
      assert.deepEqual([absent.code, absent.out], [1, '']);
      assert.match(absent.err, /there is no directory .*nowhere; name the directory audit in the state directory/);
      const none = await said(audit, name, empty, '--key', publicKey);
      assert.deepEqual([none.code, none.out], [1, ''], 'nothing is no log that is whole');
      assert.match(none.err, /empty holds no audit log .*; name the directory audit in the state directory/);
      const above = await said(audit, name, join(root, 'state'));
      assert.deepEqual([above.code, above.out], [1, '']);
      assert.match(above.err, /state holds no audit log .*; .*state.audit does/);
      assert.equal((await said(audit, name, directory)).code, 0);
    }
  });

  it('of the key of an audit log: missing, or none', async () => {
    const directory = await logged('keyless');
    rmSync(join(directory, 'key.pem'));
    assert.match((await said(audit, 'verify', directory)).err, /key\.pem is missing: say with --key whose log/);
    writeFileSync(join(directory, 'key.pem'), 'no key');
    const none = await said(audit, 'verify', directory);
    assert.equal(none.code, 1);
    assert.match(none.err, /key\.pem is no key in PEM: say with --key/);
  });

  it('of any other file: the place, what is wrong, what mends it, and the code to search for', async () => {
    const [file, nowhere] = [join(root, 'file'), join(root, 'nowhere')];
    writeFileSync(file, '');
    const absent = /nowhere: there is no such file or directory; look at how the path is written.* \(ENOENT\)/;
    const taken = /: it is a directory, where a file is wanted \(EISDIR\)/;
    const key = ['channel', 'set', `oci:${root}:x`, '--stable', 'a', '--trust'];
    const cases: readonly (readonly [Command, readonly string[], RegExp])[] = [
      [bundle, ['build', nowhere, '--out', `oci:${root}/out:x`], absent],
      [bundle, ['sign', `oci:${root}:x`, '--key', nowhere], absent],
      [bundle, ['sign', `oci:${root}:x`, '--key', root], taken],
      [bundle, [...key, nowhere, '--key', nowhere], absent],
      [bundle, ['build', file, '--out', `oci:${root}/out:x`], /file: a part of the path is a file.* \(ENOTDIR\)/],
      [status, ['--token-file', nowhere], absent],
      [status, ['--token-file', root], taken],
      [rollout, ['status', '--token-file', nowhere], absent],
    ];
    for (const [command, args, text] of cases) {
      const { code, out, err } = await said(command, ...args);
      assert.deepEqual([code, out], [1, ''], args.join(' '));
      assert.match(err, text);
      assert.equal(err.trim().split('\n').length, 1);
    }
  });

  it('of an admin listener: somebody else answers there', async () => {
    const server = createServer((_, to) => void to.end('<html>')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const admin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    for (const [command, ...args] of [
      [status],
      [rollout, 'status'],
      [rollout, 'history'],
      [rollout, 'rollback', '--reason', 'a'],
      [rollout, 'unpin', '--reason', 'a'],
    ] as const) {
      const { code, err } = await said(command, ...args, '--admin', admin);
      assert.equal(code, 1);
      assert.match(err, /the answer \(status 200\) is not one of a gateway's admin listener/);
    }
    server.close();
  });

  it('of a key pair of which one half is there: no other half is left behind', async () => {
    const out = join(root, 'keys');
    mkdirSync(out);
    writeFileSync(join(out, 'ci.pub'), 'another');
    const { code, err } = await said(keygen, '--out', out, '--id', 'ci');
    assert.equal(code, 2);
    assert.match(err, /ci\.pub is there already/);
    assert.deepEqual(readdirSync(out), ['ci.pub']);
  });

  it('is told in the words of the system where there are no better ones', () => {
    assert.equal(messageOf(new Error('a reason')), 'a reason');
    assert.equal(messageOf('a word'), 'a word');
    const unknown = Object.assign(new Error('EBADF: bad file'), { code: 'EBADF', syscall: 'read', path: 'a' });
    assert.equal(messageOf(unknown), 'EBADF: bad file');
    const moved = Object.assign(new Error('EXDEV'), { code: 'EXDEV', syscall: 'rename', path: 'a', dest: 'b' });
    assert.equal(messageOf(moved), 'a, to b: it lies on another file system (EXDEV)');
  });
});
