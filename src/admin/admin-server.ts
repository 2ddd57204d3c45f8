/**
 * The admin listener: `/v1/status`, `/v1/explain/<request id>`, `/v1/endpoints`, `/v1/routes`, `/v1/mirrors`. Loopback unless it has a token; with a token, every
 * request needs it. Without one, the Host must name loopback, so that no web page can read it by giving its own name our address, and no
 * page of another origin may ask for anything.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { BlockList, isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { purgeOf } from './purge.ts';
import { rolloutAction } from './rollout.ts';
import { Gauge, LaneColumns } from '../snapshot/lane-columns.ts';
import type { ModeView } from '../snapshot/mode.ts';
import type { CachePurge } from '../snapshot/messages.ts';
import type { Answer, Asked, SmallServer } from './answer.ts';
import { json, listen, text, unlessReading } from './answer.ts';
import { whyUnread } from './account.ts';
import type {
  AuditView,
  WebhookView,
  ChannelView,
  ControlView,
  DiscoveryView,
  GatewayIdView,
  RolloutActions,
  RolloutView,
  TrustView,
} from './control-view.ts';
import { REJECTIONS_SHOWN_MAX } from './control-view.ts';
import type { Drain } from './drain.ts';
import { explainText, explanationOf } from './explain.ts';
import type { Names } from './names.ts';

/** Shortest token: 128 bits as hexadecimal digits are 32. */
export const TOKEN_CHARS_MIN = 16;
/** Looks for a record that may be on its way, and the time between two. */
export const EXPLAIN_TRIES_MAX = 6;
const EXPLAIN_RETRY_MS = 50;
/** Routes of one page. */
export const ROUTES_PAGE_MAX = 500;
/** Longest that a test may hold up the control thread. */
const STALL_MS_MAX = 10_000;

export interface AdminParts {
  readonly address: string;
  /** 0 = any free one. */
  readonly port: number;
  /** Bearer token (RFC 6750 §2.1); null = none, on loopback only. */
  readonly token: string | null;
  /** Where it is from. */
  readonly tokenFile?: string;
  readonly version: string;
  readonly instance: string;
  /** Epoch ms. */
  readonly startedAt: number;
  readonly control: ControlView;
  readonly drain: Drain;
  readonly names: Names;
  readonly laneColumns: readonly SharedArrayBuffer[];
  /** Forgets stored answers in all lanes; how many. */
  readonly purge?: (purge: CachePurge) => Promise<number>;
  /** What operators can ask for; absent in tests of the rest. */
  readonly rollout?: RolloutActions;
  /** Test only: makes a lane throw, and lets the control thread be held up; absent unless the bootstrap allows faults. */
  readonly fault?: (lane: number) => boolean;
  readonly now: () => number;
  readonly onError: (error: unknown) => void;
}

/** Starts it. Throws with the mend when it would be open to others without a token. */
export async function startAdmin(parts: AdminParts): Promise<SmallServer> {
  if (parts.token === null && !isLoopback(parts.address)) {
    throw new Error(
      `the admin listener on ${parts.address} is reachable from other machines: set admin.tokenFile, or admin.address: 127.0.0.1`,
    );
  }
  if (parts.token !== null && parts.token.length < TOKEN_CHARS_MIN) {
    const { tokenFile, token } = parts;
    const where = tokenFile === undefined ? '' : ` in ${tokenFile} (admin.tokenFile)`;
    throw new Error(
      `the admin token${where} is ${token === '' ? 'empty' : 'too short'}: at least ${TOKEN_CHARS_MIN} characters, e.g. from \`openssl rand -hex 32\``,
    );
  }
  const lanes = parts.laneColumns.map((memory) => new LaneColumns(memory));
  const expected = parts.token === null ? null : digest(parts.token);
  return await listen({
    ...parts,
    answer: async (asked) => refuse(expected, asked) ?? (await answer(parts, lanes, asked)),
  });
}

function refuse(expected: Buffer | null, asked: Asked): Answer | null {
  if (expected === null) {
    if (isLoopbackHost(asked.headers.host ?? ''))
      return isOfPage(asked) ? json('forbidden', { error: 'a page of another origin may ask for nothing here' }) : null;
    return json('misdirected', { error: 'the Host does not name this machine: use 127.0.0.1 or localhost' });
  }
  const [, given = ''] = /^bearer +([^\s]+) *$/iu.exec(asked.headers.authorization ?? '') ?? [];
  // Digests have one length, so that neither the time nor an exception tells how much of the token was right.
  if (timingSafeEqual(digest(given), expected)) return null;
  return json(
    'unauthorized',
    { error: 'a bearer token is required' },
    { 'www-authenticate': 'Bearer realm="cnx admin"' },
  );
}

