import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeDirectory } from './make-directory.ts';

test('a directory is made with those above it, also twice and by several at once', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'cnx-directory-'));
  try {
    const path = join(dir, 'a/b/c');
    await Promise.all([makeDirectory(path, 0o700), makeDirectory(path, 0o700), makeDirectory(join(dir, 'a/b'), 0o700)]);
    await makeDirectory(path, 0o700);
    assert.equal(statSync(path).mode & 0o777, 0o700);
    writeFileSync(join(dir, 'file'), '');
    await assert.rejects(makeDirectory(join(dir, 'file')), { code: 'EEXIST' });
    await assert.rejects(makeDirectory(join(dir, 'file/in/it')), { code: 'ENOTDIR' });
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('where none can be made it ends and says so', { timeout: 10_000 }, async () => {
  await assert.rejects(makeDirectory('/proc/cnx'), { code: 'ENOENT' });
  await assert.rejects(makeDirectory('/proc/cnx/deeper'), { code: 'ENOENT' });
});
