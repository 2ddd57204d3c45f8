/**
 * Names that endpoints stand behind, asked for again and again: as often as their TTL says, within a floor and a ceiling. What was good last is kept when no
 * server answers; a name that servers say to be gone keeps its endpoints for `negativeHoldMs`, for such an answer is more often a mistake than a wish.
 *
 * SRV records come without a TTL from c-ares: they are asked for again when the first of their targets' addresses is due.
 */
import type { NameMemory } from './name-memory.ts';
import type { AddressAnswer, Answer, Family, NameResolver, SrvRecord } from './resolver.ts';

/** Pause after a failed question, doubled with each further one up to the ceiling. */
const RETRY_MS = 1_000;
const RETRY_MS_MAX = 30_000;
/** Part of a pause that is left to chance, so that many gateways do not ask at once. */
const JITTER = 0.1;

/** A name of the configuration. */
export type NameSource =
  | { readonly kind: 'address'; readonly name: string; readonly port: number; readonly family: Family }
  | { readonly kind: 'srv'; readonly name: string; readonly family: Family };

/** One endpoint that a name leads to. */
export interface Found {
  /** Address literal. */
  readonly host: string;
  readonly port: number;
  /** What the endpoint is called: the name, or the target of the SRV record. */
  readonly name: string;
  /** Of the SRV record; 0 is first. */
  readonly priority: number;
  /** Of the SRV record; null: it says none. */
  readonly weight: number | null;
}

/** How a source of endpoints stands. `waiting`: nothing is known yet; `stale`: what was good last serves on. */
export type SourceState = 'waiting' | 'current' | 'stale' | 'none';

export interface NameStanding {
  readonly state: SourceState;
  readonly found: readonly Found[];
  /** Why it is not current; null = it is. */
  readonly why: string | null;
  /** Epoch ms of the last answer; null = none yet. */
  readonly answeredAt: number | null;
}

export interface NameWatchOptions {
  readonly ttlMinMs: number;
  readonly ttlMaxMs: number;
  readonly negativeHoldMs: number;
}

export interface NameWatchParts {
  readonly resolver: NameResolver;
  readonly options: NameWatchOptions;
  /** A name leads elsewhere than before. */
  readonly onChange: (key: string) => void;
  readonly event: (level: 'info' | 'warn', message: string, fields: Record<string, unknown>) => void;
  /** Epoch ms. */
  readonly now: () => number;
  /** What was good before this process; absent: nothing is known. */
  readonly memory?: Pick<NameMemory, 'recall' | 'keep'>;
  /** In [0, 1). */
  readonly random?: () => number;
}

/** Last good answer to one question, and since when servers say that there is none. */
interface Kept<T> {
  records: readonly T[];
  /** Monotonic ms; 0: they do not say so. */
  deniedSince: number;
}

interface Watched {
  readonly source: NameSource;
  standing: NameStanding;
  /** Addresses by question: the name, or a target of the SRV record, and the family. */
  readonly addresses: Map<string, Kept<string>>;
  readonly records: Kept<SrvRecord>;
  failures: number;
  timer: NodeJS.Timeout | null;
  wanted: boolean;
  /** Resolves when it was asked for once. */
  first: Promise<void>;
}

/** What one round of questions has brought together. */
interface Round {
  ttlMs: number;
  /** Why some question has no answer; null = all have. */
  failed: string | null;
  /** What servers deny. */
  denied: string | null;
}

/** Equal for sources that are asked for together. */
export function keyOf(source: NameSource): string {
  return source.kind === 'srv'
    ? `srv ${source.family} ${source.name}`
    : `${source.family} ${source.name}:${source.port}`;
}

/** Why nothing is known, or only what was good before this process. */
const UNASKED = 'not asked for yet';
const NOTHING: NameStanding = { state: 'waiting', found: [], why: UNASKED, answeredAt: null };

export class NameWatch {
  readonly #parts: NameWatchParts;
  readonly #random: () => number;
  readonly #watched = new Map<string, Watched>();
  #stopped = false;
  /** Questions since start, by what came of them. */
  readonly lookups = { answered: 0, denied: 0, failed: 0 };

