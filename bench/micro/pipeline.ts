/**
 * What a request costs in the pipeline, all real stages and the observer, no sockets: `node bench/micro/pipeline.ts`. The demo's bundle with limits that
 * nobody reaches; `plain` is a public route without WAF and limits, `chain` the protected API (WAF rules, cached token, two limits, cached policy, tenant, cell). Prints one
 * JSON row per case: ns, bytes that a request leaves on the heap, and promises that it makes, which must be none. Every request must be handed over
 * to an endpoint, so that a refusal cannot win.
 */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promiseHooks, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MessageChannel } from 'node:worker_threads';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { Prng } from '../../src/base/prng.ts';
import type { BundleConfig } from '../../src/config/bundle.ts';
import { noSlots, readBundleDirectory } from '../../src/control/build/bundle-directory.ts';
import { compileBundle } from '../../src/control/compile/compile.ts';
import { LaneStages } from '../../src/data/lane/stages.ts';
import { Observe } from '../../src/data/observe.ts';
import { Overload } from '../../src/data/overload/overload.ts';
import { Pipeline } from '../../src/data/pipeline.ts';
import {
  BodyKind,
  BodyState,
  type ForwardPlan,
  type UpstreamAnswer,
  type Wire,
} from '../../src/data/transport/transport.ts';
import type { NewTrace } from '../../src/data/trace-context.ts';
import { EndpointUse } from '../../src/data/upstream/endpoint-use.ts';
import { native } from '../../src/native.ts';
import { EndpointColumns } from '../../src/snapshot/endpoint-columns.ts';
import { LaneColumns } from '../../src/snapshot/lane-columns.ts';
import { createRecords } from '../../src/snapshot/records.ts';
import type { ListenerPlan } from '../../src/snapshot/listener-plans.ts';

export interface MicroRow {
  readonly name: string;
  readonly metric: string;
  readonly unit: string;
  readonly ours: number;
}

const ROUNDS = 5;
/** Requests that leave less garbage than a young generation holds, so that no collection hides it. */
const HEAP_CALLS = 2_000;
const WARMING = 20_000;
const FIRST = 3;
const REACHED_BY_NOBODY = 1_000_000_000;
const NO_BODY = new Uint8Array(0);
const overload = { enabled: true, delayTargetMs: 50, heapPercent: 90 };
const PEER = Uint8Array.of(192, 0, 2, 7);
const LISTENER: ListenerPlan = {
  id: 'bench',
  address: '127.0.0.1',
  port: 8443,
  tls: null,
  http2: false,
  proxyProtocolFrom: [],
  forwardedFrom: [],
};

/** A request without sockets that keeps nothing: what remains on the heap is the pipeline's own. */
class BenchWire implements Wire {
  readonly requestEditsLost = false;
  readonly protocol = 'HTTP/1.1';
  readonly method = 'GET';
  readonly secure = true;
  readonly host = 'localhost:8443';
  readonly path: string;
  readonly query = 'page=2&sort=date';
  readonly peerAddress = PEER;
  readonly peerPort = 50_000;
  readonly localPort = 8443;
  readonly listener = LISTENER;
  readonly serverName = 'localhost';
  readonly tls = null;
  readonly bodyKind = BodyKind.None;
  readonly bodyLength = 0;
  readonly websocket = false;
  readonly fault = null;
  readonly body = NO_BODY;
  readonly fieldBytes: number;
  readonly #headers: readonly string[];
  handed = 0;
  refused = '';
  edits = 0;

