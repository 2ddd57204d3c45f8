import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CompactSign, exportJWK, generateKeyPair, type JWK } from 'jose';
import { importKeys, verifySignature } from './keys.ts';

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

/** Members that RFC 7517 §4 or RFC 7518 §6 rules out, by what is wrong with them. */
const malformed: Readonly<Record<string, (jwk: JWK) => object>> = {
  'a name that is a number, and would fit every kid': () => ({ kid: 7 }),
  'a name that is null': () => ({ kid: null }),
  'operations that are a text': () => ({ key_ops: 'verify' }),
  'operations that are an object': () => ({ key_ops: { verify: true } }),
  'operations that are null': () => ({ key_ops: null }),
  'a coordinate with padding': ({ x }) => ({ x: `${x}=` }),
  'a coordinate with a character outside of the alphabet': ({ x }) => ({ x: `${x?.slice(0, 5)}!${x?.slice(5)}` }),
  'a coordinate with a space': ({ x }) => ({ x: `${x?.slice(0, 5)} ${x?.slice(5)}` }),
  'a coordinate with a zero too many': ({ x }) => ({
    x: Buffer.concat([Buffer.of(0), Buffer.from(x ?? '', 'base64url')]).toString('base64url'),
  }),
  'a coordinate with a byte too few': ({ x }) => ({
    x: Buffer.from(x ?? '', 'base64url')
      .subarray(1)
      .toString('base64url'),
  }),
  'a coordinate that is missing': () => ({ x: undefined }),
};
for (const [what, change] of Object.entries(malformed)) {
  for (const algorithm of ['ES256', 'ES384', 'ES512', 'EdDSA'])
    test(`a key for ${algorithm} with ${what} is left out`, async () => {
      const { publicKey } = await generateKeyPair(algorithm, { extractable: true });
      const jwk = await exportJWK(publicKey);
      assert.equal((await importKeys({ keys: [jwk] }, [algorithm])).keys.length, 1);
      assert.equal((await importKeys({ keys: [{ ...jwk, ...change(jwk) }] }, [algorithm])).keys.length, 0);
    });
}

test('a secret that is no base64url is left out', async () => {
  const k = Buffer.alloc(32, 7).toString('base64url');
  for (const wrong of [`${k}=`, `${k} `, `${k}!!`, `${k}\n`])
    assert.equal((await importKeys({ keys: [{ kty: 'oct', k: wrong }] }, ['HS256'])).keys.length, 0, wrong);
  assert.equal((await importKeys({ keys: [{ kty: 'oct', k }] }, ['HS256'])).keys.length, 1);
});

test('points of Ed25519 for which anybody can sign are left out, with either sign', async () => {
  for (const hex of [
    '00'.repeat(32),
    `01${'00'.repeat(31)}`,
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    `ec${'ff'.repeat(30)}7f`,
    `ed${'ff'.repeat(30)}7f`,
    `ee${'ff'.repeat(30)}7f`,
  ]) {
    for (const sign of [0, 0x80]) {
      const point = Buffer.from(hex, 'hex');
      point[31] = (point[31] ?? 0) | sign;
      const { keys } = await importKeys({ keys: [{ kty: 'OKP', crv: 'Ed25519', x: point.toString('base64url') }] }, [
        'EdDSA',
      ]);
      assert.equal(keys.length, 0, hex);
    }
  }
});

async function pair(kid?: string): Promise<{ readonly jwk: JWK; readonly token: (kid?: string) => Promise<string> }> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = await exportJWK(publicKey);
  return {
    jwk: kid === undefined ? jwk : { ...jwk, kid },
    token: (named) =>
      new CompactSign(Buffer.from('{}'))
        .setProtectedHeader({ alg: 'ES256', ...(named === undefined ? {} : { kid: named }) })
        .sign(privateKey),
  };
}

test('the key of the name is tried before keys without a name, however many there are', async () => {
  const unnamed = await Promise.all([pair(), pair(), pair(), pair(), pair()]);
  const named = await pair('mine');
  const { keys } = await importKeys({ keys: [...unnamed, named].map(({ jwk }) => jwk) }, ['ES256']);
  assert.equal((await verifySignature(await named.token('mine'), keys, ['ES256'])).kind, 'valid');
});

test('a name that no key has is unknown, though a key without a name was tried', async () => {
  const unnamed = await pair();
  const { keys } = await importKeys({ keys: [unnamed.jwk] }, ['ES256']);
  assert.equal((await verifySignature(await unnamed.token('any'), keys, ['ES256'])).kind, 'valid');
  const newer = await pair('newer');
  assert.deepEqual(await verifySignature(await newer.token('newer'), keys, ['ES256']), {
    kind: 'unknownKid',
    kid: 'newer',
  });
});

test('a name that two keys have is of neither, also when one of them cannot be used', async () => {
  const { jwk } = await pair('same');
  const { jwk: twin } = await pair('same');
  for (const [what, second] of [
    ['good', twin],
    ['malformed', { ...twin, x: `${twin.x}=` }],
    ['not on its curve', { ...twin, y: twin.x }],
  ] as const) {
    for (const keys of [
      [jwk, second],
      [second, jwk],
    ]) {
      const read = await importKeys({ keys }, ['ES256']);
      assert.equal(read.keys.length, 0, what);
      assert.ok(
        read.rejected.some((why) => why.includes('2 keys have this name')),
        what,
      );
    }
  }
  // What is for something else cannot be meant.
  const encrypts = { ...twin, use: 'enc' };
  assert.equal((await importKeys({ keys: [jwk, encrypts] }, ['ES256'])).keys.length, 1);
});
