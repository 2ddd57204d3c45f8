/**
 * Active health: one prober per process asks every endpoint of a cell with `probe` whether it lives. `failures` in a row eject it from rotation in every lane,
 * `successes` in a row admit it again. Each probe is a connection of its own, so that accepting is probed too.
 */
import { Client } from 'undici';
import type { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import type { EndpointPlan, ProbePlan } from '../../snapshot/cell-plans.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';

/** Probes under way at once; further ones wait for their turn. */
export const PROBES_AT_ONCE = 64;
/** Part of the interval by which probes are moved at random, either way, so that they do not fall into step. */
export const PROBE_JITTER = 0.1;
/** The first probe of an endpoint comes within this time, for what is dead should not wait for a whole interval. */
export const FIRST_PROBE_WITHIN_MS = 1_000;
/** Bytes of an answer's body that are read; a longer one is fine, the connection is closed. */
export const PROBE_BODY_BYTES_MAX = 64 * 1024;
/** Header bytes of an answer. */
const PROBE_HEAD_BYTES_MAX = 16 * 1024;

/** Told of every change of an endpoint's standing, and of every probe. */
export interface ProberEvents {
  /** `reason`: why it was ejected, for logs; empty when it was admitted. */
  changed(endpoint: EndpointPlan, ejected: boolean, reason: string): void;
  probed(endpoint: EndpointPlan, ok: boolean, latencyMs: number): void;
}

export interface ProberParts {
  readonly columns: EndpointColumns;
  readonly events: ProberEvents;
  /** In [0, 1). */
  readonly random?: () => number;
  /** Epoch ms. */
  readonly now?: () => number;
}

interface Target {
  endpoint: EndpointPlan;
  plan: ProbePlan;
  failures: number;
  successes: number;
  ejected: boolean;
  /** False once a snapshot came without it: what is under way is not listened to. */
  wanted: boolean;
  timer: NodeJS.Timeout | null;
}

export class Prober {
  readonly #columns: EndpointColumns;
  readonly #events: ProberEvents;
  readonly #random: () => number;
  readonly #now: () => number;
  readonly #targets = new Map<string, Target>();
  readonly #waiting = new Set<Target>();
  readonly #running = new Map<Client, Promise<void>>();
  #stopped = false;

  constructor(parts: ProberParts) {
    this.#columns = parts.columns;
    this.#events = parts.events;
    this.#random = parts.random ?? Math.random;
    this.#now = parts.now ?? Date.now;
  }

  /** From now on the endpoints of this snapshot are probed. What is known of those that stay is kept. */
  activate(snapshot: Pick<Snapshot, 'cells' | 'endpoints'>): void {
    if (this.#stopped) return;
    const wanted = new Set<string>();
    for (const endpoint of snapshot.endpoints) {
      const plan = snapshot.cells[endpoint.cell]?.probe ?? null;
      if (plan === null) continue;
      wanted.add(endpoint.identity);
      const known = this.#targets.get(endpoint.identity);
      if (known === undefined) this.#add(endpoint, plan);
      else {
        known.endpoint = endpoint;
        known.plan = plan;
      }
    }
    for (const [identity, target] of this.#targets) if (!wanted.has(identity)) this.#drop(identity, target);
  }

  /** Ends all probing; resolves when no connection is open. Idempotent. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const target of this.#targets.values()) {
      target.wanted = false;
      if (target.timer !== null) clearTimeout(target.timer);
    }
    this.#targets.clear();
    this.#waiting.clear();
    const running = [...this.#running];
    await Promise.all(running.map(([client]) => client.destroy()));
    await Promise.all(running.map(([, done]) => done));
  }

  #add(endpoint: EndpointPlan, plan: ProbePlan): void {
    const target: Target = { endpoint, plan, failures: 0, successes: 0, ejected: false, wanted: true, timer: null };
    this.#targets.set(endpoint.identity, target);
    this.#schedule(target, this.#random() * Math.min(plan.intervalMs, FIRST_PROBE_WITHIN_MS));
  }

  #drop(identity: string, target: Target): void {
    target.wanted = false;
    if (target.timer !== null) clearTimeout(target.timer);
    this.#waiting.delete(target);
    this.#targets.delete(identity);
    // Nobody would ever admit it again.
    if (target.ejected) this.#columns.ejected[target.endpoint.slot] = 0;
  }

  #schedule(target: Target, afterMs: number): void {
    target.timer = setTimeout(() => {
      target.timer = null;
      this.#waiting.add(target);
      this.#pump();
    }, afterMs).unref();
  }

  #pump(): void {
    for (const target of this.#waiting) {
      if (this.#running.size >= PROBES_AT_ONCE) return;
      this.#waiting.delete(target);
      const client = clientFor(target);
      const done = this.#probe(target, client).finally(() => {
        this.#running.delete(client);
        if (this.#stopped) return;
        if (target.wanted) this.#schedule(target, this.#jittered(target.plan.intervalMs));
        this.#pump();
      });
      this.#running.set(client, done);
    }
  }

  #jittered(intervalMs: number): number {
    return intervalMs * (1 + PROBE_JITTER * (2 * this.#random() - 1));
  }

  async #probe(target: Target, client: Client): Promise<void> {
    const down = this.#columns.downUntil[target.endpoint.slot] ?? 0;
    const from = performance.now();
    const fault = await ask(target, client);
    const latencyMs = performance.now() - from;
    if (!target.wanted) return;
    this.#events.probed(target.endpoint, fault === null, latencyMs);
    if (fault === null) this.#succeeded(target, down);
    else this.#failed(target, fault);
  }

  /** `down`: what `downUntil` was when the probe began. */
  #succeeded(target: Target, down: number): void {
    const { slot } = target.endpoint;
    target.failures = 0;
    target.successes = Math.min(target.successes + 1, target.plan.successes);
    if (target.successes < target.plan.successes) return;
    // What a lane met before this probe is over; what one met meanwhile is newer than our success.
    if (down !== 0 && this.#columns.downUntil[slot] === down) this.#columns.downUntil[slot] = 0;
    if (!target.ejected) return;
    target.ejected = false;
    // First: who sees it in rotation must see that it begins slowly.
    this.#columns.returnedAt[slot] = this.#now();
    this.#columns.ejected[slot] = 0;
    this.#events.changed(target.endpoint, false, '');
  }

  #failed(target: Target, fault: string): void {
    target.successes = 0;
    target.failures = Math.min(target.failures + 1, target.plan.failures);
    if (target.ejected || target.failures < target.plan.failures) return;
    target.ejected = true;
    this.#columns.ejected[target.endpoint.slot] = 1;
    this.#events.changed(
      target.endpoint,
      true,
      `${target.plan.failures} probes failed in a row, the last one: ${fault}`,
    );
  }
}

function originOf(endpoint: EndpointPlan): string {
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
  return `${endpoint.tls === null ? 'http' : 'https'}://${host}:${endpoint.port}`;
}

function clientFor({ endpoint, plan }: Target): Client {
  return new Client(originOf(endpoint), {
    connect: {
      timeout: plan.timeoutMs,
      ...(endpoint.tls === null ? {} : { servername: endpoint.tls.serverName, ca: endpoint.tls.ca ?? undefined }),
      ...(endpoint.tls?.identity === undefined
        ? {}
        : { cert: endpoint.tls.identity.chain, key: endpoint.tls.identity.key }),
    },
    // With TLS by ALPN, without by prior knowledge, as the lanes do.
    allowH2: endpoint.http2,
    ...(endpoint.http2 && endpoint.tls === null ? { h2Options: { useH2c: true } } : {}),
    maxHeaderSize: PROBE_HEAD_BYTES_MAX,
    pipelining: 1,
  });
}

/** Why the endpoint does not live, or null. Never throws; the client is closed. */
async function ask({ plan }: Target, client: Client): Promise<string | null> {
  try {
    const response = await client.request({
      method: 'GET',
      path: plan.path,
      headers: { 'user-agent': 'cloudnexus-gateway probe' },
      reset: true,
      headersTimeout: plan.timeoutMs,
      bodyTimeout: plan.timeoutMs,
      signal: AbortSignal.timeout(plan.timeoutMs),
    });
    await response.body.dump({ limit: PROBE_BODY_BYTES_MAX });
    const kind = Math.floor(response.statusCode / 100);
    // Any success or redirect: an endpoint that sends elsewhere lives.
    return kind === 2 || kind === 3 ? null : `status ${response.statusCode}`;
  } catch (error) {
    return error instanceof Error ? error.message || error.name : String(error);
  } finally {
    await client.destroy();
  }
}