/**
 * A browser asks for a page of another origin (Fetch standard, Origin; Fetch Metadata, Sec-Fetch-Site). Without a token nothing else tells whether an operator wants what is asked for: a
 * form or a script of any site can make the browser of somebody on this machine send a POST to loopback, though it may not read the answer.
 */
function isOfPage({ headers }: Asked): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true;
  return headers.origin !== undefined && headers.origin !== `http://${headers.host ?? ''}`;
}

async function answer(parts: AdminParts, lanes: readonly LaneColumns[], asked: Asked): Promise<Answer> {
  if (asked.path === '/v1/fault' && parts.fault !== undefined) return fault(parts.fault, asked);
  if (asked.path === '/v1/cache/purge' && parts.purge !== undefined) return await purged(parts.purge, asked);
  if (asked.path.startsWith('/v1/rollout/') && asked.method !== 'GET' && parts.rollout !== undefined)
    return await rolloutAction(parts.rollout, asked);
  if (asked.path === '/v1/poll') return await poll(parts, lanes, asked);
  const wrong = unlessReading(asked);
  if (wrong !== null) return wrong;
  if (asked.path === '/v1/status') return json('ok', status(parts, lanes));
  if (asked.path === '/v1/rollout/history') return json('ok', { entries: parts.control.history() });
  if (asked.path === '/v1/endpoints')
    return json('ok', { endpoints: parts.control.endpoints(), sources: sourcesOf(parts) });
  if (asked.path === '/v1/mirrors') return json('ok', { differences: parts.control.mirrorDifferences?.() ?? [] });
  if (asked.path === '/v1/routes') return routes(parts, asked.query);
  if (asked.path.startsWith('/v1/explain/')) return await explain(parts, asked);
  return json('notFound', {
    error:
      'here are /v1/status, /v1/explain/<request id>, /v1/endpoints, /v1/routes, /v1/rollout/history and, with POST, /v1/poll, /v1/cache/purge and /v1/rollout/rollback, pin, unpin',
  });
}

/** What `cnx status` shows. */
export interface Status {
  readonly version: string;
  readonly instance: string;
  readonly state: string;
  readonly startedAt: string;
  readonly uptimeSeconds: number;
  readonly bundle: {
    readonly digest: string;
    readonly seq: number;
    readonly revision: number;
    readonly activatedAt: string;
    readonly floor: number;
    readonly createdAt: string;
    readonly direction: string;
    readonly signers: readonly string[];
    readonly expiresAt: string | null;
  } | null;
  readonly source: {
    readonly text: string;
    readonly answering: string;
    readonly state: string;
    readonly seen: string | null;
    readonly lastContactAt: string | null;
    readonly nextPollAt: string | null;
    readonly lastError: string | null;
    readonly overdue: boolean;
    readonly stale: boolean;
    readonly staleReason: string | null;
    readonly fault: string | null;
  };
  /** What it is among others; absent in gateways before it was shown. */
  readonly gateway?: GatewayIdView;
  /** Which bundle a channel index assigns to it, and why; null: the tag names bundles. */
  readonly channel?:
    | (Omit<ChannelView, 'madeAt' | 'expiresAt' | 'takenAt'> & {
        readonly madeAt: string;
        readonly expiresAt: string;
        readonly takenAt: string;
      })
    | null;
  readonly trust: TrustView;
  /** What is tried by a share of identities; null: nothing is. */
  readonly rollout:
    | (Omit<RolloutView, 'begunAt' | 'stepAt' | 'soakedAt'> & {
        readonly begunAt: string;
        readonly stepAt: string;
        readonly soakedAt: string;
      })
    | null;
  /** An operator keeps the gateway on this bundle. */
  readonly pin: { readonly digest: string; readonly until: string } | null;
  readonly audit: AuditView | null;
  /** Absent: a gateway of before there was this. */
  readonly webhooks?: readonly WebhookView[];
  /** What can be fallen back to, newest first. */
  readonly kept: readonly { readonly digest: string; readonly seq: number; readonly activatedAt: string | null }[];
  readonly rejections: readonly {
    readonly at: string;
    readonly digest: string;
    readonly seq: number | null;
    readonly step: string;
    readonly reason: string;
  }[];
  /** How far it has stepped back; absent in gateways before it was shown. */
  readonly mode?: {
    readonly mode: string;
    readonly since: string | null;
    readonly dependencies: readonly {
      readonly name: string;
      readonly for: string;
      readonly critical: boolean;
      readonly down: boolean;
      readonly since: string | null;
      readonly reason: string;
    }[];
  };
  readonly lanes: readonly {
    readonly lane: number;
    readonly state: string;
    readonly revision: number;
    readonly restarts: number;
    readonly openExchanges: number;
    readonly openConnections: number;
    readonly utilization: number;
    readonly loopDelayP99Ms: number;
  }[];
  readonly endpoints: {
    readonly total: number;
    /** Those that get nothing but trials. */
    readonly out: readonly { readonly identity: string; readonly why: string }[];
    /** Names and files that endpoints come from and that do not say how things are now. */
    readonly notCurrent: readonly SourceNow[];
  };
  /** Cells whose circuit is not closed. */
  readonly cellCircuits: readonly { readonly cell: string; readonly circuit: string }[];
  readonly records: { readonly read: number; readonly lost: number };
}

