/** A bundle's own tests, played by the pipeline that serves: what they find, and what they leave alone. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Part, readBundle } from '../../src/config/bundle.ts';
import { Document, renderProblem } from '../../src/config/document.ts';
import { noSlots } from '../../src/control/build/bundle-directory.ts';
import { compileBundle } from '../../src/control/compile/compile.ts';
import { rehearse } from '../../src/control/rehearsal/rehearse.ts';
import { native } from '../../src/native.ts';
import type { Snapshot } from '../../src/snapshot/snapshot.ts';
import { makeModule, type Misbehaviour, OP } from '../policy/wasm-builder.ts';

const DOCUMENTS = {
  routes: {
    routes: [
      {
        id: 'old',
        match: { path: { prefix: '/old' } },
        access: 'public',
        reason: 'it has moved',
        respond: { redirect: { to: 'https://new.example' } },
      },
      {
        id: 'robots',
        match: { path: { exact: '/robots.txt' } },
        access: 'public',
        reason: 'is for crawlers',
        respond: { direct: { status: 200, body: 'User-agent: *' } },
      },
      {
        id: 'orders',
        match: { path: { prefix: '/orders' } },
        issuers: ['staff'],
        policy: { name: 'made' },
        tenant: { claim: 'tenant' },
        limits: ['few'],
        respond: { requestHeaders: { set: { 'x-from': 'edge' }, remove: ['x-debug'] }, stripPrefix: '/orders' },
      },
      {
        id: 'shop',
        match: { path: { prefix: '/' }, hosts: ['shop.example'] },
        access: 'public',
        reason: 'a shop for all',
        cell: 'named',
      },
    ],
  },
  cells: {
    cells: [
      { id: 'one', endpoints: [{ address: '10.0.0.1:80' }] },
      // Nobody has looked it up, and nobody does for a test.
      { id: 'named', endpoints: [{ address: 'orders.invalid:80' }] },
    ],
    pins: { acme: 'one', globex: 'named' },
  },
  issuers: {
    issuers: [
      {
        id: 'staff',
        issuer: 'https://id.example',
        audiences: ['edge'],
        algorithms: ['RS256', 'ES256'],
        jwksUrl: 'https://id.invalid/keys',
        requiredClaims: ['exp', 'tenant'],
        claimHeaders: { sub: 'x-user' },
      },
      {
        id: 'guests',
        issuer: 'https://guests.example',
        audiences: ['edge'],
        algorithms: ['HS256'],
        hmacSecret: 'guests',
      },
    ],
  },
  limits: { limits: [{ id: 'few', key: ['address'], requests: 1, windowMs: 60_000, burst: 1 }] },
  policies: {
    policies: [{ name: 'made', source: 'made.rego', entrypoints: ['made/allow'], input: ['method', 'path'] }],
  },
  waf: { mode: 'block', rules: ['waf/own.conf'] },
};
const RULES = 'SecRule ARGS|REQUEST_BODY "@contains evil" "id:7,phase:2,deny,status:403,msg:\'evil\'"\n';
const TOKEN = { issuer: 'staff', claims: { sub: 'alice', tenant: 'acme' } };

type Test = { readonly name: string; readonly request: object; readonly expect: object };

/** Reads and compiles a bundle with these tests. */
async function compiled(tests: readonly Test[], module: Misbehaviour = {}) {
  const texts = { ...DOCUMENTS, tests: { tests } };
  const given = new Map<Part, Document>();
  for (const [part, value] of Object.entries(texts))
    given.set(part as Part, new Document(`${part}.yaml`, JSON.stringify(value)));
  const read = readBundle(given);
  assert.ok(read.ok, read.ok ? '' : read.problems.map(renderProblem).join('\n'));
  const files = {
    seclang: [{ name: 'waf/own.conf', bytes: Buffer.from(RULES) }],
    seclangData: [],
    modules: new Map([['made', { wasm: makeModule(module), data: '{}', sourceDigest: '' }]]),
  };
  const { value: config, documents } = read;
  const made = await compileBundle(config, documents, files, { kind: 'check' }, native(), noSlots());
  return { config, documents, snapshot: made.snapshot, release: () => made.release() };
}

/** What a bundle's tests say, a line for each that fails. */
async function played(tests: readonly Test[], module: Misbehaviour = {}): Promise<string[]> {
  const { config, documents, snapshot, release } = await compiled(tests, module);
  try {
    return (await rehearse(config, documents, snapshot)).map(({ message }) => message);
  } finally {
    release();
  }
}

const of = (name: string, request: object, expect: object): Test => ({ name, request, expect });

