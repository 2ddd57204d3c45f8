/** What tests of stages have to hand: the wire without sockets, and routes and exchanges with nothing on them. */
import { Exchange } from '../../src/data/exchange.ts';
import type { Revision } from '../../src/data/lane/revision.ts';
import { UpstreamPaths } from '../../src/data/answers/upstream-target.ts';
import type { Wire } from '../../src/data/transport/transport.ts';
import { native } from '../../src/native.ts';
import type { RoutePlan, WafRoutePlan } from '../../src/snapshot/route-plans.ts';
import type { IssuerPlan } from '../../src/snapshot/snapshot.ts';

export { RecordedWire as TestWire, type WireOptions } from '../../src/data/rehearsal/recorded-wire.ts';

/** For stages that rewrite paths. */
export const testPaths = new UpstreamPaths(native());

/** Not asked; a test overrides what it is about. */
export function testWafPlan(over: Partial<WafRoutePlan> = {}): WafRoutePlan {
  return {
    mode: 'off',
    profile: -1,
    bodyBytes: 0,
    beyond: 'refuse',
    coded: 'refuse',
    exhausted: 'block',
    queueFull: 'refuse',
    detectSample: 1,
    answer: null,
    ...over,
  };
}

/** A route with nothing on it; a test overrides what it is about. */
export function testRoute(over: Partial<RoutePlan> = {}): RoutePlan {
  return {
    id: 'route',
    index: 0,
    headers: [],
    public: true,
    issuers: [],
    policy: -1,
    entrypoint: 0,
    admit: [],
    limit: [],
    waf: testWafPlan(),
    tenant: null,
    cell: 0,
    respond: {
      redirect: null,
      stripPrefix: '',
      replace: null,
      addPrefix: '',
      host: null,
      request: { set: [], add: [], remove: [] },
      answer: { set: [], add: [], remove: [] },
      requestMade: null,
      cors: null,
      direct: null,
      files: null,
      pages: [],
      answerMade: null,
      strictTransport: '',
      security: null,
      showAnswer: false,
    },
    forward: { connectTimeoutMs: 1000, headTimeoutMs: 1000, idleTimeoutMs: 0, bodyBytesMax: 1_000_000, retries: 0 },
    websocket: false,
    forwardClientCertificate: false,
    ...over,
  };
}

/** A live exchange over a test wire. */
export function testExchange(wire: Wire, revision: Partial<Revision>, route: RoutePlan | null = null): Exchange {
  // Whoever says nothing of issuers has none. The same objects: stages know revisions and snapshots by them.
  const snapshot = (revision.snapshot ?? {}) as { issuers?: readonly IssuerPlan[] };
  snapshot.issuers ??= [];
  const x = new Exchange(0);
  x.begin(wire, Object.assign(revision, { snapshot }) as Revision);
  x.route = route;
  x.now = x.startedAt = Date.now();
  x.secure = wire.secure;
  return x;
}