  constructor(path: string, headers: readonly string[]) {
    this.path = path;
    this.#headers = headers;
    this.fieldBytes = headers.join('').length;
  }
  get headerCount(): number {
    return this.#headers.length >> 1;
  }
  headerName(index: number): string {
    return this.#headers[index * 2] ?? '';
  }
  headerValue(index: number): string {
    return this.#headers[index * 2 + 1] ?? '';
  }
  header(name: string): string | undefined {
    for (let i = 0; i < this.#headers.length; i += 2) if (this.#headers[i] === name) return this.#headers[i + 1];
    return undefined;
  }
  repeats(): boolean {
    return false;
  }
  hasAlias(): boolean {
    return false;
  }
  inspectBody(): BodyState {
    return BodyState.Complete;
  }
  setUpstreamHeader(_: string, value: string): boolean {
    this.edits += value.length;
    return true;
  }
  identify(id: string, _seq: number, trace: NewTrace | null): void {
    this.edits += id.length + (trace?.low ?? 0);
  }
  addUpstreamHeader(_: string, value: string): boolean {
    this.edits += value.length;
    return true;
  }
  removeUpstreamHeader(): void {
    this.edits++;
  }
  setAnswerHeader(_: string, value: string): boolean {
    this.edits += value.length;
    return true;
  }
  addAnswerHeader(_: string, value: string): boolean {
    this.edits += value.length;
    return true;
  }
  defaultAnswerHeader(): boolean {
    return true;
  }
  appendAnswerHeader(): boolean {
    return true;
  }
  removeAnswerHeader(): void {
    this.edits++;
  }
  editRequest(): boolean {
    this.edits++;
    return true;
  }
  compressAnswer(): void {}
  editAnswer(): boolean {
    this.edits++;
    return true;
  }
  forward(plan: ForwardPlan): void {
    if (plan.target !== '') this.handed++;
  }
  refuse(row: { readonly code: string }): void {
    this.refused = row.code;
  }
  answer(): void {
    this.refused = 'answered';
  }
  get upstreamAnswer(): UpstreamAnswer {
    return assert.fail('no answer is shown');
  }
  pass(): void {
    this.refused = 'passed';
  }
}

/** The demo, signed by a key of ours. */
async function given(): Promise<{
  plain: BundleConfig;
  chain: BundleConfig;
  token: string;
  bundle: Awaited<ReturnType<typeof readBundleDirectory>>;
}> {
  const bundle = await readBundleDirectory(fileURLToPath(new URL('../../config/demo', import.meta.url)), null);
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: 'bench', alg: 'ES256' };
  const { config } = bundle;
  const chain: BundleConfig = {
    ...config,
    issuers: {
      issuers: config.issuers.issuers.map(({ jwksUrl: _, ...issuer }) => ({ ...issuer, jwks: { keys: [jwk] } })),
    },
    limits: {
      limits: config.limits.limits.map((l) => ({ ...l, requests: REACHED_BY_NOBODY, burst: REACHED_BY_NOBODY })),
    },
  };
  const plain: BundleConfig = {
    ...chain,
    waf: { ...chain.waf, mode: 'off' },
    defaults: { ...chain.defaults, limits: [] },
  };
  const [issuer] = config.issuers.issuers;
  assert.ok(issuer !== undefined);
  const token = await new SignJWT({ tenant: 'acme', roles: ['reader'] })
    .setProtectedHeader({ alg: 'ES256', kid: 'bench' })
    .setIssuer(issuer.issuer)
    .setAudience(issuer.audiences[0] ?? '')
    .setSubject('u-1')
    .setExpirationTime('1h')
    .sign(privateKey);
  return { plain, chain, token, bundle };
}

const HEADERS = ['host', 'localhost:8443', 'user-agent', 'bench/1.0', 'accept', '*/*', 'accept-encoding', 'gzip, br'];
const TRACE = ['traceparent', `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`];

