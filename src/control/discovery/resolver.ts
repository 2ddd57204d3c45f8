/**
 * Questions to DNS servers: A, AAAA and SRV (RFC 1035, 3596, 2782), with what the answers' TTLs say. An answer is one of three things, and they mean different
 * things to who waits for it: addresses; the servers' word that there are none; or nothing, because no server could be asked.
 */
import { Resolver } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';
import { candidatesOf, localAddresses, type SystemNames } from './system-names.ts';

/** Questions under way at once; further ones wait. */
export const LOOKUPS_AT_ONCE = 64;
/** Addresses of one name that count. */
export const ADDRESSES_MAX = 512;
/** Records of one SRV name that count, best priority first. */
export const SRV_RECORDS_MAX = 64;
/** TTL of what stands in the hosts file, for it has none. */
const HOSTS_TTL_MS = 10_000;

/** Which addresses of a name are asked for. */
export type Family = 'all' | 'ipv4' | 'ipv6';

export type Answer<T> =
  | { readonly kind: 'found'; readonly records: readonly T[]; readonly ttlMs: number }
  /** The name does not exist, or has no such record. */
  | { readonly kind: 'none'; readonly why: string }
  /** No server has said either. */
  | { readonly kind: 'failed'; readonly why: string };

/** Both families of one name: one may fail while the other answers. Absent: not asked for. */
export interface AddressAnswer {
  readonly ipv4?: Answer<string>;
  readonly ipv6?: Answer<string>;
}

export interface SrvRecord {
  readonly target: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

/** What asks; the tests' is the same one, told of another server. */
export interface NameResolver {
  addresses(name: string, family: Family): Promise<AddressAnswer>;
  /** `ttlMs` is that of no record: c-ares does not tell it. */
  srv(name: string): Promise<Answer<SrvRecord>>;
}

export interface DnsOptions {
  /** `address` or `address:port`; empty: those of the machine. */
  readonly servers: readonly string[];
  /** For the first try of one server; later ones wait longer. */
  readonly timeoutMs: number;
  readonly tries: number;
}

export class DnsResolver implements NameResolver {
  readonly #options: DnsOptions;
  readonly #system: SystemNames;
  #resolver: Resolver;
  /** Text of the resolv.conf that the resolver was made from. */
  #madeFrom: string | null = null;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(options: DnsOptions, system: SystemNames) {
    this.#options = options;
    this.#system = system;
    this.#resolver = this.#make();
  }

  async addresses(name: string, family: Family): Promise<AddressAnswer> {
    const { hosts, resolv } = await this.#system.read();
    this.#renew(resolv.text);
    const local = localAddresses(name, hosts);
    if (local !== null) return localAnswer(local, family);
    const wants4 = family !== 'ipv6';
    const wants6 = family !== 'ipv4';
    let last: AddressAnswer = {};
    for (const candidate of candidatesOf(name, resolv)) {
      const [ipv4, ipv6] = await Promise.all([
        wants4 ? this.#ask(() => this.#resolver.resolve4(candidate, { ttl: true })) : undefined,
        wants6 ? this.#ask(() => this.#resolver.resolve6(candidate, { ttl: true })) : undefined,
      ]);
      const absent = ipv4 === NXDOMAIN || ipv6 === NXDOMAIN;
      last = {
        ...(ipv4 === undefined ? {} : { ipv4: addressesOf(ipv4) }),
        ...(ipv6 === undefined ? {} : { ipv6: family === 'all' ? reachable(addressesOf(ipv6)) : addressesOf(ipv6) }),
      };
      const answers: readonly Answer<string>[] = Object.values(last);
      // A name with an address is there, whatever is said of the other family: there are servers that deny a name because it has no AAAA record (RFC 4074 §4.2).
      if (answers.some(({ kind }) => kind === 'found')) return last;
      // There is no such name, of whatever type (RFC 8020), though the other question had no answer.
      if (absent) continue;
      // What could not be asked is not passed over: the next candidate would be another name.
      if (answers.some(({ kind }) => kind === 'failed')) return last;
    }
    return last;
  }

