/** `cnx` as somebody has it on the PATH: the paths that it is told are those of the directory in which it was called, not of the project. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, it } from 'node:test';

const directory = mkdtempSync(join(tmpdir(), 'cnx-place-'));
after(() => rmSync(directory, { recursive: true }));

it('reads relative paths from where it was called, also by a link', () => {
  writeFileSync(join(directory, 'own.conf'), `SecRule ARGS:a "@streq bad" "id:1,phase:2,deny"\n`);
  writeFileSync(join(directory, 'a.http'), 'GET /?a=bad HTTP/1.1\r\nHost: shop.test\r\n\r\n');
  symlinkSync(resolve(import.meta.dirname, '../../scripts/cnx'), join(directory, 'cnx'));
  const { stdout, stderr, status } = spawnSync('./cnx', ['waf', 'test', 'own.conf', '--request', 'a.http'], {
    cwd: directory,
    encoding: 'utf8',
  });
  assert.equal(stderr, '');
  assert.match(stdout, /REFUSED by rule 1/);
  assert.equal(status, 3);
});
