/**
 * Every answer that the gateway gives by itself, provoked from outside and compared with a literal file: status line, all fields but Date, body. The files are the
 * interface that clients rely on; the table in `src/data/refusal.ts` is not asked here. `CNX_WRITE_EXPECTED=1` writes them anew, for review.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Prng } from '../../src/base/prng.ts';
import { Pipeline } from '../../src/data/pipeline.ts';
import { REFUSAL_LIST, type RefusalCode, REFUSALS, refusalBody } from '../../src/data/refusal.ts';
import type { Stage } from '../../src/data/stage.ts';
import { EndpointUse } from '../../src/data/upstream/endpoint-use.ts';
import { Verdict } from '../../src/data/verdict.ts';
import { EndpointColumns } from '../../src/snapshot/endpoint-columns.ts';
import { STAGES, type StageName } from '../../src/snapshot/stages.ts';
import { plainBundle } from '../harness/bundle.ts';
import { testAuthority } from '../harness/certs.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { AUDIENCE, ISSUER, TestIssuer } from '../harness/issuer.ts';
import { freePorts, listening } from '../harness/ports.ts';
import { RawConnection } from '../harness/raw-client.ts';
import { TestWire } from '../harness/wire.ts';
import { answerOn, ask, askRaw, PATIENCE_MS, type RawAnswer } from './client.ts';
import { Given, inflight, untilIdle } from './given.ts';
import { rolesPolicy } from './policies.ts';

const EXPECTED = join(import.meta.dirname, 'expected/refusals');
const WRITE = process.env['CNX_WRITE_EXPECTED'] === '1';

/** Requests that one endpoint of one connection holds: the one it serves, and 64 that wait (docs/transport.md). */
const UPSTREAM_OPEN_MAX = 65;
/** Fewest exchanges that a lane can be told to hold. */
const EXCHANGES_MAX = 16;

interface Place {
  readonly gateway: TestGateway;
  /** Another one, with room for `EXCHANGES_MAX` exchanges. */
  readonly small: TestGateway;
  readonly issuer: TestIssuer;
}

type Provoke = (place: Place) => Promise<RawAnswer>;

/** Exact bytes to the gateway. */
function bytes(text: string | ((place: Place) => Promise<string>), method = 'GET'): Provoke {
  return async (place) =>
    askRaw({ port: place.gateway.ports.http }, typeof text === 'string' ? text : await text(place), method);
}

/** GET of a path with further field lines. */
function get(path: string, ...fields: string[]): Provoke {
  return bytes(request('GET', path, fields));
}

function request(method: string, path: string, fields: readonly string[] = [], body = ''): string {
  return `${[`${method} ${path} HTTP/1.1`, 'Host: a.test', ...fields].join('\r\n')}\r\n\r\n${body}`;
}

function withToken(path: string, make: (issuer: TestIssuer) => Promise<string>): Provoke {
  return bytes(async ({ issuer }) => request('GET', path, [`Authorization: Bearer ${await make(issuer)}`]));
}

