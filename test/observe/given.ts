/** Exchanges, snapshots and wires as the tests of observe and admin need them: real classes, filled by hand. */
import { Exchange } from '../../src/data/exchange.ts';
import type { Revision } from '../../src/data/lane/revision.ts';
import type { Wire } from '../../src/data/transport/transport.ts';
import { testWafPlan } from '../harness/wire.ts';
import type { EndpointPlan } from '../../src/snapshot/cell-plans.ts';
import type { RoutePlan } from '../../src/snapshot/route-plans.ts';
import type { Snapshot } from '../../src/snapshot/snapshot.ts';

export function givenRoute(id: string, index: number, over: Partial<RoutePlan> = {}): RoutePlan {
  return {
    id,
    index,
    headers: [],
    public: false,
    issuers: [0],
    policy: 0,
    entrypoint: 0,
    admit: [0],
    limit: [],
    waf: testWafPlan({ mode: 'block', profile: 0 }),
    tenant: { from: 'claim', name: 'tenant' },
    cell: -1,
    respond: {
      redirect: null,
      stripPrefix: '',
      replace: null,
      requestMade: null,
      cors: null,
      direct: null,
      files: null,
      pages: [],
      answerMade: null,
      addPrefix: '',
      host: null,
      request: { set: [], add: [], remove: [] },
      answer: { set: [], add: [], remove: [] },
      strictTransport: '',
      security: null,
      showAnswer: false,
    },
    forward: { connectTimeoutMs: 1000, headTimeoutMs: 5000, idleTimeoutMs: 0, bodyBytesMax: 1 << 20, retries: 1 },
    websocket: false,
    forwardClientCertificate: false,
    ...over,
  };
}

export function givenEndpoint(slot: number, identity = `eu-1/127.0.0.1:${9000 + slot}`): EndpointPlan {
  return {
    slot,
    identity,
    cell: 0,
    host: '127.0.0.1',
    port: 9000 + slot,
    tls: null,
    capacity: 100,
    connectionsMax: 10,
    http2: false,
  };
}

/** A smallest WebAssembly module: the magic number and the version. */
const emptyModule = new WebAssembly.Module(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]));

export function givenSnapshot(
  over: Partial<Snapshot> = {},
  routes: readonly RoutePlan[] = [givenRoute('orders', 0)],
): Snapshot {
  const texts = routes.map((route) => Buffer.from(JSON.stringify(route)));
  const offsets = new SharedArrayBuffer(4 * (routes.length + 1));
  const places = new Uint32Array(offsets);
  const text = new SharedArrayBuffer(
    Math.max(
      1,
      texts.reduce((n, t) => n + t.length, 0),
    ),
  );
  let at = 0;
  for (const [i, t] of texts.entries()) {
    new Uint8Array(text).set(t, at);
    at += t.length;
    places[i + 1] = at;
  }
  return {
    revision: 7,
    digest: 'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef',
    seq: 41,
    router: 0,
    rewrites: 0,
    routes: { count: routes.length, text, offsets, entries: new SharedArrayBuffer(4 * routes.length) },
    highestClass: 1,
    waf: -1,
    wafLimits: { laneBytesMax: 4096, readsTls: false },
    issuers: [
      {
        id: 'main-issuer',
        issuer: 'https://issuer.example',
        audiences: ['shop'],
        algorithms: ['ES256'],
        clockSkewSeconds: 30,
        tokenBytesMax: 8192,
        requiredClaims: [],
        claimHeaders: [],
        rolesClaim: 'roles',
        jwks: '{"keys":[]}',
        jwksUrl: null,
        jwksRefreshMs: 60_000,
        jwksCooldownMs: 10_000,
      },
    ],
    limits: [
      {
        id: 'per-address',
        identity: 1,
        key: [{ from: 'address' }],
        requests: 100,
        windowMs: 1000,
        burst: 20,
        mode: 'enforce',
      },
    ],
    policies: [
      {
        name: 'shop-access',
        module: emptyModule,
        data: '{}',
        entrypoints: ['authz/allow'],
        input: ['method', 'path', 'user'],
        pure: true,
        cacheEntries: 16,
        memoryPagesMax: 64,
        literalPatterns: true,
        digest: '00',
      },
    ],
    cells: [
      {
        id: 'eu-1',
        region: 'eu',
        endpoints: [0],
        health: { alpha: 0.3, latencyGoodMs: 50, latencyBadMs: 500, errorBad: 0.05 },
        probe: null,
      },
    ],
    endpoints: [givenEndpoint(3)],
    ring: { positions: new SharedArrayBuffer(8), cells: new SharedArrayBuffer(2), count: 1 },
    pins: new Map(),
    trust: { forwardedFrom: [] },
    observe: { accessLogSample: 1, maskedQuery: ['voucher'] },
    ...over,
  };
}

/** What the record reads of a wire; anything else is a mistake of the test. */
export function givenWire(over: Partial<Wire> = {}): Wire {
  return {
    method: 'GET',
    secure: true,
    host: 'Shop.Example',
    path: '/v1/orders/../orders/17',
    query: 'page=2&token=abc',
    peerAddress: new Uint8Array([203, 0, 113, 7]),
    peerPort: 51_234,
    localPort: 8443,
    websocket: false,
    ...over,
  } as Wire;
}

/** An answered exchange: token from the cache, policy allowed, one attempt. */
export function givenExchange(
  snapshot: Snapshot = givenSnapshot(),
  seq = 42,
  route = givenRoute('orders', 0),
): Exchange {
  const x = new Exchange(0);
  // All that observe reads of a revision.
  const revision = { snapshot, row: null } as Revision;
  x.begin(givenWire(), revision);
  x.seq = seq;
  x.id = `3f2a1b-00-${seq.toString(16).padStart(8, '0')}`;
  x.now = x.startedAt = Date.UTC(2026, 10, 21, 4, 40, 0, 123);
  x.startedTick = 0;
  x.at = 10;
  x.host = 'shop.example';
  x.path = '/v1/orders/17';
  x.encodedPath = '/v1/orders/17';
  x.query = 'page=2&token=abc';
  x.clientAddress = '203.0.113.7';
  x.clientRequestId = 'mobile-8841';
  x.route = route;
  x.limit = 0;
  x.limitRemaining = 19;
  x.waf = 1;
  x.credential = 1;
  x.identity = {
    issuer: 0,
    issuerId: 'main-issuer',
    subject: 'user-17',
    claims: {},
    roles: [],
    headers: [],
    expiresAt: 0,
  };
  x.policy = 1;
  x.tenant = 'acme';
  x.cell = 0;
  x.endpoint = snapshot.endpoints[0] ?? null;
  x.attempts = 1;
  x.upstreamStatus = 200;
  x.upstreamMs = 3.25;
  x.status = 200;
  x.bytesOut = 512;
  x.stageUs[3] = 14.5;
  x.stageUs[4] = 1.25;
  x.stageUs[6] = 9.75;
  return x;
}