describe("a bundle's own tests", () => {
  it('pass when the stages decide as they say', async () => {
    const failed = await played([
      of(
        'what moved is redirected',
        { url: 'http://any.example/old/a?b=1' },
        {
          outcome: 'answered',
          route: 'old',
          status: 308,
          answer: { headers: { Location: 'https://new.example' }, without: ['x-from'] },
        },
      ),
      of(
        'crawlers are answered',
        { url: 'https://any.example/robots.txt' },
        { outcome: 'answered', status: 200, answer: { body: 'User-agent: *' } },
      ),
      of(
        'staff passes, with what the upstream needs to know',
        {
          url: 'https://any.example/orders/7?full=1',
          headers: { 'X-Debug': '1', 'X-User': 'mallory', 'X-Real-IP': '1.2.3.4', Accept: '*/*' },
          address: '198.51.100.9',
          token: TOKEN,
        },
        {
          outcome: 'forwarded',
          route: 'orders',
          cell: 'one',
          tenant: 'acme',
          policy: 'allow',
          waf: 'pass',
          upstream: {
            target: '/7?full=1',
            headers: { 'x-user': 'alice', 'x-from': 'edge', 'x-forwarded-for': '198.51.100.9', accept: '*/*' },
            without: ['x-debug', 'x-real-ip'],
          },
          answer: { headers: { 'ratelimit-policy': '"few";q=1;w=60' } },
        },
      ),
      // The limit admits one request a minute: each test meets it anew.
      of(
        'a tenant of another cell goes there',
        { url: 'https://any.example/orders/7', token: { issuer: 'staff', claims: { tenant: 'globex' } } },
        { cell: 'named', policy: 'allow' },
      ),
      of(
        'nobody passes without a token',
        { url: 'https://any.example/orders/7' },
        { outcome: 'refused', refusal: 'token_missing', status: 401, policy: 'none' },
      ),
      of(
        'nor with one that has ended',
        { url: 'https://any.example/orders/7', token: { issuer: 'staff', claims: { tenant: 'acme', exp: 1 } } },
        { refusal: 'token_expired' },
      ),
      of(
        'nor with one that lacks a claim',
        { url: 'https://any.example/orders/7', token: { issuer: 'staff', claims: {} } },
        { refusal: 'token_invalid' },
      ),
      of(
        "nor with a guest's",
        { url: 'https://any.example/orders/7', token: { issuer: 'guests', claims: { tenant: 'acme' } } },
        { refusal: 'token_invalid' },
      ),
      of(
        'what is evil is blocked, in the query',
        { url: 'https://shop.example/?q=evil' },
        { outcome: 'refused', refusal: 'waf_blocked', waf: 'blocked', rules: [7] },
      ),
      of(
        'and in a body that is longer than lanes match themselves',
        {
          url: 'https://shop.example/',
          method: 'POST',
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
          body: `a=${'x'.repeat(60_000)}&b=evil`,
        },
        { refusal: 'waf_blocked', rules: [7] },
      ),
      of('a shop needs no token', { url: 'https://shop.example/x' }, { route: 'shop', cell: 'named', waf: 'pass' }),
      of('no other host is served', { url: 'https://other.example/x' }, { refusal: 'no_route', status: 404 }),
      of('nothing smuggles', { url: 'https://shop.example/%00' }, { refusal: 'bad_target' }),
    ]);
    assert.deepEqual(failed, []);
  });

  it('fail when they do not, each with what was expected, found, and why', async () => {
    const failed = await played(
      [
        of('one', { url: 'https://any.example/orders/7', token: TOKEN }, { policy: 'allow', outcome: 'forwarded' }),
        of('two', { url: 'https://shop.example/' }, { route: 'shop' }),
        of('three', { url: 'https://shop.example/' }, { status: 404 }),
      ],
      { result: '[{"result":false}]' },
    );
    assert.deepEqual(failed, [
      'the test "one" fails: outcome: expected "forwarded", found "refused"; policy: expected "allow", found "deny" (policy made)',
      'the test "three" fails: status: expected 404, found none',
    ]);
  });

  it('are told in a bounded number', async () => {
    const tests = Array.from({ length: 30 }, (_, i) =>
      of(`number ${i}`, { url: 'https://shop.example/' }, { status: 404 }),
    );
    const failed = await played(tests);
    assert.equal(failed.length, 21);
    assert.equal(failed.at(-1), '10 more tests fail');
  });

  it('do not last: whoever loops is ended, and the test that it was at has failed', async () => {
    const before = of('before', { url: 'https://shop.example/' }, { route: 'shop' });
    const loops = of('loops', { url: 'https://any.example/orders/7', token: TOKEN }, { policy: 'allow' });
    // A policy that was tried and loops only now: no input would do that to a module of the builder's.
    const module = new WebAssembly.Module(makeModule({ evaluate: OP.forever }));
    const told = async (tests: readonly Test[], deadlines: { readonly testMs: number; readonly allMs: number }) => {
      const { config, documents, snapshot, release } = await compiled(tests);
      const policies = snapshot.policies.map((plan) => ({ ...plan, module }));
      const looping: Snapshot = { ...snapshot, policies };
      const problems = await rehearse(config, documents, looping, deadlines);
      release();
      return problems.map((p) => p.message);
    };
    // What does not loop is decided in that time on however busy a machine.
    assert.deepEqual(await told([before, loops], { testMs: 4_000, allMs: 60_000 }), [
      'the test "loops" fails: nothing was decided within 4000 ms',
    ]);
    assert.deepEqual(await told([loops, before], { testMs: 60_000, allMs: 500 }), [
      'the test "loops" fails: all tests together may take 500 ms, and they did not end within that time',
    ]);
  });
});