  async srv(name: string): Promise<Answer<SrvRecord>> {
    const { resolv } = await this.#system.read();
    this.#renew(resolv.text);
    let last: Answer<SrvRecord> = { kind: 'none', why: 'no name to ask for' };
    for (const candidate of candidatesOf(name, resolv)) {
      const answer = await this.#ask(() => this.#resolver.resolveSrv(candidate));
      if (!('records' in answer)) last = answer;
      else {
        const records = answer.records
          // A target of `.` says that the service is decidedly not there (RFC 2782).
          .filter((r) => r.name !== '' && r.name !== '.' && r.port > 0)
          .map((r) => ({ target: r.name, port: r.port, priority: r.priority, weight: r.weight }))
          .sort((a, b) => a.priority - b.priority || b.weight - a.weight || (a.target < b.target ? -1 : 1))
          .slice(0, SRV_RECORDS_MAX);
        return records.length > 0
          ? { kind: 'found', records, ttlMs: Number.POSITIVE_INFINITY }
          : { kind: 'none', why: 'the service is not available at this domain' };
      }
      if (last.kind === 'failed') return last;
    }
    return last;
  }

  /** Ends what is under way; it then counts as failed. */
  cancel(): void {
    this.#resolver.cancel();
  }

  #make(): Resolver {
    const { servers, timeoutMs, tries } = this.#options;
    const resolver = new Resolver({ timeout: timeoutMs, tries });
    if (servers.length > 0) resolver.setServers(servers);
    return resolver;
  }

  /** The machine's servers are read when a resolver is made: others need another one. */
  #renew(text: string): void {
    if (this.#options.servers.length === 0 && this.#madeFrom !== null && this.#madeFrom !== text)
      this.#resolver = this.#make();
    this.#madeFrom = text;
  }

  async #ask<T>(question: () => Promise<T[]>): Promise<{ readonly records: T[] } | NoAnswer> {
    if (this.#running >= LOOKUPS_AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running++;
    try {
      return { records: await question() };
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? String(error);
      // NXDOMAIN, and a name without records of this kind.
      if (code === 'ENOTFOUND') return NXDOMAIN;
      if (code === 'ENODATA') return { kind: 'none', why: 'the name has no such record' };
      return { kind: 'failed', why: WHY[code] ?? code };
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }
}

type NoAnswer = Extract<Answer<never>, { readonly why: string }>;

const NXDOMAIN: NoAnswer = { kind: 'none', why: 'the name does not exist (NXDOMAIN)' };

/** Codes of c-ares in words. */
const WHY: Readonly<Record<string, string>> = {
  ETIMEOUT: 'no server has answered in time',
  ECONNREFUSED: 'no server could be reached',
  ESERVFAIL: 'the server could not answer (SERVFAIL)',
  EREFUSED: 'the server refused to answer (REFUSED)',
  EBADNAME: 'that is no name',
  EBADRESP: 'the answer was malformed',
  EFORMERR: 'the server did not understand (FORMERR)',
  ENOTIMP: 'the server does not know this question (NOTIMP)',
  ECANCELLED: 'the gateway is ending',
};

function addressesOf(
  answer: { readonly records: readonly { readonly address: string; readonly ttl: number }[] } | NoAnswer,
): Answer<string> {
  if (!('records' in answer)) return answer;
  const records = answer.records.slice(0, ADDRESSES_MAX);
  if (records.length === 0) return { kind: 'none', why: 'the name has no such record' };
  const ttlMs = records.reduce((least, r) => Math.min(least, r.ttl), Number.POSITIVE_INFINITY) * 1000;
  return { kind: 'found', records: records.map((r) => r.address), ttlMs };
}

function localAnswer(local: readonly string[], family: Family): AddressAnswer {
  const of = (six: boolean): Answer<string> => {
    const records = local.filter((address) => address.includes(':') === six);
    return records.length > 0
      ? { kind: 'found', records, ttlMs: HOSTS_TTL_MS }
      : { kind: 'none', why: 'the hosts file has no such address' };
  };
  // A name of this machine stands there for both families, but what listens mostly does so on one: as of old, IPv4 unless asked otherwise.
  if (family === 'all' && of(false).kind === 'found') return { ipv4: of(false) };
  return { ...(family === 'ipv6' ? {} : { ipv4: of(false) }), ...(family === 'ipv4' ? {} : { ipv6: of(true) }) };
}

/** A machine without an IPv6 address can reach none but its own: those of others would only be refused. */
function reachable(answer: Answer<string>): Answer<string> {
  if (answer.kind !== 'found' || speaksIpv6()) return answer;
  const records = answer.records.filter((address) => address === '::1');
  return records.length > 0
    ? { ...answer, records }
    : { kind: 'none', why: 'this machine has no IPv6 address to reach them from' };
}

function speaksIpv6(): boolean {
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ family, internal, address }) => family === 'IPv6' && !internal && !/^fe80:/i.test(address)),
  );
}