/** What provokes each refusal that a client or an upstream can provoke. */
const PROVOKED: Readonly<Partial<Record<RefusalCode, Provoke>>> = {
  bad_request: bytes('G(T / HTTP/1.1\r\nHost: a.test\r\n\r\n'),
  bad_framing: bytes(request('POST', '/', ['Content-Length: 5', 'Content-Length: 5'], 'hello')),
  version_not_supported: bytes('GET / HTTP/3.0\r\nHost: a.test\r\n\r\n'),
  bad_host: bytes('GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n'),
  bad_target: get('/%zz'),
  bad_header: get('/', 'X-Bad: a\x7fb'),
  request_timeout: async ({ gateway }) => {
    const connection = await RawConnection.open({ port: gateway.ports.http });
    connection.send(request('POST', '/waf', ['Content-Type: text/plain', 'Content-Length: 1900000']));
    // Fast enough for the transport, which cuts what is slower than 16 KB a second; as a whole it comes too slowly to be inspected in time.
    const drip = setInterval(() => connection.send('.'.repeat(30_000)), 1_000);
    try {
      return await answerOn(connection);
    } finally {
      clearInterval(drip);
    }
  },
  body_too_large: bytes(request('POST', '/small-body', ['Content-Length: 11'], 'hello world')),
  target_too_long: get(`/${'x'.repeat(9_000)}`),
  expectation_failed: get('/', 'Expect: the-unexpected'),
  head_too_large: get('/', ...Array.from({ length: 97 }, (_, n) => `X-Field-${n}: v`)),
  method_not_implemented: bytes('get / HTTP/1.1\r\nHost: a.test\r\n\r\n'),
  no_route: bytes('GET / HTTP/1.1\r\nHost: elsewhere.test\r\n\r\n'),
  method_not_allowed: bytes('DELETE / HTTP/1.1\r\nHost: get.test\r\n\r\n', 'DELETE'),
  upgrade_not_allowed: get(
    '/',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  ),
  waf_blocked: get('/waf?q=attack'),
  waf_answer_blocked: get('/status/209'),
  waf_answer_failed: get('/status/210'),
  waf_exhausted: bytes(
    request('POST', '/waf', ['Content-Type: text/plain', 'Content-Length: 1000000'], 'a'.repeat(1_000_000)),
  ),
  token_missing: get('/token'),
  token_malformed: get('/token', 'Authorization: Bearer not-a-token'),
  token_invalid: withToken('/token', (issuer) => issuer.token({ aud: 'somebody else' })),
  token_expired: withToken('/token', (issuer) => issuer.token({ exp: 1_000_000_000 })),
  keys_unavailable: withToken('/no-keys', (issuer) => issuer.token({ iss: 'https://silent.test' })),
  rate_limited: async (place) => {
    (await get('/limited')(place)).connection.destroy();
    return get('/limited')(place);
  },
  policy_denied: withToken('/policy', (issuer) => issuer.token({ roles: ['reader'] })),
  // Quotes are escaped in the policy's input, which grows beyond its bound.
  policy_failed: bytes(async ({ issuer }) =>
    request('GET', `/policy?${'q'.repeat(7_000)}`, [
      `Authorization: Bearer ${await issuer.token()}`,
      `X-Long: ${'"'.repeat(31_000)}`,
    ]),
  ),
  tenant_unknown: get('/tenant'),
  misdirected: async ({ gateway }) => {
    const tls = { ca: testAuthority().certificate, servername: 'localhost' };
    return askRaw({ port: gateway.ports.https, tls }, request('GET', '/sni'));
  },
  cell_unavailable: get('/tenant', 'X-Tenant: acme'),
  region_forbidden: get('/regional', 'X-Tenant: elsewhere'),
  no_file: get('/files/none'),
  not_rewritable: get('/rewritten/.x./y'),
  not_cached: get('/cached', 'Cache-Control: only-if-cached'),
  no_endpoint: get('/dead'),
  upstream_unreachable: get('/refusing'),
  upstream_reset: bytes(request('POST', '/reset', ['Content-Length: 2'], 'hi')),
  upstream_invalid: get('/garbage'),
  upstream_timeout: get('/hang/for-ever'),
  upstream_busy: async (place) => {
    const held = await Promise.all(
      Array.from({ length: UPSTREAM_OPEN_MAX }, () => RawConnection.open({ port: place.gateway.ports.http })),
    );
    try {
      for (const connection of held) connection.send(request('GET', '/hang/busy'));
      await place.gateway.until(
        'all of them wait',
        async () => (await inflight(place.gateway, 'busy')) === held.length,
      );
      return await get('/hang/busy')(place);
    } finally {
      for (const connection of held) connection.destroy();
    }
  },
  overloaded: async ({ small }) => {
    const held = await Promise.all(
      Array.from({ length: EXCHANGES_MAX }, () => RawConnection.open({ port: small.ports.http })),
    );
    try {
      for (const connection of held) connection.send(request('GET', '/hang'));
      await small.until('all of them wait', async () => (await inflight(small, 'one')) === held.length);
      return await askRaw({ port: small.ports.http }, request('GET', '/'));
    } finally {
      for (const connection of held) connection.destroy();
    }
  },
};

/** What cannot be provoked with this transport, and why. It is held at the level of the pipeline, against a literal body. */
const NOT_PROVOKED: Readonly<Partial<Record<RefusalCode, string>>> = {
  waf_failed: 'more than 1,024 requests of one lane must wait for the pool, or a pool thread must die twice',
  circuit_open: 'several failures must come first; circuits.test.ts does that',
  bulkhead_full: 'another request must be under way for all of the time; circuits.test.ts does that',
  shed: 'a lane must be overloaded',
  read_only: 'two dependencies must be down; degradation.test.ts does that',
  static_only: 'a critical dependency must be down; degradation.test.ts does that',
  not_ready: 'listeners open only when a bundle serves',
  draining: 'new connections are refused by the kernel, open ones served, while a lane drains',
  internal_error: 'it needs a bug: a stage that throws',
};

const ID = /[0-9a-f]{6}-[0-9a-f]{2}-[0-9a-f]{8}/g;

/** As it came, without Date, and what differs from run to run masked. */
function masked(answer: Buffer): string {
  return answer
    .toString('latin1')
    .replace(/^date: [^\r\n]*\r\n/im, '')
    .replace(/^(retry-after|ratelimit): [^\r\n]*/gim, (line) => line.replaceAll(/\d+/g, '<n>'))
    .replaceAll(ID, '<request id>')
    .replaceAll('\r\n', '\n');
}

