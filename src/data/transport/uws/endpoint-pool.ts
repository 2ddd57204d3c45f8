/** Upstream connections of one endpoint in one lane: an undici pool with a bound on what waits for it. */
import { isIP } from 'node:net';
import { buildConnector, Pool } from 'undici';
import type { Dispatcher } from 'undici';
import type { EndpointPlan } from '../../../snapshot/cell-plans.ts';
import {
  ANSWER_HEAD_BYTES_MAX,
  UPSTREAM_IDLE_HINT_MS_MAX,
  UPSTREAM_IDLE_MS,
  WAITING_MIN,
  WAITING_PER_CONNECTION,
} from './bounds.ts';

type Connector = ReturnType<typeof buildConnector>;

/** Distinct connect deadlines of routes that one endpoint keeps a connector for. */
const CONNECTORS_MAX = 16;

export class EndpointPool {
  readonly endpoint: EndpointPlan;
  readonly #pool: Pool;
  readonly #connectors = new Map<number, Connector>();
  #connectTimeoutMs = 0;
  /** Requests handed to the pool that are not over yet, waiting ones included. */
  open = 0;
  readonly #openMax: number;
  /** Never the client's Host, which undici would take otherwise. An address literal is no server name (RFC 6066 §3). */
  readonly #sni: string;

  constructor(endpoint: EndpointPlan) {
    this.endpoint = endpoint;
    this.#sni = endpoint.tls === null || isIP(endpoint.tls.serverName) !== 0 ? '' : endpoint.tls.serverName;
    this.#openMax = endpoint.connectionsMax + Math.max(WAITING_MIN, endpoint.connectionsMax * WAITING_PER_CONNECTION);
    const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
    this.#pool = new Pool(`${endpoint.tls === null ? 'http' : 'https'}://${host}:${endpoint.port}`, {
      connections: endpoint.connectionsMax,
      pipelining: 1,
      keepAliveTimeout: UPSTREAM_IDLE_MS,
      keepAliveMaxTimeout: UPSTREAM_IDLE_HINT_MS_MAX,
      // Deadlines are the lane's: they have to cover the wait for a connection too.
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: ANSWER_HEAD_BYTES_MAX,
      allowH2: false,
      useMilo: false,
      connect: (options, callback) => this.#connector()({ ...options, servername: this.#sni }, callback),
    });
  }

  /** True when neither a connection nor a place in the queue is free. */
  get full(): boolean {
    return this.open >= this.#openMax;
  }

  /** Hands a request over. Everything in it must have been checked: undici loses a connection for good with every invalid argument. */
  dispatch(request: Dispatcher.DispatchOptions, connectTimeoutMs: number, handler: Dispatcher.DispatchHandler): void {
    this.#connectTimeoutMs = connectTimeoutMs;
    this.open++;
    this.#pool.dispatch(request, handler);
  }

  /** Closes when the last request is over. */
  close(): void {
    this.#pool.close(closed);
  }

  destroy(): void {
    this.#pool.destroy(closed);
  }

  /** The deadline is the route's whose request makes undici connect. */
  #connector(): Connector {
    const known = this.#connectors.get(this.#connectTimeoutMs);
    if (known !== undefined) return known;
    if (this.#connectors.size >= CONNECTORS_MAX) this.#connectors.clear();
    const tls = this.endpoint.tls;
    const made = buildConnector({
      timeout: this.#connectTimeoutMs,
      allowH2: false,
      keepAlive: true,
      ...(tls === null || tls.ca === null ? {} : { ca: tls.ca }),
      ...(tls?.identity === undefined ? {} : { cert: tls.identity.chain, key: tls.identity.key }),
    });
    this.#connectors.set(this.#connectTimeoutMs, made);
    return made;
  }
}

function closed(): void {
  // Nothing waits for it: whatever was open has been told its end through its own handler.
}

/** All endpoints' pools of a lane, by the endpoint's identity: they outlive snapshots. */
export class EndpointPools {
  /** More than one where live snapshots say different things of one endpoint. */
  readonly #byIdentity = new Map<string, readonly EndpointPool[]>();

  of(endpoint: EndpointPlan): EndpointPool {
    const all = this.#byIdentity.get(endpoint.identity);
    if (all !== undefined) {
      for (let i = 0; i < all.length; i++) {
        const pool = all[i];
        if (pool !== undefined && sameTarget(pool.endpoint, endpoint)) return pool;
      }
    }
    const made = new EndpointPool(endpoint);
    this.#byIdentity.set(endpoint.identity, [...(all ?? []), made]);
    return made;
  }

  /** Closes the pools of endpoints that are not in the list. */
  retain(endpoints: readonly EndpointPlan[]): void {
    const wanted = Map.groupBy(endpoints, (endpoint) => endpoint.identity);
    for (const [identity, all] of this.#byIdentity) {
      const plans = wanted.get(identity) ?? [];
      const kept = all.filter((pool) => plans.some((plan) => sameTarget(pool.endpoint, plan)));
      for (const pool of all) if (!kept.includes(pool)) pool.close();
      if (kept.length === 0) this.#byIdentity.delete(identity);
      else this.#byIdentity.set(identity, kept);
    }
  }

  destroy(): void {
    for (const all of this.#byIdentity.values()) for (const pool of all) pool.destroy();
    this.#byIdentity.clear();
  }
}

/** A new snapshot brings new objects for the same endpoint; what the connections were made from decides. */
function sameTarget(a: EndpointPlan, b: EndpointPlan): boolean {
  return (
    a === b ||
    (a.host === b.host &&
      a.port === b.port &&
      a.connectionsMax === b.connectionsMax &&
      a.tls?.serverName === b.tls?.serverName &&
      a.tls?.ca === b.tls?.ca &&
      a.tls?.identity?.chain === b.tls?.identity?.chain &&
      a.tls?.identity?.key === b.tls?.identity?.key)
  );
}
