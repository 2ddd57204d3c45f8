/**
 * A lane without sockets, for a bundle's own tests: the pipeline and the stages that serve traffic, over a snapshot that does not serve yet. Nothing of the process's state is
 * touched: health, circuits and counts are tables of its own, limits are fresh, keys are its own, and what would go upstream is looked at instead.
 */
import { MessageChannel } from 'node:worker_threads';
import { present } from '../../base/assert.ts';
import { Prng } from '../../base/prng.ts';
import type { Addon } from '../../native.ts';
import type { CellPlan, EndpointPlan } from '../../snapshot/cell-plans.ts';
import { EndpointColumns, ENDPOINT_SLOTS } from '../../snapshot/endpoint-columns.ts';
import { LaneColumns } from '../../snapshot/lane-columns.ts';
import type { Rehearsed, RehearsedOutcome, RehearsedRequest } from '../../snapshot/rehearsal.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { type Exchange, PolicyOutcome, WafVerdict } from '../exchange.ts';
import { LaneStages } from '../lane/stages.ts';
import { Overload } from '../overload/overload.ts';
import { Pipeline } from '../pipeline.ts';
import type { RefusalRow } from '../refusal.ts';
import { LANE_REQUEST_BYTES_MAX } from '../stages/waf.ts';
import type { ForwardPlan, TlsFacts } from '../transport/transport.ts';
import { EndpointUse } from '../upstream/endpoint-use.ts';
import { answerFields, upstreamFields } from './fields.ts';
import { freshLimits } from './fresh-limits.ts';
import { RecordedWire, type WireOptions } from './recorded-wire.ts';
import { RehearsedIssuers } from './tokens.ts';

/** The same chance at every rehearsal. */
const SEED = 1;
/** One request at a time, and one that it is copied to. */
const EXCHANGES_MAX = 4;
const OVERLOAD = { enabled: false, delayTargetMs: 1, heapPercent: 100 };
const CACHE = { bytesMax: 1 << 20, entriesMax: 16 };
/** Body of an answer that is told. Unit: bytes. */
const ANSWER_BYTES_MAX = 128 * 1024;
/** Where an endpoint that nobody has looked up stands (RFC 5737); nothing is sent there. */
const STAND_IN = '192.0.2.1';

const POLICY_WORDS: Readonly<Record<PolicyOutcome, Rehearsed['policy']>> = {
  [PolicyOutcome.None]: 'none',
  [PolicyOutcome.Allowed]: 'allow',
  [PolicyOutcome.AllowedCached]: 'allow',
  [PolicyOutcome.Denied]: 'deny',
  [PolicyOutcome.DeniedCached]: 'deny',
  [PolicyOutcome.Failed]: 'failed',
};
const WAF_WORDS: Readonly<Record<WafVerdict, Rehearsed['waf']>> = {
  [WafVerdict.None]: 'none',
  [WafVerdict.Pass]: 'pass',
  [WafVerdict.Detected]: 'detected',
  [WafVerdict.Blocked]: 'blocked',
  [WafVerdict.Exhausted]: 'blocked',
  [WafVerdict.Failed]: 'blocked',
};

/** Says which way out a request took. */
class RehearsedWire extends RecordedWire {
  readonly out: Promise<RehearsedOutcome>;
  /** As it was when it was handed over: the exchange's own is used again. */
  plan: ForwardPlan | null = null;
  #left: (outcome: RehearsedOutcome) => void = () => undefined;

  constructor(options: WireOptions) {
    super(options);
    this.out = new Promise((resolve) => {
      this.#left = resolve;
    });
  }

  override forward(plan: ForwardPlan): void {
    super.forward(plan);
    this.plan = { ...plan };
    this.#left('forwarded');
  }
  override refuse(row: RefusalRow): void {
    super.refuse(row);
    this.#left('refused');
  }
  override answer(status: number, contentType: string, body: string | Uint8Array): void {
    super.answer(status, contentType, body);
    this.#left('answered');
  }
}

export class Rehearsal {
  readonly #pipeline: Pipeline;
  readonly #stages: LaneStages;
  readonly #issuers: RehearsedIssuers;
  readonly #snapshot: Snapshot;
  readonly #ports = new MessageChannel();
  /** What a stage threw. */
  #bug: Error | null = null;