/** Endpoints out of rotation that a status names. */
const ENDPOINTS_NAMED_MAX = 50;

function status(parts: AdminParts, lanes: readonly LaneColumns[]): Status {
  const { control, drain } = parts;
  const active = control.active();
  const source = control.source();
  const rollout = control.rollout();
  const pin = control.pin();
  const endpoints = control.endpoints();
  const out = endpoints.flatMap(({ identity, out: why }) => (why === null ? [] : [{ identity, why }]));
  const time = (at: number): string => new Date(at).toISOString();
  const timeOrNull = (at: number | null): string | null => (at === null ? null : time(at));
  return {
    version: parts.version,
    instance: parts.instance,
    state: control.state(),
    startedAt: time(parts.startedAt),
    uptimeSeconds: Math.floor((parts.now() - parts.startedAt) / 1000),
    bundle:
      active === null
        ? null
        : { ...active, activatedAt: time(active.activatedAt), expiresAt: timeOrNull(active.expiresAt) },
    source: {
      ...source,
      lastContactAt: timeOrNull(source.lastContactAt),
      nextPollAt: timeOrNull(source.nextPollAt),
    },
    ...modeOf(control.mode?.()),
    ...channelOf(control),
    trust: control.trust(),
    rollout:
      rollout === null
        ? null
        : {
            ...rollout,
            begunAt: time(rollout.begunAt),
            stepAt: time(rollout.stepAt),
            soakedAt: time(rollout.soakedAt),
          },
    pin: pin === null ? null : { digest: pin.digest, until: time(pin.until) },
    audit: control.audit(),
    webhooks: control.webhooks?.() ?? [],
    kept: control.kept().map((k) => ({ ...k, activatedAt: k.activatedAt === 0 ? null : time(k.activatedAt) })),
    rejections: control
      .rejections()
      .slice(0, REJECTIONS_SHOWN_MAX)
      .map((r) => ({ ...r, at: time(r.at) })),
    lanes: control.lanes().map((l) => {
      const gauges = lanes[l.lane]?.gauges;
      return {
        ...l,
        openExchanges: gauges?.[Gauge.OpenExchanges] ?? 0,
        openConnections: gauges?.[Gauge.OpenConnections] ?? 0,
        utilization: Math.round((gauges?.[Gauge.Utilization] ?? 0) * 1000) / 1000,
        loopDelayP99Ms: Math.round(gauges?.[Gauge.DelayP99Us] ?? 0) / 1000,
      };
    }),
    endpoints: {
      total: endpoints.length,
      out: out.slice(0, ENDPOINTS_NAMED_MAX),
      notCurrent: sourcesOf(parts)
        .filter((s) => s.state !== 'current')
        .slice(0, ENDPOINTS_NAMED_MAX),
    },
    cellCircuits: control
      .faults()
      .cells.filter((c) => c.circuit !== 'closed')
      .map(({ cell, circuit }) => ({ cell, circuit })),
    records: {
      read: lanes.reduce((n, _, i) => n + drain.read(i), 0),
      lost: lanes.reduce((n, _, i) => n + drain.lost(i), 0),
    },
  };
}

/** A source of endpoints with its time in words. */
type SourceNow = Omit<DiscoveryView['sources'][number], 'at'> & { readonly at: string | null };

