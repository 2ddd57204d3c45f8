import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type AssetPlaces, placeAssets } from './assets.ts';

const CONTENT: Readonly<Record<string, string>> = { 'cnx.node': 'an addon', 'lane.cjs': 'code of a lane' };
/** A user that is neither this one nor root. */
const STRANGER = 4_242_424;

let temporary: string;
let places: AssetPlaces;

beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), 'cnx-assets-'));
  const uid = process.getuid?.() ?? 0;
  places = {
    manifest: Object.fromEntries(
      Object.entries(CONTENT).map(([name, text]) => [name, createHash('sha256').update(text).digest('hex')]),
    ),
    read: (name) => Buffer.from(CONTENT[name] ?? ''),
    beside: join(temporary, 'beside/cnx-assets'),
    temporary,
    uid,
    binaryOwner: uid,
  };
});
afterEach(() => rmSync(temporary, { recursive: true, force: true }));

function layBeside(): void {
  mkdirSync(places.beside, { recursive: true, mode: 0o755 });
  for (const [name, text] of Object.entries(CONTENT)) writeFileSync(join(places.beside, name), text, { mode: 0o644 });
}

/** Where the assets go, and that they are whole there. */
function placed(): string {
  const dir = placeAssets(places);
  for (const [name, text] of Object.entries(CONTENT)) assert.equal(readFileSync(join(dir, name), 'utf8'), text);
  return dir;
}

describe('assets beside the binary', () => {
  it('are used when they are what the binary carries', () => {
    layBeside();
    assert.equal(placed(), places.beside);
  });
  it('are passed over when one was changed, is missing or is a link', () => {
    const spoil: readonly (() => void)[] = [
      () => writeFileSync(join(places.beside, 'cnx.node'), 'another addon'),
      () => rmSync(join(places.beside, 'cnx.node')),
      () => {
        rmSync(join(places.beside, 'cnx.node'));
        writeFileSync(join(temporary, 'elsewhere'), CONTENT['cnx.node'] ?? '');
        symlinkSync(join(temporary, 'elsewhere'), join(places.beside, 'cnx.node'));
      },
    ];
    for (const one of spoil) {
      rmSync(places.beside, { recursive: true, force: true });
      layBeside();
      one();
      assert.notEqual(placed(), places.beside);
    }
  });
  it('are passed over when others can write them, for they could change between check and use', () => {
    layBeside();
    chmodSync(join(places.beside, 'lane.cjs'), 0o666);
    assert.notEqual(placed(), places.beside);
    chmodSync(join(places.beside, 'lane.cjs'), 0o644);
    chmodSync(places.beside, 0o777);
    assert.notEqual(placed(), places.beside);
  });
  it('may belong to root, to this user or to who owns the binary, to nobody else', () => {
    layBeside();
    const owner = statSync(places.beside).uid;
    if (owner === 0) {
      chownSync(places.beside, STRANGER, STRANGER);
      assert.notEqual(placed(), places.beside);
      places = { ...places, binaryOwner: STRANGER };
    } else {
      // Who cannot give files away sees them through the eyes of another user instead.
      const eyes = { ...places, uid: STRANGER, binaryOwner: STRANGER };
      assert.throws(() => placeAssets(eyes), /others can write .*private directory of this user/s);
    }
    assert.equal(placed(), places.beside);
  });
});

describe('assets unpacked', () => {
  it('lie in a directory that only this user can enter, and are found there by the next start', () => {
    const dir = placed();
    assert.equal(statSync(dir).mode & 0o777, 0o700);
    const made = statSync(join(dir, 'cnx.node')).ino;
    assert.equal(placed(), dir);
    assert.equal(statSync(join(dir, 'cnx.node')).ino, made);
    assert.deepEqual(readdirSync(dir).sort(), Object.keys(CONTENT));
  });
  it('are made whole again when one was changed or cut short', () => {
    const file = join(placed(), 'cnx.node');
    rmSync(file);
    writeFileSync(file, 'an ad');
    placed();
  });
  it('are refused in a directory that others prepared: open to them, theirs, or a link', () => {
    const dir = placed();
    chmodSync(dir, 0o755);
    assert.throws(placed, /is not a private directory of this user.*set TMPDIR/s);
    rmSync(dir, { recursive: true });
    mkdirSync(join(temporary, 'trap'), { mode: 0o700 });
    symlinkSync(join(temporary, 'trap'), dir);
    assert.throws(placed, /is not a private directory of this user/);
    assert.deepEqual(readdirSync(join(temporary, 'trap')), []);
    rmSync(dir);
    mkdirSync(dir, { mode: 0o700 });
    // The same directory seen by a user who does not own it; the name holds the user's number, so it is asked for under that.
    const theirs = { ...places, uid: STRANGER };
    mkdirSync(join(temporary, dir.slice(temporary.length + 1).replace(/^cnx-\d+/, `cnx-${STRANGER}`)), { mode: 0o700 });
    assert.throws(() => placeAssets(theirs), /is not a private directory of this user/);
  });
  it('that have no place are an error which names both ways out', () => {
    writeFileSync(join(temporary, 'file'), '');
    places = { ...places, temporary: join(temporary, 'file') };
    assert.throws(placed, /is not there.*ENOTDIR.*put the cnx-assets .* beside it, or set TMPDIR/s);
  });
});
