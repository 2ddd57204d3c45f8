import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { exportJWK, generateKeyPair } from 'jose';
import { importKeys } from './keys.ts';

const ALGORITHMS = ['RS256', 'ES256', 'EdDSA', 'HS256'];

test('a member of the wrong type costs its key, and the others of the set are used', async () => {
  const { publicKey } = await generateKeyPair('ES256', { extractable: true });
  const good = await exportJWK(publicKey);
  const { keys, rejected } = await importKeys(
    {
      keys: [
        { kty: 'RSA', n: 5, e: 'AQAB', kid: 'number' },
        { kty: 'RSA', n: ['AQAB'], e: 3, kid: 'array' },
        { kty: 'oct', k: 7, kid: 'secret' },
        { kty: 'EC', crv: 'P-256', x: {}, y: null, kid: 'point' },
        { ...good, key_ops: ['verify'], kid: 'good' },
      ],
    },
    ALGORITHMS,
  );
  assert.deepEqual(
    keys.map((k) => k.kid),
    ['good'],
  );
  assert.equal(rejected.length, 4);
});

test('no key set whatsoever makes the import reject: a rejection would end the lane', async () => {
  const member = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.constant(null),
    fc.array(fc.string()),
    fc.dictionary(fc.string(), fc.string()),
  );
  const key = fc.record(
    {
      kty: fc.oneof(fc.constantFrom('RSA', 'EC', 'OKP', 'oct'), member),
      crv: fc.oneof(fc.constantFrom('P-256', 'Ed25519'), member),
      kid: member,
      alg: member,
      use: member,
      key_ops: member,
      n: member,
      e: member,
      x: member,
      y: member,
      k: member,
    },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.record({ keys: fc.array(key) }), fc.jsonValue()), async (set) => {
      const { keys } = await importKeys(set, ALGORITHMS);
      assert.ok(keys.length <= 64 * ALGORITHMS.length);
    }),
    { numRuns: 300 },
  );
});
