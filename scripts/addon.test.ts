import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { cargoProblem, profileNamed } from './addon.ts';
import { newestChange } from './newest.ts';

describe('the compiler of the addon', () => {
  it('may be as old as said, or newer', () => {
    for (const found of ['cargo 1.90.0 (840b83a10 2025-07-30)', 'cargo 1.95.0\n', 'cargo 2.0.1'])
      assert.equal(cargoProblem(found, '1.90'), null);
  });
  it('is named with the mend when it is missing or too old', () => {
    assert.match(cargoProblem(null, '1.90') ?? '', /cargo is not on the PATH; Rust 1\.90 or newer/);
    assert.match(cargoProblem('cargo 1.63.0', '1.90') ?? '', /cargo 1\.63\.0 is too old; .*rustup update/);
    assert.match(cargoProblem('something else', '1.90') ?? '', /too old/);
  });
});

describe('the profile of the addon', () => {
  it('is the one that is named, release when none is, and an error when there is no such', () => {
    assert.equal(profileNamed(undefined), 'release');
    assert.equal(profileNamed('shipped'), 'shipped');
    assert.throws(() => profileNamed('--shipped'), /there is no profile --shipped: say release or shipped/);
    assert.throws(() => profileNamed('toString'), /no profile toString/);
  });
});

describe('what is stale', () => {
  it('is decided by the newest file below, except in directories that are skipped', (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'cnx-newest-'));
    t.after(() => rmSync(dir, { recursive: true }));
    mkdirSync(join(dir, 'src/deep'), { recursive: true });
    mkdirSync(join(dir, 'target'));
    for (const [name, seconds] of [
      ['a', 100],
      ['src/deep/b', 200],
      ['target/c', 300],
    ] as const) {
      writeFileSync(join(dir, name), '');
      utimesSync(join(dir, name), seconds, seconds);
    }
    assert.equal(
      newestChange(dir, (name) => name === 'target'),
      200_000,
    );
    assert.equal(newestChange(dir), 300_000);
  });
});