export async function run(calls = 100_000): Promise<MicroRow[]> {
  const rows: MicroRow[] = [];
  const addon = native();
  addon.limitsInit(65_536);
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const { plain, chain, token, bundle } = await given();
  const authorized = ['authorization', `Bearer ${token}`];
  const cases = [
    ['plain, beginning a trace', plain, new BenchWire('/hello', HEADERS)],
    ['plain, traced', plain, new BenchWire('/hello', [...HEADERS, ...TRACE])],
    ['chain, beginning a trace', chain, new BenchWire('/api/orders/17', [...HEADERS, ...authorized])],
    ['chain, traced', chain, new BenchWire('/api/orders/17', [...HEADERS, ...authorized, ...TRACE])],
  ] as const;
  for (const [metric, config, wire] of cases) {
    const columns = new EndpointColumns(EndpointColumns.create());
    const use = new EndpointUse(columns, 0);
    const { port1, port2 } = new MessageChannel();
    const laneColumns = LaneColumns.create();
    const records = createRecords();
    let woken: () => void = () => {};
    const stages = new LaneStages({
      setup: { laneCount: 2, wafPort: port2, cache: { bytesMax: 1_048_576, entriesMax: 16 } },
      native: addon,
      columns,
      use,
      overload: new Overload(overload, new LaneColumns(laneColumns), 1),
      wake: (x, ticket) => {
        pipeline.wake(x, ticket);
        woken();
      },
      invalidated: () => undefined,
      mirrored: () => undefined,
      tick: () => performance.now(),
      askForKeys: () => assert.fail('keys are known'),
    });
    const pipeline = new Pipeline({
      laneIndex: 0,
      instance: '000000',
      exchangesMax: 16,
      stages: stages.table,
      observer: new Observe({
        laneColumns,
        records,
        tick: () => performance.now(),
        onBug: (bug) => assert.fail(bug.message),
      }),
      use,
      prng: new Prng(1),
      now: Date.now,
      tick: () => performance.now(),
    });
    const secrets = new Map<string, string>();
    const purpose = { kind: 'run', revision: 1, digest: 'sha256:0', seq: 1, secrets, http2: true } as const;
    const compiled = await compileBundle(config, bundle.documents, bundle.files, purpose, addon, noSlots());
    pipeline.activate(stages.open(compiled.snapshot));
    const ending = { status: 200, bytesIn: 0, bytesOut: 2 };
    const request = (): void => {
      const x = pipeline.begin(wire);
      if (x === null) throw new Error('turned away');
      pipeline.head(x, 200);
      pipeline.finished(x, ending);
    };
    // The first ones wait for their token to be verified, and the very first for the issuer's keys to be imported.
    for (let i = 1; i <= FIRST; i++) {
      const verified = new Promise<void>((resolve) => {
        woken = resolve;
      });
      const x = pipeline.begin(wire);
      assert.ok(x !== null);
      if (wire.handed < i && wire.refused === '') await verified;
      assert.equal(wire.refused, '', x.detail);
      pipeline.head(x, 200);
      pipeline.finished(x, ending);
    }
    for (let i = 0; i < WARMING; i++) request();
    let least = Number.POSITIVE_INFINITY;
    for (let r = 0; r < ROUNDS; r++) {
      const from = performance.now();
      for (let i = 0; i < calls; i++) request();
      least = Math.min(least, ((performance.now() - from) * 1e6) / calls);
    }
    rows.push({ name: 'pipeline', metric, unit: 'ns', ours: Math.round(least) });
    const each: number[] = [];
    for (let r = 0; r < ROUNDS; r++) {
      collect();
      const before = process.memoryUsage().heapUsed;
      for (let i = 0; i < HEAP_CALLS; i++) request();
      each.push((process.memoryUsage().heapUsed - before) / HEAP_CALLS);
    }
    each.sort((a, b) => a - b);
    rows.push({
      name: 'pipeline',
      metric: `${metric}, heap`,
      unit: 'bytes',
      ours: Math.max(0, Math.round(each[ROUNDS >> 1] ?? 0)),
    });
    let promises = 0;
    const stop = promiseHooks.onInit(() => promises++) as () => void;
    for (let i = 0; i < HEAP_CALLS; i++) request();
    stop();
    rows.push({ name: 'pipeline', metric: `${metric}, promises`, unit: 'promises', ours: promises / HEAP_CALLS });
    assert.equal(promises, 0, 'a request makes no promise');
    assert.equal(wire.refused, '', 'no request is refused');
    assert.equal(wire.handed, FIRST + WARMING + ROUNDS * calls + ROUNDS * HEAP_CALLS + HEAP_CALLS);
    assert.equal(pipeline.open, 0);
    stages.close();
    port1.close();
    compiled.release();
  }
  return rows;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const row of await run()) console.log(JSON.stringify(row));
}