  constructor(parts: NameWatchParts) {
    this.#parts = parts;
    this.#random = parts.random ?? Math.random;
  }

  /** From now on these are asked for, and no others. What is known of those that stay is kept. Resolves when each was asked for once. */
  async follow(sources: readonly NameSource[]): Promise<void> {
    if (this.#stopped) return;
    const wanted = new Map(sources.map((source) => [keyOf(source), source]));
    for (const [key, watched] of this.#watched) {
      if (wanted.has(key)) continue;
      watched.wanted = false;
      if (watched.timer !== null) clearTimeout(watched.timer);
      this.#watched.delete(key);
    }
    for (const [key, source] of wanted) if (!this.#watched.has(key)) this.#begin(key, source);
    await Promise.all([...this.#watched.values()].map((watched) => watched.first));
  }

  standing(source: NameSource): NameStanding {
    return this.#watched.get(keyOf(source))?.standing ?? NOTHING;
  }

  stop(): void {
    this.#stopped = true;
    for (const watched of this.#watched.values()) {
      watched.wanted = false;
      if (watched.timer !== null) clearTimeout(watched.timer);
    }
    this.#watched.clear();
  }

  #begin(key: string, source: NameSource): void {
    const was = this.#parts.memory?.recall(key);
    const kept = Object.entries(was?.addresses ?? {});
    const watched: Watched = {
      source,
      standing:
        was === undefined ? NOTHING : { state: 'stale', found: was.found, why: UNASKED, answeredAt: was.answeredAt },
      addresses: new Map(kept.map(([question, records]) => [question, { records, deniedSince: 0 }])),
      records: { records: was?.records ?? [], deniedSince: 0 },
      failures: 0,
      timer: null,
      wanted: true,
      first: Promise.resolve(),
    };
    this.#watched.set(key, watched);
    watched.first = this.#round(key, watched);
  }

  async #round(key: string, watched: Watched): Promise<void> {
    const round: Round = { ttlMs: Number.POSITIVE_INFINITY, failed: null, denied: null };
    const { source } = watched;
    const found =
      source.kind === 'srv' ? await this.#srv(watched, source, round) : await this.#name(watched, source, round);
    if (!watched.wanted) return;
    this.#settle(key, watched, found, round);
    watched.timer = setTimeout(
      () => {
        watched.timer = null;
        void this.#round(key, watched);
      },
      this.#pause(watched, round),
    ).unref();
  }

  async #name(watched: Watched, source: Extract<NameSource, { kind: 'address' }>, round: Round): Promise<Found[]> {
    const addresses = await this.#addresses(watched, source.name, source.family, round);
    return addresses.map((host) => ({ host, port: source.port, name: plain(source.name), priority: 0, weight: null }));
  }

  async #srv(watched: Watched, source: Extract<NameSource, { kind: 'srv' }>, round: Round): Promise<Found[]> {
    const records = this.#believe(watched.records, await this.#parts.resolver.srv(source.name), round);
    const found = await Promise.all(
      records.map(async ({ target, port, priority, weight }) => {
        const addresses = await this.#addresses(watched, `${target}.`, source.family, round);
        return addresses.map((host) => ({ host, port, name: plain(target), priority, weight }));
      }),
    );
    const targets = new Set(records.map(({ target }) => `${target}.`));
    for (const question of watched.addresses.keys())
      if (!targets.has(question.slice(question.indexOf(' ') + 1))) watched.addresses.delete(question);
    return found.flat();
  }

