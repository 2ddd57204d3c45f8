/**
 * A transport with the real pipeline behind it and stages that do only what a test asks for. The tests of the seam are written against this, and take
 * the transport's name: whatever holds for one must hold for the other.
 */
import { Prng } from '../../src/base/prng.ts';
import type { Exchange } from '../../src/data/exchange.ts';
import type { RevisionParts } from '../../src/data/lane/revision.ts';
import { Revision } from '../../src/data/lane/revision.ts';
import type { Observer } from '../../src/data/pipeline.ts';
import { Pipeline } from '../../src/data/pipeline.ts';
import type { RefusalRow } from '../../src/data/refusal.ts';
import { REFUSALS } from '../../src/data/refusal.ts';
import type { Stage } from '../../src/data/stage.ts';
import { native } from '../../src/native.ts';
import { Normalize } from '../../src/data/stages/normalize.ts';
import type { Transport, TransportMaker } from '../../src/data/transport/transport.ts';
import { BodyState } from '../../src/data/transport/transport.ts';
import { EndpointUse } from '../../src/data/upstream/endpoint-use.ts';
import { Verdict } from '../../src/data/verdict.ts';
import { EndpointColumns } from '../../src/snapshot/endpoint-columns.ts';
import type { DownstreamPlan, ListenerPlan } from '../../src/snapshot/listener-plans.ts';
import type { EndpointPlan } from '../../src/snapshot/cell-plans.ts';
import type { ForwardLimits, RoutePlan } from '../../src/snapshot/route-plans.ts';
import type { Snapshot } from '../../src/snapshot/snapshot.ts';
import { testRoute } from '../harness/wire.ts';

export type TransportName = 'uws' | 'native';

const EXCHANGES_MAX = 4_096;
/** What the bootstrap has when it says nothing. */
export const DOWNSTREAM: DownstreamPlan = {
  connectionsMax: 65_536,
  connectionsPerAddressMax: 65_536,
  handshakeTimeoutMs: 10_000,
  headTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
  writeTimeoutMs: 30_000,
  bodyRateMin: 128,
};

/** Longest that one suite may take: only a broken build or machine needs it. */
export const SUITE_TIMEOUT_MS = 180_000;

/** The transport of that name, loaded as a lane loads it. */
export async function makerOf(name: TransportName): Promise<TransportMaker> {
  switch (name) {
    case 'uws': {
      const { UWS_ENVIRONMENT } = await import('../../src/data/transport/uws/bounds.ts');
      Object.assign(process.env, UWS_ENVIRONMENT);
      return (await import('../../src/data/transport/uws/index.ts')).makeUwsTransport;
    }
    case 'native': {
      const { makeNativeTransport } = await import('../../src/data/transport/native/index.ts');
      return makeNativeTransport(native(), { exchangesMax: EXCHANGES_MAX, downstream: DOWNSTREAM, instance: 'abcdef' });
    }
  }
}

/** How one exchange ended, kept by the observer. */
export interface Seen {
  readonly status: number;
  readonly refusal: string;
  readonly detail: string;
  readonly attempts: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly aborted: boolean;
  readonly path: string;
  readonly upstreamStatus: number;
}

export interface LaneOptions {
  readonly transport: TransportName;
  /** Tried in order: the first attempt goes to the first, a replay to the next. */
  readonly endpoints: readonly EndpointPlan[];
  readonly listener?: Partial<ListenerPlan>;
  readonly limits?: Partial<ForwardLimits>;
  readonly websocket?: boolean;
  /** Bytes of the body that a stage inspects before it goes on; what it saw is handed to `inspected`. */
  readonly inspect?: number;
  readonly inspected?: (body: Buffer, state: BodyState) => void;
  /** Run at the stage `authorize`: what it says is the stage's verdict. */
  readonly authorize?: (x: Exchange) => Verdict;
  /** Asks to be shown answers, and decides about them. */
  readonly answered?: (x: Exchange) => Verdict;
}

export class LaneUnderTest {
  readonly transport: Transport;
  readonly pipeline: Pipeline;
  readonly port: number;
  readonly columns: EndpointColumns;
  readonly seen: Seen[] = [];
  readonly bugs: unknown[] = [];
  readonly turnedAway: RefusalRow[] = [];

  private constructor(transport: Transport, pipeline: Pipeline, port: number, columns: EndpointColumns) {
    this.transport = transport;
    this.pipeline = pipeline;
    this.port = port;
    this.columns = columns;
  }

