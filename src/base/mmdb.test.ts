import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { mmdbOf } from '../../test/harness/mmdb.ts';
import { CountryDatabase, MmdbError } from './mmdb.ts';

const NETWORKS = { '203.0.113.0/24': 'DE', '198.51.100.0/25': 'FR', '198.51.100.128/25': 'US', '2001:db8::/32': 'JP' };
const four = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);
const six = (...head: number[]): Uint8Array => Uint8Array.from({ length: 16 }, (_, i) => head[i] ?? 0);

for (const recordBits of [24, 28, 32] as const) {
  test(`countries of both families, records of ${recordBits} bits`, () => {
    const db = new CountryDatabase(mmdbOf(NETWORKS, { recordBits }));
    assert.deepEqual([db.type, db.builtAt], ['Test-Country', 1_790_000_000]);
    assert.equal(db.country(four(203, 0, 113, 9)), 'DE');
    assert.equal(db.country(four(198, 51, 100, 127)), 'FR');
    assert.equal(db.country(four(198, 51, 100, 128)), 'US');
    assert.equal(db.country(four(10, 0, 0, 1)), '');
    assert.equal(db.country(six(0x20, 0x01, 0x0d, 0xb8, 7)), 'JP');
    assert.equal(db.country(six(0x20, 0x01)), '');
  });
}

test('a database of IPv4 only knows no IPv6, and a registered country stands in for a country', () => {
  const db = new CountryDatabase(mmdbOf({ '203.0.113.0/24': 'DE' }, { ipVersion: 4, member: 'registered_country' }));
  assert.equal(db.country(four(203, 0, 113, 1)), 'DE');
  assert.equal(db.country(six(0x20, 0x01)), '');
});

test('what is no database is refused with a reason', () => {
  assert.throws(() => new CountryDatabase(new Uint8Array(0)), MmdbError);
  assert.throws(() => new CountryDatabase(Buffer.from('GIF89a')), /marker/);
  const whole = mmdbOf(NETWORKS);
  assert.throws(() => new CountryDatabase(whole.subarray(0, whole.length - 120)), MmdbError);
});

test('any file, also a good one with any bytes changed or cut off, is refused or read within bounds', () => {
  const good = mmdbOf(NETWORKS);
  const edits = fc.array(fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 12 });
  fc.assert(
    fc.property(edits, fc.nat(good.length), fc.uint8Array({ minLength: 4, maxLength: 4 }), (changed, cut, address) => {
      const bytes = Buffer.from(good);
      for (const [at, byte] of changed) bytes[at] = byte;
      for (const file of [bytes, bytes.subarray(cut), bytes.subarray(0, cut)]) {
        let db: CountryDatabase;
        try {
          db = new CountryDatabase(file);
        } catch (error) {
          assert.ok(error instanceof MmdbError, String(error));
          continue;
        }
        assert.match(db.country(address), /^([A-Z]{2})?$/);
        assert.match(db.country(four(203, 0, 113, 9)), /^([A-Z]{2})?$/);
      }
    }),
    { numRuns: 3_000 },
  );
});
