import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BundleConfig, type Part, readBundle } from '../../config/bundle.ts';
import { Document } from '../../config/document.ts';
import { testWafPlan } from '../../../test/harness/wire.ts';
import { native } from '../../native.ts';
import { ROUTE_NONE } from '../../native/router.ts';
import type { RoutePlan } from '../../snapshot/route-plans.ts';
import { Compressions } from './compress.ts';
import type { Report } from './report.ts';
import { type CompiledRoutes, compileRoutes } from './routes.ts';

const PARTS: Readonly<Record<string, string>> = {
  release: 'name: test\nversion: 1.0.0',
  cells: 'cells: [{id: one, endpoints: [{address: "127.0.0.1:1"}]}]',
  issuers:
    'issuers: [{id: main, issuer: "https://i.example", audiences: [a], algorithms: [ES256], jwksUrl: "https://i.example/keys"}]',
  limits: `limits:
  - {id: by-address, key: [address], requests: 10, windowMs: 1000}
  - {id: by-subject, key: ["claim:sub"], requests: 10, windowMs: 1000}`,
  policies: 'policies: [{name: authz, source: authz.rego, entrypoints: [authz/allow, authz/admin], input: [method]}]',
};

function bundle(routes: string, over: Readonly<Record<string, string>> = {}): BundleConfig {
  const texts = { ...PARTS, routes, ...over };
  const documents = new Map(
    Object.entries(texts).map(([part, text]) => [part as Part, new Document(`${part}.yaml`, text)]),
  );
  const result = readBundle(documents);
  if (!result.ok) throw new Error(result.problems.map((p) => `${p.file} ${p.path}: ${p.message}`).join('\n'));
  return result.value;
}

interface Result {
  readonly compiled: CompiledRoutes;
  readonly problems: string[];
  readonly plans: RoutePlan[];
  /** Ids of the routes that would be asked in turn. */
  readonly candidates: (host: string, path: string, methodBit: number) => string[];
}

function compile(routes: string, over: Readonly<Record<string, string>> = {}): Result {
  const problems: string[] = [];
  const report: Report = (part, path, message) => void problems.push(`${part} ${path}: ${message}`);
  const compiled = compileRoutes({
    config: bundle(routes, over),
    native: native(),
    waf: { plan: () => testWafPlan() },
    secret: (_part, _path, name) => (name === 'broken' ? 'a\nb' : `value of ${name}`),
    report,
    compressions: new Compressions(true, report),
  });
  const { table, router } = compiled;
  const offsets = new Uint32Array(table.offsets);
  const entries = new Uint32Array(table.entries);
  const plans = Array.from(
    { length: table.count },
    (_, i) => JSON.parse(Buffer.from(table.text).toString('utf8', offsets[i], offsets[i + 1])) as RoutePlan,
  );
  const candidates = (host: string, path: string, methodBit: number): string[] => {
    const ids: string[] = [];
    for (let cursor = 0; ; cursor++) {
      cursor = native().routerFind(router, host, path, methodBit, cursor);
      if (cursor >= ROUTE_NONE - 1) return ids;
      ids.push(plans[entries[cursor] ?? -1]?.id ?? '?');
    }
  };
  return { compiled, problems, plans, candidates };
}

const open = 'access: public, reason: for this test';

