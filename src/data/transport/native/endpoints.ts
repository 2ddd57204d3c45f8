/** Endpoints as the engine knows them: a number each, and the addresses behind their names. */
import { lookup } from 'node:dns';
import type { LookupAddress } from 'node:dns';
import { isIP } from 'node:net';
import type { TransportEndpoint, TransportEngine } from '../../../native/transport.ts';
import type { EndpointPlan, EndpointTls } from '../../../snapshot/cell-plans.ts';

/** Addresses are asked for anew when they are this old and the endpoint is used, ms. */
const REFRESH_MS = 30_000;
/** And after a failed connection, but no sooner than this after the last time, ms. */
const RETRY_MS = 1_000;
/** No number that the engine gives: requests for it fail as unreachable. */
const NOWHERE = -1;

interface Known {
  readonly plan: EndpointPlan;
  readonly number: number;
  /** Its host is a name. */
  readonly named: boolean;
  /** Epoch ms of the last answer; 0 = none yet. */
  askedAt: number;
  asking: boolean;
  /** As told to the engine last. */
  addresses: readonly string[];
}

export class Endpoints {
  readonly #engine: TransportEngine;
  /** A new snapshot brings new objects for the same endpoint. */
  readonly #byPlan = new Map<EndpointPlan, Known>();
  /** More than one where live snapshots say different things of one endpoint, its TLS say. At most one for each of them. */
  readonly #byIdentity = new Map<string, readonly Known[]>();
  #closed = false;

  constructor(engine: TransportEngine) {
    this.#engine = engine;
  }

  /** The number of an endpoint; makes it known if need be. */
  number(plan: EndpointPlan): number {
    const known = this.#byPlan.get(plan) ?? this.#learn(plan);
    if (known.named && Date.now() - known.askedAt > REFRESH_MS) this.#ask(known);
    return known.number;
  }

  /** A connection to it could not be made: its addresses may have changed. */
  unreachable(plan: EndpointPlan): void {
    const known = this.#byPlan.get(plan);
    if (known?.named === true && Date.now() - known.askedAt > RETRY_MS) this.#ask(known);
  }

  /** Lets go of those that are not in the list. */
  retain(endpoints: readonly EndpointPlan[]): void {
    const wanted = Map.groupBy(endpoints, (endpoint) => endpoint.identity);
    this.#byPlan.clear();
    for (const [identity, all] of this.#byIdentity) {
      const plans = wanted.get(identity) ?? [];
      const kept = all.filter((known) => plans.some((plan) => sameTarget(known.plan, plan)));
      for (const known of all) if (!kept.includes(known)) this.#drop(known);
      if (kept.length === 0) this.#byIdentity.delete(identity);
      else this.#byIdentity.set(identity, kept);
    }
  }

  close(): void {
    this.#closed = true;
    this.#byPlan.clear();
    this.#byIdentity.clear();
  }

  #learn(plan: EndpointPlan): Known {
    const all = this.#byIdentity.get(plan.identity) ?? [];
    let known = all.find((other) => sameTarget(other.plan, plan));
    if (known === undefined) {
      known = this.#make(plan);
      this.#byIdentity.set(plan.identity, [...all, known]);
    }
    this.#byPlan.set(plan, known);
    return known;
  }

  #make(plan: EndpointPlan): Known {
    const { tls } = plan;
    let number = NOWHERE;
    try {
      number = this.#engine.endpoint({
        connectionsMax: plan.connectionsMax,
        ...(plan.pendingMax === undefined ? {} : { waitingMax: plan.pendingMax }),
        http2: plan.http2,
        ...(tls === null ? {} : { tls: tlsOf(tls) }),
      });
    } catch (error) {
      // Told once; its requests are refused as unreachable.
      process.emitWarning(`endpoint ${plan.identity}: ${error instanceof Error ? error.message : String(error)}`);
    }
    const known: Known = {
      plan,
      number,
      named: number !== NOWHERE && isIP(plan.host) === 0,
      askedAt: 0,
      asking: false,
      addresses: [],
    };
    if (number !== NOWHERE && !known.named) this.#engine.setAddresses(number, [withPort(plan.host, plan.port)]);
    return known;
  }

  #ask(known: Known): void {
    if (known.asking) return;
    known.asking = true;
    lookup(known.plan.host, { all: true }, (error: Error | null, found: LookupAddress[]) => {
      known.asking = false;
      known.askedAt = Date.now();
      if (this.#closed || this.#byIdentity.get(known.plan.identity)?.includes(known) !== true) return;
      // What was known before may still serve when the resolver does not.
      if (error !== null && known.addresses.length > 0) return;
      known.addresses = error === null ? found.map(({ address }) => withPort(address, known.plan.port)) : [];
      this.#engine.setAddresses(known.number, known.addresses);
    });
  }

  #drop(known: Known): void {
    if (known.number !== NOWHERE) this.#engine.dropEndpoint(known.number);
  }
}

function tlsOf({ serverName, ca, identity }: EndpointTls): NonNullable<TransportEndpoint['tls']> {
  return {
    serverName,
    ...(ca === null ? {} : { caPem: ca }),
    ...(identity === undefined ? {} : { chainPem: identity.chain, keyPem: identity.key }),
  };
}

function withPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** What connections are made from decides, not the object. */
function sameTarget(a: EndpointPlan, b: EndpointPlan): boolean {
  return (
    a.host === b.host &&
    a.port === b.port &&
    a.connectionsMax === b.connectionsMax &&
    a.pendingMax === b.pendingMax &&
    a.http2 === b.http2 &&
    a.tls?.serverName === b.tls?.serverName &&
    a.tls?.ca === b.tls?.ca &&
    a.tls?.identity?.chain === b.tls?.identity?.chain &&
    a.tls?.identity?.key === b.tls?.identity?.key
  );
}
