/** The input document: what is sent, and that its published schema says the same. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import Value from 'typebox/value';
import {
  compileInput,
  fieldReaders,
  INPUT_FIELDS,
  inputFieldProblem,
  type InputSource,
  type InputTls,
} from '../../src/policy/input.ts';
import { PolicyInput, policyInputSchemaText } from '../../src/policy/input-schema.ts';
import { quote, Screened, screen, toJsonText } from '../../src/policy/json-text.ts';

const source: InputSource = {
  method: 'POST',
  path: '/api//orders/7/',
  query: 'a=1',
  host: 'api.example.org',
  clientAddress: '2001:db8::1',
  clientCountry: 'AT',
  tenant: 'acme',
  route: 'orders',
  now: 1_795_219_200_123,
  user: { subject: 'u-1', roles: ['reader', 'admin'], claims: { sub: 'u-1', tenant: 'acme', 'https://x/y': [1] } },
  tls: {
    version: 'TLSv1.3',
    cipher: 'TLS_AES_128_GCM_SHA256',
    serverName: 'api.example.org',
    alpn: 'h2',
    ja4: 't13d1516h2_8daaf6152771_02713d6af862',
    client: { subject: 'CN=alice', sans: ['DNS:alice.example'], fingerprint: 'ab12' },
  },
  header: (name) => (name === 'x-a' ? 'one' : undefined),
};
const sent = (fields: readonly string[], more: Partial<InputSource> = {}): unknown =>
  JSON.parse(compileInput('p', fields)({ ...source, ...more }));

const EVERYTHING = [
  'method',
  'path',
  'segments',
  'query',
  'host',
  'tenant',
  'route',
  'client.address',
  'client.country',
  'time.now_ns',
  'user',
  'tls',
  'headers.x-a',
];

describe('the input', () => {
  it('holds the fields that were asked for and no others', () => {
    assert.deepEqual(sent(EVERYTHING), {
      method: 'POST',
      path: '/api//orders/7/',
      segments: ['api', 'orders', '7'],
      query: 'a=1',
      host: 'api.example.org',
      tenant: 'acme',
      route: 'orders',
      user: { sub: 'u-1', role: 'reader', roles: ['reader', 'admin'], claims: source.user?.claims },
      client: { address: '2001:db8::1', country: 'AT' },
      time: { now_ns: 1_795_219_200_123_000_000 },
      tls: {
        version: 'TLSv1.3',
        cipher: 'TLS_AES_128_GCM_SHA256',
        server_name: 'api.example.org',
        alpn: 'h2',
        ja4: 't13d1516h2_8daaf6152771_02713d6af862',
        client: { subject: 'CN=alice', sans: ['DNS:alice.example'], fingerprint: 'ab12' },
      },
      headers: { 'x-a': 'one' },
    });
    assert.deepEqual(sent(['tls.ja4', 'tls.client.fingerprint']), {
      tls: { ja4: 't13d1516h2_8daaf6152771_02713d6af862', client: { fingerprint: 'ab12' } },
    });
    assert.deepEqual(sent(['tls.client']), { tls: { client: source.tls?.client } });
    assert.deepEqual(sent(['path']), { path: '/api//orders/7/' });
    assert.deepEqual(sent(['user.role', 'user.claims.tenant', 'user.claims.https://x/y', 'user.claims.absent']), {
      user: { role: 'reader', claims: { tenant: 'acme', 'https://x/y': [1] } },
    });
  });
  it('leaves out what the request has not', () => {
    const absent = { user: null, tls: null, tenant: '', clientCountry: '', header: () => undefined, path: '/' };
    assert.deepEqual(sent(EVERYTHING, absent), {
      method: 'POST',
      path: '/',
      segments: [],
      query: 'a=1',
      host: 'api.example.org',
      route: 'orders',
      client: { address: '2001:db8::1' },
      time: { now_ns: 1_795_219_200_123_000_000 },
      headers: {},
    });
    assert.deepEqual(sent(['user.role'], { user: { subject: '', roles: [], claims: {} } }), { user: { role: '' } });
    const bare = { version: 'TLSv1.2', cipher: '', serverName: '', alpn: '', ja4: '', client: null };
    assert.deepEqual(sent(['tls'], { tls: bare }), { tls: { version: 'TLSv1.2' } });
    assert.deepEqual(sent(['tls.client', 'tls.ja4'], { tls: bare }), { tls: {} });
  });
  it('is the same text for the same fields in any order, since texts are keys of the cache', () => {
    const text = compileInput('p', EVERYTHING)(source);
    fc.assert(
      fc.property(fc.shuffledSubarray(EVERYTHING, { minLength: EVERYTHING.length }), (fields) => {
        assert.equal(compileInput('p', fields)(source), text);
      }),
    );
  });
  it('never mixes two users up: another object is another user', () => {
    const encode = compileInput('p', ['user.role']);
    const a = { subject: 'a', roles: ['reader'], claims: {} };
    const b = { subject: 'b', roles: ['admin'], claims: {} };
    for (const user of [a, b, a]) assert.equal(encode({ ...source, user }), `{"user":{"role":"${user.roles[0]}"}}`);
  });
  it('never mixes two connections up, and says of each all that it is asked', () => {
    const encode = compileInput('p', ['tls.client.subject']);
    const one = { ...(source.tls as InputTls) };
    const other = { ...one, client: { subject: 'CN=bob', sans: [], fingerprint: 'cd34' } };
    for (const tls of [one, other, one])
      assert.equal(encode({ ...source, tls }), `{"tls":{"client":{"subject":"${tls.client?.subject}"}}}`);
    const reads = (fields: readonly string[], tls: InputTls | null): (string | undefined)[] =>
      (fieldReaders(fields) ?? []).map((read) => read({ ...source, tls }));
    for (const field of INPUT_FIELDS.filter((f) => f.startsWith('tls'))) {
      assert.notDeepEqual(reads([field], one), reads([field], null), field);
      if (field === 'tls' || field.startsWith('tls.client')) {
        assert.notDeepEqual(reads([field], one), reads([field], other), field);
        assert.notDeepEqual(reads([field], { ...one, client: null }), reads([field], null), field);
      }
    }
  });
  it('knows no integer of a claim that parsing has made another', () => {
    const text =
      '{"uid":9007199254740993,"far":[1e22,{"a":-9007199254740993}],"id":"9007199254740993","n":9007199254740991,"half":0.5}';
    const claims = JSON.parse(text) as Record<string, unknown>;
    const user = { subject: '', roles: [], claims };
    const known = { uid: null, far: [null, { a: null }], id: '9007199254740993', n: 9007199254740991, half: 0.5 };
    assert.deepEqual(sent(['user.claims'], { user }), { user: { claims: known } });
    assert.deepEqual(sent(['user.claims.uid', 'user.claims.n'], { user: { ...user } }), {
      user: { claims: { n: known.n, uid: null } },
    });
  });

  it('survives any text of a client: it parses, screens fine and comes back with lone surrogates replaced', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('\ud800', 'a\udc00', '\\ud800', '"', '\u2028'),
    );
    fc.assert(
      fc.property(text, text, text, fc.jsonValue(), (path, header, role, claim) => {
        const encoded = compileInput('p', ['path', 'segments', 'headers.x-a', 'user'])({
          ...source,
          path,
          header: () => header,
          user: { subject: role, roles: [role], claims: { [header]: claim, role } },
        });
        const parsed = JSON.parse(encoded) as Record<string, Record<string, unknown>>;
        assert.equal(encoded.isWellFormed(), true);
        assert.equal(parsed['path'], path.toWellFormed());
        assert.equal(parsed['headers']?.['x-a'], header.toWellFormed());
        assert.deepEqual(parsed['user']?.['roles'], [role.toWellFormed()]);
        assert.notEqual(screen(encoded), Screened.Malformed);
      }),
    );
  });
  it('has an error for a field that does not exist, which lists those that do', () => {
    for (const field of [
      'user.email',
      'header.x',
      'headers.X-A',
      'headers.',
      'user.claims.',
      'body',
      '',
      'constructor',
      'user.constructor',
    ]) {
      assert.match(inputFieldProblem(field) ?? '', /is not a field of the input; there are method, path/, field);
    }
    assert.throws(() => compileInput('p', ['methud']), { code: 'input_field', message: /policy "p": "methud"/ });
    for (const field of INPUT_FIELDS) assert.equal(inputFieldProblem(field.replace('<name>', 'x')), null, field);
  });
});

describe('config/policy-input.schema.json', () => {
  const file = readFileSync(new URL('../../config/policy-input.schema.json', import.meta.url), 'utf8');
  it('is fresh: run `scripts/with-node test/fixtures/policy/build.ts` after changing src/policy/input-schema.ts', () => {
    assert.deepEqual(JSON.parse(file), JSON.parse(policyInputSchemaText()));
  });
  it('accepts what the encoder writes and nothing more', () => {
    assert.equal(Value.Check(PolicyInput, sent(EVERYTHING)), true);
    assert.equal(Value.Check(PolicyInput, sent(['user.claims.tenant', 'user.role'])), true);
    assert.equal(Value.Check(PolicyInput, { ...(sent(EVERYTHING) as object), body: '' }), false);
    assert.equal(Value.Check(PolicyInput, { user: { email: 'x' } }), false);
  });
  it('names every field that can be asked for', () => {
    const properties = JSON.stringify(PolicyInput);
    for (const field of INPUT_FIELDS)
      assert.ok(
        properties.includes(`"${(field.split('.').at(-1) ?? '').replace('<name>', field.split('.').at(-2) ?? '')}"`),
        field,
      );
  });
});

describe('JSON text', () => {
  it('is what JSON.stringify writes, for well-formed values', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (text) => assert.equal(quote(text), JSON.stringify(text))));
    fc.assert(
      fc.property(fc.jsonValue(), (value) =>
        assert.deepEqual(
          JSON.parse(toJsonText(value)),
          JSON.parse(JSON.stringify(value).replaceAll(/\\ud[89a-f][0-9a-f]{2}/g, '\ufffd')),
        ),
      ),
    );
  });
  it('has no lone surrogate in keys or values, however deep', () => {
    assert.equal(
      toJsonText({ 'a\ud800': [{ '\udc00': 'x\ud800' }], b: '\\ud800' }),
      '{"a\ufffd":[{"\ufffd":"x\ufffd"}],"b":"\\\\ud800"}',
    );
    assert.equal(toJsonText(undefined), 'null');
  });
});