describe('compileRoutes', () => {
  it('makes plans with indices in the place of names, and a router whose entries lead to them', () => {
    const { plans, problems, candidates, compiled } = compile(`routes:
  - {id: home, match: {path: {prefix: /}}, ${open}}
  - id: api
    match: {hosts: [a.example, "*.b.example"], path: {template: "/api/{id}"}, methods: [GET, PROPFIND]}
    issuers: [main]
    policy: {name: authz, entrypoint: authz/admin}
    limits: [by-address, by-subject]
    tenant: {claim: org}
    timeouts: {headMs: 77}
    bodyBytesMax: 5
    retries: 0`);
    assert.deepEqual(problems, []);
    assert.deepEqual(candidates('a.example', '/api/7', 1), ['api', 'home']);
    assert.deepEqual(candidates('x.b.example', '/api/7', 2), ['api', 'home']);
    assert.deepEqual(candidates('a.example', '/api/7', 4), ['home']);
    const api = plans[1];
    assert.deepEqual([api?.issuers, api?.policy, api?.entrypoint, api?.cell], [[0], 0, 1, -1]);
    assert.deepEqual([api?.admit, api?.limit, api?.tenant], [[0], [1], { from: 'claim', name: 'org' }]);
    assert.deepEqual(api?.otherMethods, ['PROPFIND']);
    assert.deepEqual(api?.forward, {
      connectTimeoutMs: 2000,
      headTimeoutMs: 77,
      idleTimeoutMs: 60_000,
      bodyBytesMax: 5,
      retries: 0,
    });
    assert.deepEqual([plans[0]?.cell, plans[0]?.public, plans[0]?.policy], [0, true, -1]);
    compiled.release();
    assert.throws(() => native().routerRoutes(compiled.router + 1_000), /no route table/);
  });

  it('puts more header predicates before fewer', () => {
    const { candidates, compiled } = compile(`routes:
  - {id: none, match: {path: {exact: /a}}, ${open}}
  - {id: one, match: {path: {exact: /a}, headers: [{name: X-A}]}, ${open}}
  - {id: two, match: {path: {exact: /a}, headers: [{name: X-A}, {name: X-B, value: b, not: true}]}, ${open}}`);
    assert.deepEqual(candidates('h', '/a', 1), ['two', 'one', 'none']);
    compiled.release();
  });

  it('keeps what a route says about forwarding and answers to that route', () => {
    const own = [
      'timeouts: {headMs: 900}',
      'bodyBytesMax: 77',
      'retries: 2',
      'retryOn: [5xx]',
      'retryStatuses: [409]',
      'hedge: {delayMs: 50}',
      'respond: {answerHeaders: {set: {x-place: "café"}}}',
      'cors: {allowOrigins: ["https://a.example"]}',
    ];
    const rows = ['', ...own, ''].map(
      (said, i) => `{id: r${i}, match: {path: {exact: /${i}}}, ${open}${said && `, ${said}`}}`,
    );
    const { plans, problems } = compile(`routes: [${rows.join(', ')}]`);
    assert.deepEqual(problems, []);
    const said = plans.map(({ forward, respond }) => JSON.stringify({ forward, respond }));
    assert.equal(said[0], said.at(-1));
    assert.equal(new Set(said).size, own.length + 1);
  });

  it('adds the limits of the defaults once', () => {
    const { plans, compiled } = compile(
      `routes:
  - {id: a, match: {path: {exact: /a}}, limits: [by-address, by-subject], ${open}}`,
      { defaults: 'limits: [by-address]' },
    );
    assert.deepEqual([plans[0]?.admit, plans[0]?.limit], [[0, 1], []]);
    compiled.release();
  });

  it('tells problems of routes at their place, all at once', () => {
    const { problems, compiled } = compile(`routes:
  - {id: a, match: {path: {exact: /a}}, ${open}}
  - {id: b, match: {path: {template: /a}}, ${open}}
  - {id: c, match: {path: {template: "/{x}/{x}"}}, ${open}}
  - {id: d, match: {path: {regex: "("}}, ${open}}
  - {id: e, match: {path: {prefix: "/a%20b"}}, ${open}}
  - {id: f, match: {path: {exact: "/a//b"}}, ${open}}
  - {id: g, match: {path: {prefix: "/u/{id}"}}, ${open}}
  - {id: h, match: {path: {exact: /h}, headers: [{name: X-A}]}, ${open}}
  - {id: i, match: {path: {exact: /h}, headers: [{name: x-a}]}, ${open}}`);
    assert.equal(compiled.router, 0);
    for (const expected of [
      /^routes \/routes\/1\/match: route `b`: duplicate: route `a`/,
      /^routes \/routes\/2\/match: route `c`: the parameter `x` occurs twice/,
      /^routes \/routes\/3\/match: route `d`: /,
      /^routes \/routes\/4\/match\/path\/prefix: paths are compared after decoding/,
      /^routes \/routes\/5\/match\/path\/exact: a normalised path has no empty segments/,
      /^routes \/routes\/6\/match\/path\/prefix: parameters belong to `template`/,
      /^routes \/routes\/8\/match: route `i`: duplicate: route `h` .* and headers/,
    ]) {
      assert.ok(
        problems.some((p) => expected.test(p)),
        `${expected} is not among:\n${problems.join('\n')}`,
      );
    }
    assert.equal(problems.length, 7);
    compiled.release();
  });

  it('settles what the answer shows, and refuses edits of what frames a message', () => {
    const { plans, problems, compiled } = compile(`routes:
  - id: a
    match: {path: {prefix: /api}}
    ${open.replace(', ', '\n    ')}
    respond:
      stripPrefix: /api/
      addPrefix: "/grün"
      requestHeaders: {set: {X-A: "1"}, setSecret: {X-Key: upstream}}
      answerHeaders: {set: {X-Frame-Options: SAMEORIGIN}, remove: [Server, Referrer-Policy]}
  - {id: b, match: {path: {exact: /b}}, respond: {redirect: {to: https}, securityHeaders: false}, ${open}}
  - {id: c, match: {path: {exact: /c}}, respond: {requestHeaders: {set: {Content-Length: "1", "a b": "1"}}}, ${open}}
  - {id: d, match: {path: {exact: /d}}, respond: {requestHeaders: {setSecret: {X-Key: broken}}}, ${open}}`);
    const a = plans[0]?.respond;
    assert.deepEqual([a?.stripPrefix, a?.addPrefix], ['/api', '/gr%C3%BCn']);
    assert.deepEqual(a?.request.set, ['x-a', '1', 'x-key', 'value of upstream']);
    assert.deepEqual(a?.answer, {
      set: ['x-content-type-options', 'nosniff', 'x-frame-options', 'SAMEORIGIN'],
      add: [],
      remove: ['server', 'referrer-policy'],
    });
    assert.equal(a?.strictTransport, 'max-age=31536000');
    const b = plans[1]?.respond;
    assert.deepEqual([b?.redirect?.to, b?.redirect?.status, b?.answer.set, b?.strictTransport], ['https', 308, [], '']);
    assert.deepEqual(problems, [
      'routes /routes/2/respond/requestHeaders/set/Content-Length: "Content-Length" belongs to the connection or the framing and cannot be edited',
      'routes /routes/2/respond/requestHeaders/set/a b: "a b" is not a header field name',
      'routes /routes/3/respond/requestHeaders/setSecret/X-Key: the secret "broken" holds what a header field cannot: line breaks or bytes beyond ASCII',
    ]);
    compiled.release();
  });

  it('compiles ten thousand routes', () => {
    const routes = Array.from(
      { length: 10_000 },
      (_, i) => `  - {id: r${i}, match: {path: {template: "/t${i % 100}/{id}/item${i}"}}, ${open}}`,
    );
    const { plans, candidates, problems, compiled } = compile(`routes:\n${routes.join('\n')}`);
    assert.deepEqual(problems, []);
    assert.equal(plans.length, 10_000);
    assert.deepEqual(candidates('h', '/t42/x/item4242', 1), ['r4242']);
    compiled.release();
  });
});