  async #addresses(watched: Watched, name: string, family: Family, round: Round): Promise<string[]> {
    const answer: AddressAnswer = await this.#parts.resolver.addresses(name, family);
    const either: Round = { ttlMs: Number.POSITIVE_INFINITY, failed: null, denied: null };
    const addresses: string[] = [];
    for (const kind of ['ipv4', 'ipv6'] as const) {
      const one = answer[kind];
      if (one === undefined) continue;
      const question = `${kind} ${name}`;
      const kept: Kept<string> = watched.addresses.get(question) ?? { records: [], deniedSince: 0 };
      watched.addresses.set(question, kept);
      // That a name has addresses of one family only is nothing to hold on for, or to tell of.
      const other = answer[kind === 'ipv4' ? 'ipv6' : 'ipv4'];
      if (one.kind === 'none' && other?.kind === 'found') {
        kept.records = [];
        kept.deniedSince = 0;
        continue;
      }
      addresses.push(...this.#believe(kept, one, either));
    }
    round.ttlMs = Math.min(round.ttlMs, either.ttlMs);
    round.failed ??= either.failed;
    round.denied ??= either.denied;
    return addresses;
  }

  /** What counts after an answer: it, or what was good before. */
  #believe<T>(kept: Kept<T>, answer: Answer<T>, round: Round): readonly T[] {
    const { negativeHoldMs } = this.#parts.options;
    if (answer.kind === 'found') {
      this.lookups.answered++;
      kept.records = answer.records;
      kept.deniedSince = 0;
      round.ttlMs = Math.min(round.ttlMs, answer.ttlMs);
    } else if (answer.kind === 'none') {
      this.lookups.denied++;
      round.denied = answer.why;
      const tick = performance.now();
      if (kept.deniedSince === 0) kept.deniedSince = tick;
      if (tick - kept.deniedSince >= negativeHoldMs) kept.records = [];
      // Asked again soon: when it comes back as much as when it is to be believed.
      round.ttlMs = 0;
    } else {
      this.lookups.failed++;
      round.failed = answer.why;
    }
    return kept.records;
  }

  #settle(key: string, watched: Watched, found: readonly Found[], round: Round): void {
    const { event, now, onChange } = this.#parts;
    const before = watched.standing;
    const why = round.failed ?? round.denied;
    const state: SourceState =
      why === null ? 'current' : found.length > 0 ? 'stale' : round.failed === null ? 'none' : 'waiting';
    watched.failures = round.failed === null ? 0 : watched.failures + 1;
    watched.standing = { state, found, why, answeredAt: round.failed === null ? now() : before.answeredAt };
    if (state !== before.state || (why !== null && why !== before.why)) {
      if (why !== null)
        event(
          'warn',
          found.length > 0
            ? 'name not resolved; its last good addresses serve on'
            : 'name not resolved; it has no addresses',
          {
            name: watched.source.name,
            reason: why,
            addresses: found.length,
          },
        );
      else if (before.why !== UNASKED) event('info', 'name resolved again', { name: watched.source.name });
    }
    if (signature(found) === signature(before.found)) return;
    this.#remember(key, watched);
    onChange(key);
  }

  #remember(key: string, { standing, addresses, records }: Watched): void {
    const { memory } = this.#parts;
    if (standing.found.length === 0) return memory?.keep(key, undefined);
    memory?.keep(key, {
      addresses: Object.fromEntries([...addresses].map(([question, kept]) => [question, [...kept.records]])),
      records: [...records.records],
      found: [...standing.found],
      answeredAt: standing.answeredAt ?? 0,
    });
  }

  /** Until it is asked for again, ms. */
  #pause(watched: Watched, round: Round): number {
    const { ttlMinMs, ttlMaxMs } = this.#parts.options;
    const due =
      watched.failures > 0
        ? Math.min(RETRY_MS_MAX, Math.max(ttlMinMs, RETRY_MS) * 2 ** Math.min(watched.failures - 1, 10))
        : round.ttlMs;
    const pause = Math.min(ttlMaxMs, Math.max(ttlMinMs, due));
    return pause * (1 - JITTER * this.#random());
  }
}

/** A name without the dot at its end, as TLS and Host say it. */
function plain(name: string): string {
  return name.replace(/\.$/, '');
}

/** Equal for the same endpoints in any order. */
function signature(found: readonly Found[]): string {
  return found
    .map((f) => `${f.host} ${f.port} ${f.name} ${f.priority} ${f.weight}`)
    .sort()
    .join('\n');
}
