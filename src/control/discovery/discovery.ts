/** Everything that tells of endpoints that move: names and files, and who is told when one of them has something new to say. */
import type { DnsConfig } from '../../config/bootstrap.ts';
import type { CellSource } from '../compile/endpoint-template.ts';
import { FileWatch } from './endpoints-file.ts';
import type { FileEndpoint } from './endpoints-file.ts';
import type { Sources } from './membership.ts';
import { NameMemory } from './name-memory.ts';
import type { Found, NameSource } from './name-watch.ts';
import { NameWatch } from './name-watch.ts';
import { DnsResolver } from './resolver.ts';
import { SYSTEM_NAME_FILES, SystemNames } from './system-names.ts';

/** How long an activation waits for names that nobody has asked for yet. */
export const FIRST_ANSWER_MS = 3_000;
/** Changes that come together are one. */
const GATHER_MS = 20;

type Event = (level: 'info' | 'warn', message: string, fields: Record<string, unknown>) => void;

export interface DiscoveryParts {
  readonly dns: DnsConfig;
  /** Where what names led to is kept over restarts. */
  readonly memoryFile: string;
  /** Files by the names that cells use. */
  readonly endpointFiles: Readonly<Record<string, string>>;
  /** Some source has something new to say. */
  readonly onChange: () => void;
  readonly event: Event;
}

/** How one source stands, for people. */
export interface SourceStanding {
  readonly cell: string;
  /** `dns orders.internal:8080`, `srv _http._tcp.orders.internal`, `file orders`. */
  readonly source: string;
  readonly state: 'waiting' | 'current' | 'stale' | 'none';
  readonly endpoints: number;
  /** Why it is not current; null = it is. */
  readonly reason: string | null;
  /** Epoch ms of its last good word; null = never. */
  readonly at: number | null;
}

export class Discovery implements Sources {
  readonly #parts: DiscoveryParts;
  readonly #resolver: DnsResolver;
  readonly #memory: NameMemory;
  readonly #names: NameWatch;
  readonly #files: FileWatch;
  /** What each live snapshot follows. */
  readonly #followed = new Set<readonly CellSource[]>();
  #gathering: NodeJS.Timeout | null = null;

  constructor(parts: DiscoveryParts) {
    this.#parts = parts;
    const { dns, event } = parts;
    this.#resolver = new DnsResolver(dns, new SystemNames(SYSTEM_NAME_FILES, () => performance.now()));
    const changed = (): void => this.#gather();
    this.#memory = new NameMemory(parts.memoryFile, event);
    this.#names = new NameWatch({
      resolver: this.#resolver,
      options: dns,
      onChange: changed,
      event,
      now: Date.now,
      memory: this.#memory,
    });
    this.#files = new FileWatch({ files: parts.endpointFiles, onChange: changed, event, now: Date.now });
  }

  /** Reads what was known before this process. Before the first bundle. */
  start(): Promise<void> {
    return this.#memory.load();
  }

  /** Names that cells may use for files. */
  get fileNames(): ReadonlySet<string> {
    return new Set(Object.keys(this.#parts.endpointFiles));
  }

  get lookups(): NameWatch['lookups'] {
    return this.#names.lookups;
  }

  /** Follows these sources as well. Resolves when each has said something, or does not do so in time. */
  async follow(sources: readonly CellSource[]): Promise<void> {
    this.#followed.add(sources);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, FIRST_ANSWER_MS);
    });
    await Promise.race([this.#follow(), late]);
    clearTimeout(timer);
  }

  /** Follows them no more. */
  forget(sources: readonly CellSource[]): void {
    if (this.#followed.delete(sources)) void this.#follow();
  }

  found(source: NameSource): readonly Found[] {
    return this.#names.standing(source).found;
  }

  endpoints(file: string): readonly FileEndpoint[] {
    return this.#files.standing(file).endpoints;
  }

  standings(sources: readonly CellSource[]): SourceStanding[] {
    return sources.map(({ cellId, from }) => {
      if (from.kind === 'file') {
        const { state, endpoints, why, readAt } = this.#files.standing(from.name);
        return {
          cell: cellId,
          source: `file ${from.name}`,
          state,
          endpoints: endpoints.length,
          reason: why,
          at: readAt,
        };
      }
      const { state, found, why, answeredAt } = this.#names.standing(from);
      const source = from.kind === 'srv' ? `srv ${from.name}` : `dns ${from.name}:${from.port}`;
      return { cell: cellId, source, state, endpoints: found.length, reason: why, at: answeredAt };
    });
  }

  /** Resolves when what is known is kept. */
  async stop(): Promise<void> {
    if (this.#gathering !== null) clearTimeout(this.#gathering);
    this.#gathering = null;
    this.#names.stop();
    this.#files.stop();
    this.#resolver.cancel();
    await this.#memory.settled();
  }

  async #follow(): Promise<void> {
    const origins = [...this.#followed].flatMap((sources) => sources.map(({ from }) => from));
    await Promise.all([
      this.#names.follow(origins.filter((from) => from.kind !== 'file')),
      this.#files.follow(origins.filter((from) => from.kind === 'file').map(({ name }) => name)),
    ]);
  }

  #gather(): void {
    this.#gathering ??= setTimeout(() => {
      this.#gathering = null;
      this.#parts.onChange();
    }, GATHER_MS).unref();
  }
}