  static async start(options: LaneOptions): Promise<LaneUnderTest> {
    const maker = await makerOf(options.transport);
    const columns = new EndpointColumns(EndpointColumns.create());
    const use = new EndpointUse(columns, 0);
    const kept: { seen: Seen[]; bugs: unknown[]; turnedAway: RefusalRow[] } = { seen: [], bugs: [], turnedAway: [] };
    const observer: Observer = {
      ended: (x) => kept.seen.push(seenOf(x)),
      bug: (_, error) => kept.bugs.push(error),
      turnedAway: (row) => kept.turnedAway.push(row),
    };
    const listener: ListenerPlan = {
      id: 'test',
      address: '127.0.0.1',
      port: 0,
      tls: null,
      http2: false,
      proxyProtocolFrom: [],
      forwardedFrom: [],
      ...options.listener,
    };
    const limits: ForwardLimits = {
      connectTimeoutMs: 20_000,
      headTimeoutMs: 20_000,
      idleTimeoutMs: 0,
      bodyBytesMax: Number.MAX_SAFE_INTEGER,
      retries: 1,
      ...options.limits,
    };
    const route = testRoute({
      forward: limits,
      websocket: options.websocket ?? false,
      waf: { ...testRoute().waf, mode: 'off' },
    });
    const pipeline: Pipeline = new Pipeline({
      laneIndex: 0,
      instance: 'abcdef',
      exchangesMax: EXCHANGES_MAX,
      stages: stagesOf(options, route, use),
      observer,
      use,
      prng: new Prng(1),
      now: Date.now,
      tick: () => performance.now(),
    });
    pipeline.activate(new Revision(emptySnapshot(), noParts));
    const transport = await maker({ events: pipeline, laneIndex: 0 });
    let port: number;
    try {
      port = await transport.listen(listener);
    } catch (error) {
      transport.close();
      throw error;
    }
    const lane = new LaneUnderTest(transport, pipeline, port, columns);
    started.add(lane);
    kept.seen = lane.seen;
    kept.bugs = lane.bugs;
    kept.turnedAway = lane.turnedAway;
    return lane;
  }

  /** Resolves when so many exchanges have ended and none is open. */
  async ended(count: number): Promise<readonly Seen[]> {
    await eventually(() => this.seen.length >= count && this.transport.openExchanges === 0, `${count} exchanges ended`);
    return this.seen;
  }

  close(): void {
    started.delete(this);
    this.transport.close();
  }
}

const started = new Set<LaneUnderTest>();

/** Closes what failed tests left open; an open listener would keep the process. */
export function closeLanes(): void {
  for (const lane of started) lane.close();
}

/** Asks again until it holds; fails after a time that only a broken build needs. */
export async function eventually(holds: () => boolean, what: string, withinMs = 15_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`did not happen: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

let slots = 0;

/** An endpoint on loopback. */
export function endpointAt(port: number, over: Partial<EndpointPlan> = {}): EndpointPlan {
  return {
    slot: slots++,
    identity: `cell/127.0.0.1:${port}`,
    cell: 0,
    host: '127.0.0.1',
    port,
    tls: null,
    capacity: 100,
    connectionsMax: 8,
    http2: false,
    ...over,
  };
}

function seenOf(x: Exchange): Seen {
  return {
    status: x.status,
    refusal: x.refusal?.code ?? '',
    detail: x.detail,
    attempts: x.attempts,
    bytesIn: x.bytesIn,
    bytesOut: x.bytesOut,
    aborted: x.aborted,
    path: x.path,
    upstreamStatus: x.upstreamStatus,
  };
}

function stagesOf(options: LaneOptions, route: RoutePlan, use: EndpointUse) {
  const next: Stage = { enter: () => Verdict.Next };
  const match: Stage = {
    enter: (x) => {
      x.route = route;
      return Verdict.Next;
    },
  };
  const waf: Stage = {
    enter: (x) => {
      if (options.inspect === undefined) return Verdict.Next;
      const state = x.wire.inspectBody(options.inspect);
      if (state === BodyState.Pending) return Verdict.Wait;
      options.inspected?.(Buffer.from(x.wire.body), state);
      return Verdict.Next;
    },
  };
  const balance: Stage = {
    enter: (x) => {
      const endpoint = options.endpoints[Math.min(x.attempts, options.endpoints.length - 1)];
      if (endpoint === undefined) return x.refuse(REFUSALS.no_endpoint, 'none');
      use.take(x, endpoint);
      return Verdict.Next;
    },
  };
  const forward: Stage = {
    enter: (x) => {
      if (x.wire.websocket && !route.websocket) return x.refuse(REFUSALS.upgrade_not_allowed, 'test');
      const plan = x.plan;
      plan.endpoint = x.endpoint as EndpointPlan;
      plan.target = x.query === '' ? x.encodedPath : `${x.encodedPath}?${x.query}`;
      plan.authority = x.wire.host;
      plan.connectTimeoutMs = route.forward.connectTimeoutMs;
      plan.headTimeoutMs = route.forward.headTimeoutMs;
      plan.idleTimeoutMs = route.forward.idleTimeoutMs;
      plan.bodyBytesMax = route.forward.bodyBytesMax;
      plan.showAnswer = options.answered !== undefined;
      x.wire.forward(plan);
      return Verdict.Handed;
    },
  };
  return {
    normalize: new Normalize(),
    match,
    admit: next,
    waf,
    authenticate: next,
    limit: next,
    authorize: options.authorize === undefined ? next : { enter: options.authorize },
    route: next,
    balance,
    respond: options.answered === undefined ? next : { enter: () => Verdict.Next, answered: options.answered },
    forward,
  };
}

// No stage here asks a revision for more than its snapshot.
const noParts = {} as RevisionParts;

function emptySnapshot(): Snapshot {
  const nothing = new SharedArrayBuffer(4);
  return {
    revision: 1,
    digest: 'sha256:0',
    seq: 1,
    router: 0,
    rewrites: 0,
    routes: { count: 0, text: nothing, offsets: nothing, entries: [] } as unknown as Snapshot['routes'],
    highestClass: 1,
    waf: -1,
    wafLimits: { laneBytesMax: 0, readsTls: false },
    issuers: [],
    limits: [],
    policies: [],
    cells: [],
    endpoints: [],
    ring: { positions: nothing, cells: nothing, count: 0 },
    pins: new Map(),
    trust: { forwardedFrom: [] },
    observe: { accessLogSample: 0, maskedQuery: [] },
  };
}