function expected(code: string, got: string): string {
  const file = join(EXPECTED, `${code}.txt`);
  if (WRITE) writeFileSync(file, got);
  return readFileSync(file, 'utf8');
}

function publicRoute(id: string, path: object, more: object = {}): object {
  return {
    id,
    match: { hosts: ['a.test'], path },
    access: 'public',
    reason: 'provokes a refusal',
    cell: 'one',
    ...more,
  };
}

/** Much work for each byte: what is looked at again under so many transformations soon meets the budget. */
const HEAVY = Array.from(
  { length: 120 },
  (_, n) => `SecRule REQUEST_BODY "@rx x${n}$" "id:${1000 + n},phase:2,pass,nolog,t:none,t:lowercase,t:urlDecodeUni"`,
);
const RULES = `SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain
SecRule ARGS "@contains attack" "id:1,phase:2,deny,t:none,msg:'attack'"
SecRule RESPONSE_BODY "@contains status" "id:2,phase:4,deny,t:none,msg:'leak'"
${HEAVY.join('\n')}
`;

describe('refusals', () => {
  const given = new Given();
  let place: Place;

  before(async () => {
    const upstream = await given.upstream();
    const garbage = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.once('data', () => socket.end('this is no HTTP\r\n\r\n'));
    });
    given.ends(() => garbage.close());
    const garbagePort = await listening(garbage);
    const [dead = 0, silent = 0] = await freePorts(2);
    const issuer = await TestIssuer.make();
    const trusted = { audiences: [AUDIENCE], algorithms: ['ES256'] };
    const at = (address: string, more: object = {}): object[] => [{ address, ...more }];
    const policy = rolesPolicy('roles', ['method', 'path', 'user.role', 'headers.x-long', 'query']);
    const starting = given.gateway({
      bundle: {
        cells: {
          cells: [
            { id: 'one', region: 'here', tenants: false, endpoints: at(upstream.address) },
            { id: 'dead', region: 'there', tenants: false, endpoints: at(`127.0.0.1:${dead}`) },
            { id: 'refusing', tenants: false, endpoints: at(`127.0.0.1:${dead}`) },
            { id: 'garbage', tenants: false, endpoints: at(`127.0.0.1:${garbagePort}`) },
            { id: 'busy', tenants: false, endpoints: at(upstream.address, { connectionsMax: 1 }) },
          ],
          tenantRegions: { elsewhere: ['there'] },
        },
        issuers: {
          issuers: [
            { id: 'main', issuer: ISSUER, ...trusted, jwks: issuer.jwks },
            { id: 'silent', issuer: 'https://silent.test', ...trusted, jwksUrl: `http://127.0.0.1:${silent}/` },
          ],
        },
        limits: { limits: [{ id: 'once', key: ['route'], requests: 1, windowMs: 3_600_000, burst: 1 }] },
        policies: { policies: [policy.entry] },
        waf: { mode: 'off', rules: ['waf/test.conf'], bodyBytes: 2_000_000 },
        files: { ...policy.files, 'waf/test.conf': RULES, 'site/index.html': 'start' },
        routes: {
          routes: [
            publicRoute('all', { prefix: '/' }),
            publicRoute('small-body', { exact: '/small-body' }, { bodyBytesMax: 10 }),
            {
              ...publicRoute('only-get', { prefix: '/' }),
              match: { hosts: ['get.test'], path: { prefix: '/' }, methods: ['GET'] },
            },
            publicRoute('waf', { exact: '/waf' }, { waf: { mode: 'block' } }),
            publicRoute(
              'waf-answer',
              { exact: '/status/209' },
              { waf: { mode: 'block', responses: { inspect: true } } },
            ),
            publicRoute(
              'waf-long-answer',
              { exact: '/status/210' },
              { waf: { mode: 'block', responses: { inspect: true, bodyBytes: 3, beyond: 'refuse' } } },
            ),
            publicRoute('token', { exact: '/token' }, { issuers: ['main'] }),
            publicRoute('no-keys', { exact: '/no-keys' }, { issuers: ['silent'] }),
            publicRoute('limited', { exact: '/limited' }, { limits: ['once'] }),
            {
              id: 'policy',
              match: { hosts: ['a.test'], path: { exact: '/policy' } },
              issuers: ['main'],
              policy: { name: 'roles' },
              cell: 'one',
            },
            {
              id: 'tenant',
              match: { hosts: ['a.test'], path: { exact: '/tenant' } },
              access: 'public',
              reason: 'provokes a refusal',
              tenant: { header: 'x-tenant' },
            },
            publicRoute('sni', { exact: '/sni' }, { tenant: { sniLabel: 0 } }),
            publicRoute('regional', { exact: '/regional' }, { tenant: { header: 'x-tenant' } }),
            publicRoute('files', { prefix: '/files' }, { respond: { files: { root: 'site' } } }),
            publicRoute(
              'rewritten',
              { prefix: '/rewritten' },
              { respond: { replacePathRegex: { regex: 'x', replacement: '' } } },
            ),
            publicRoute('cached', { exact: '/cached' }, { cache: { requestDirectives: 'honour' } }),
            publicRoute('dead', { exact: '/dead' }, { cell: 'dead' }),
            publicRoute('refusing', { exact: '/refusing' }, { cell: 'refusing', retries: 0 }),
            publicRoute('garbage', { exact: '/garbage' }, { cell: 'garbage' }),
            publicRoute('timeout', { exact: '/hang/for-ever' }, { timeouts: { headMs: 100 } }),
            publicRoute('busy', { exact: '/hang/busy' }, { cell: 'busy', retries: 0 }),
          ],
        },
      },
    });
    const startingSmall = given.gateway({
      bundle: plainBundle([upstream.address]),
      bootstrap: { exchangesMax: EXCHANGES_MAX },
    });
    const [gateway, small] = await Promise.all([starting, startingSmall]);
    place = { gateway, small, issuer };
  });

  after(() => given.end());

  describe('provoked from outside are what the literal files say', { concurrency: true }, () => {
    for (const [code, provoke] of Object.entries(PROVOKED)) {
      it(code, { timeout: 2 * PATIENCE_MS }, async () => {
        const answer = await provoke(place);
        const { connection, body } = answer;
        try {
          const closes = /^connection: close\r$/im.test(answer.bytes.toString('latin1'));
          if (closes) assert.ok(await connection.untilClosed(PATIENCE_MS), 'what says that it closes closes');
          assert.equal(masked(connection.received()), expected(code, masked(connection.received())));
        } finally {
          connection.destroy();
        }
        // The record knows it by the same code; what is turned away before the first stage has none.
        if (code === 'overloaded') return;
        const [id = ''] = body.toString('latin1').match(ID) ?? [];
        const told = (await place.gateway.admin(`/v1/explain/${id}`)) as { refusal: { code: string } | null };
        assert.equal(told.refusal?.code, code);
      });
    }
  });

  it('leave the gateway as it was: nothing in flight, and a good request passes', async () => {
    for (const gateway of [place.gateway, place.small]) {
      await untilIdle(gateway);
      const good = await ask(gateway.ports.http, '/', { headers: { host: 'a.test' } });
      assert.equal(good.status, 200);
      await gateway.stop();
    }
  });

  it('that cannot be provoked have their literal body all the same, through the pipeline', () => {
    for (const code of Object.keys(NOT_PROVOKED) as RefusalCode[]) {
      const wire = new TestWire();
      let id = '';
      wire.refuse = (row, requestId?: string): void => {
        wire.refusal = row;
        id = requestId ?? '';
      };
      const { pipeline } = pipelineThat(() => code);
      pipeline.begin(wire);
      assert.equal(wire.refusal?.code, code);
      const { status, close } = wire.refusal ?? REFUSALS.internal_error;
      const got = `${status} ${close ? 'close' : 'keep'}\n${refusalBody(REFUSALS[code], id)}`.replaceAll(
        ID,
        '<request id>',
      );
      assert.equal(got, expected(code, got));
    }
  });

  it('are all covered, and no file is left over', () => {
    const covered = [...Object.keys(PROVOKED), ...Object.keys(NOT_PROVOKED)].sort();
    assert.deepEqual(covered, REFUSAL_LIST.map((row) => row.code).sort());
    assert.deepEqual(
      readdirSync(EXPECTED).sort(),
      covered.map((code) => `${code}.txt`),
    );
  });
});

/** A pipeline whose first stage refuses with a row, throws, or that has no revision, so that the code comes about as it does in a lane. */
function pipelineThat(refuses: () => RefusalCode): { pipeline: Pipeline } {
  const code = refuses();
  const next: Stage = { enter: () => Verdict.Next };
  const first: Stage = {
    enter: (x) => {
      if (code === 'internal_error') throw new Error('a bug');
      return x.refuse(REFUSALS[code], 'for a test');
    },
  };
  const stages = Object.fromEntries(STAGES.map((name) => [name, name === 'normalize' ? first : next]));
  const pipeline = new Pipeline({
    laneIndex: 0,
    instance: 'abcdef',
    exchangesMax: 1,
    stages: stages as Record<StageName, Stage>,
    observer: { ended: () => undefined, bug: () => undefined, turnedAway: () => undefined },
    use: new EndpointUse(new EndpointColumns(EndpointColumns.create()), 0),
    prng: new Prng(1),
    now: () => 0,
    tick: () => 0,
  });
  if (code !== 'not_ready') pipeline.activate({ open: 0, snapshot: {} } as Parameters<Pipeline['activate']>[0]);
  return { pipeline };
}