function sourcesOf({ control }: AdminParts): SourceNow[] {
  return control.discovery().sources.map((s) => ({ ...s, at: s.at === null ? null : new Date(s.at).toISOString() }));
}

function channelOf(control: ControlView): Pick<Status, 'gateway' | 'channel'> {
  const gateway = control.gateway?.();
  const channel = control.channel?.() ?? null;
  const time = (at: number): string => new Date(at).toISOString();
  return {
    ...(gateway === undefined ? {} : { gateway }),
    channel:
      channel === null
        ? null
        : {
            ...channel,
            madeAt: time(channel.madeAt),
            expiresAt: time(channel.expiresAt),
            takenAt: time(channel.takenAt),
          },
  };
}

function modeOf(view: ModeView | undefined): Pick<Status, 'mode'> {
  if (view === undefined) return {};
  const time = (at: number): string | null => (at === 0 ? null : new Date(at).toISOString());
  const dependencies = view.dependencies.map((d) => ({ ...d, since: time(d.since) }));
  return { mode: { mode: view.mode, since: time(view.since), dependencies } };
}

async function explain(parts: AdminParts, asked: Asked): Promise<Answer> {
  const id = asked.path.slice('/v1/explain/'.length);
  let account = parts.drain.explain(id);
  // The client has its answer a moment before the lane writes the record: who asks at once must not be told that there is none.
  for (let tries = 1; account === null && tries < EXPLAIN_TRIES_MAX && parts.drain.mayKnow(id); tries++) {
    await sleep(EXPLAIN_RETRY_MS);
    account = parts.drain.explain(id);
  }
  if (account === null) {
    return json('notFound', {
      error:
        whyUnread(id) ??
        'no record of this request: not of this process, still running, turned away before the first stage, or overwritten by newer ones. ' +
          'Refused requests are in the log: cnx explain --log FILE <request id>',
    });
  }
  return asked.query.get('format') === 'text' ? text('ok', explainText(account)) : json('ok', explanationOf(account));
}

/** A page of the routes of the active revision, `?from=<index>`. A candidate may be known besides it. */
function routes({ names, control }: AdminParts, query: URLSearchParams): Answer {
  const from = Number(query.get('from') ?? 0);
  if (!Number.isSafeInteger(from) || from < 0) return json('badRequest', { error: '"from" is the index of a route' });
  const active = names.of(control.active()?.revision ?? 0);
  const total = active?.routeCount ?? 0;
  const end = Math.min(from + ROUTES_PAGE_MAX, total);
  const page = [];
  for (let i = from; i < end; i++) page.push(active?.routeSummary(i));
  return json('ok', { revision: active?.revision ?? 0, total, from, next: end < total ? end : null, routes: page });
}

async function purged(purge: (what: CachePurge) => Promise<number>, asked: Asked): Promise<Answer> {
  if (asked.method !== 'POST') return json('methodNotAllowed', { error: 'only POST here' }, { allow: 'POST' });
  const what = purgeOf(asked.query);
  if (typeof what === 'string') return json('badRequest', { error: what });
  return json('ok', { purged: await purge(what) });
}

/** For whoever has just pushed a bundle: the source is asked now rather than at the next poll. Answers with the status after it. */
async function poll(parts: AdminParts, lanes: readonly LaneColumns[], asked: Asked): Promise<Answer> {
  if (asked.method !== 'POST') return json('methodNotAllowed', { error: 'only POST here' }, { allow: 'POST' });
  await parts.control.poll();
  return json('ok', status(parts, lanes));
}

function fault(throwIn: (lane: number) => boolean, asked: Asked): Answer {
  if (asked.method !== 'POST') return json('methodNotAllowed', { error: 'only POST here' }, { allow: 'POST' });
  const stallMs = Number(asked.query.get('stallMs') ?? 0);
  if (stallMs > 0) {
    // Holds up this thread, as a bug would.
    Atomics.wait(
      new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)),
      0,
      0,
      Math.min(stallMs, STALL_MS_MAX),
    );
    return json('ok', { stallMs });
  }
  const lane = Number(asked.query.get('lane') ?? 0);
  return throwIn(lane) ? json('ok', { lane }) : json('notFound', { error: 'there is no such lane' });
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

export function isLoopback(address: string): boolean {
  const family = isIP(address);
  if (family === 0) return address === 'localhost';
  return loopback.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

function isLoopbackHost(host: string): boolean {
  const [, v6, name] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d{1,5})?$/u.exec(host) ?? [];
  return isLoopback((v6 ?? name ?? '').toLowerCase());
}