  private constructor(native: Addon, snapshot: Snapshot, issuers: RehearsedIssuers) {
    this.#issuers = issuers;
    this.#snapshot = {
      ...withStandIns(snapshot),
      issuers: issuers.plans,
      // There is no pool to send to.
      wafLimits: { ...snapshot.wafLimits, laneBytesMax: LANE_REQUEST_BYTES_MAX },
    };
    const columns = new EndpointColumns(EndpointColumns.create());
    const use = new EndpointUse(columns, 0);
    const overload = new Overload(OVERLOAD, new LaneColumns(LaneColumns.create()), SEED);
    this.#stages = new LaneStages({
      setup: { laneCount: 1, wafPort: this.#ports.port1, cache: CACHE },
      native: Object.assign(Object.create(native) as Addon, freshLimits()),
      columns,
      use,
      overload,
      wake: (x, ticket) => this.#pipeline.wake(x, ticket),
      invalidated: () => undefined,
      mirrored: () => undefined,
      tick: () => performance.now(),
      askForKeys: () => undefined,
    });
    this.#pipeline = new Pipeline({
      laneIndex: 0,
      instance: '000000',
      exchangesMax: EXCHANGES_MAX,
      stages: this.#stages.table,
      observer: {
        ended: () => undefined,
        bug: (stage, error) => {
          this.#bug = new Error(`the stage ${stage} threw`, { cause: error });
        },
        turnedAway: () => undefined,
      },
      use,
      prng: new Prng(SEED),
      now: Date.now,
      tick: () => performance.now(),
    });
    this.#pipeline.activate(this.#stages.open(this.#snapshot));
  }

  /** A lane that has opened the snapshot. `requests`: all that will be tried. */
  static async open(native: Addon, snapshot: Snapshot, requests: readonly RehearsedRequest[]): Promise<Rehearsal> {
    const used = new Set(requests.flatMap(({ token }) => (token === null ? [] : [token.issuer])));
    return new Rehearsal(native, snapshot, await RehearsedIssuers.make(snapshot.issuers, used));
  }

  /** Decides about one request. Rejects when a stage threw. One at a time. */
  async play(request: RehearsedRequest): Promise<Rehearsed> {
    const wire = new RehearsedWire(await this.#arriving(request));
    this.#bug = null;
    const x = this.#pipeline.begin(wire);
    const outcome = await wire.out;
    const bug = this.#thrown();
    if (bug !== null) throw bug;
    if (x === null) throw new Error('the rehearsal has no room for a request');
    const rehearsed = this.#told(x, wire, outcome);
    this.#pipeline.finished(x, { status: rehearsed.status, bytesIn: 0, bytesOut: 0 });
    return rehearsed;
  }

  #thrown(): Error | null {
    return this.#bug;
  }

  close(): void {
    this.#stages.close();
    this.#ports.port2.close();
  }

  async #arriving(r: RehearsedRequest): Promise<WireOptions> {
    const headers = [...r.headers];
    if (r.token !== null)
      headers.push('authorization', await this.#issuers.bearer(r.token.issuer, r.token.claims, Date.now()));
    const host = r.host.toLowerCase().replace(/:\d*$/, '');
    const tls: TlsFacts | null = r.secure
      ? {
          version: 'TLSv1.3',
          cipher: 'TLS_AES_128_GCM_SHA256',
          serverName: host,
          alpn: 'http/1.1',
          ja4: '',
          client: r.clientCertificate === null ? null : { ...r.clientCertificate, fingerprint: '0'.repeat(64) },
        }
      : null;
    return {
      method: r.method,
      secure: r.secure,
      host: r.host,
      path: r.path,
      query: r.query,
      headers,
      peerAddress: r.peerAddress,
      websocket: r.websocket,
      ...(tls === null ? {} : { tls, serverName: tls.serverName }),
      ...(r.body === null ? {} : { body: r.body }),
    };
  }

  #told(x: Exchange, wire: RehearsedWire, outcome: RehearsedOutcome): Rehearsed {
    const { answered, plan } = wire;
    const content = answered?.body ?? '';
    const body = typeof content === 'string' ? content : Buffer.from(content).toString('utf8');
    return {
      outcome,
      route: x.route?.id ?? '',
      refusal: x.refusal?.code ?? '',
      status: x.refusal?.status ?? answered?.status ?? 0,
      cell: this.#snapshot.cells[x.cell]?.id ?? '',
      tenant: x.tenant,
      policy: POLICY_WORDS[x.policy],
      waf: WAF_WORDS[x.waf],
      rules: rulesOf(x.wafMatches),
      upstream: plan === null ? null : { host: plan.authority, target: plan.target, headers: upstreamFields(wire) },
      answer: { headers: answerFields(wire), body: body.slice(0, ANSWER_BYTES_MAX) },
      detail: x.detail,
    };
  }
}

function rulesOf(matches: string): number[] {
  if (matches === '') return [];
  const rules = (JSON.parse(matches) as readonly { readonly rule?: number }[]).flatMap(({ rule }) => rule ?? []);
  return [...new Set(rules)];
}

/** Cells whose endpoints are still to be looked up get one that stands for them, so that they can be chosen. */
function withStandIns(snapshot: Snapshot): Snapshot {
  const taken = new Set(snapshot.endpoints.map(({ slot }) => slot));
  for (const { guards } of snapshot.cells) if (guards !== undefined) taken.add(guards.slot);
  const slot = Array.from({ length: ENDPOINT_SLOTS }, (_, i) => i).find((i) => !taken.has(i));
  const endpoints = [...snapshot.endpoints];
  const cells = snapshot.cells.map((cell, index): CellPlan => {
    if (cell.endpoints.length > 0) return cell;
    const endpoint: EndpointPlan = {
      slot: present(slot, 'a free row'),
      identity: `${cell.id}/${STAND_IN}:80`,
      cell: index,
      host: STAND_IN,
      port: 80,
      tls: null,
      capacity: 1,
      connectionsMax: 1,
      http2: false,
    };
    return { ...cell, endpoints: [endpoints.push(endpoint) - 1] };
  });
  return { ...snapshot, cells, endpoints };
}
