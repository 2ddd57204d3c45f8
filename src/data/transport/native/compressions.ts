/** Plans of compression by the numbers that the engine knows them by. They are told by what they say, for each bundle brings objects of its own. */
import type { TransportEngine } from '../../../native/transport.ts';
import type { CompressPlan } from '../../../snapshot/route-plans.ts';

/** Plans that are known at once: 16 times as many as one bundle may hold. Then the oldest gives its number to a new one. */
export const COMPRESSIONS_KNOWN_MAX = 1_024;

export class Compressions {
  readonly #engine: TransportEngine;
  readonly #most: number;
  /** Number by what the plan says, oldest first. */
  readonly #numbers = new Map<string, number>();
  /** The same by object: what a request needs. A place whose key has gone to another plan is known by it. */
  readonly #seen = new WeakMap<CompressPlan, number>();
  readonly #keys: string[] = [];

  constructor(engine: TransportEngine, most = COMPRESSIONS_KNOWN_MAX) {
    this.#engine = engine;
    this.#most = most;
  }

  /** True once a request has named one. */
  get any(): boolean {
    return this.#numbers.size > 0;
  }

  /** Its number, from 1 on. */
  number(plan: CompressPlan): number {
    const seen = this.#seen.get(plan);
    if (seen !== undefined && this.#keys[seen] === plan.key) return seen;
    const number = this.#numbers.get(plan.key) ?? this.#tell(plan);
    this.#seen.set(plan, number);
    return number;
  }

  #tell(plan: CompressPlan): number {
    const number = this.#numbers.size < this.#most ? this.#numbers.size + 1 : this.#oldest();
    const { key, algorithms, types, bytesMin, levels } = plan;
    this.#engine.setCompression(number, {
      algorithms: [...algorithms],
      types: [...types],
      bytesMin,
      gzip: levels.gzip,
      br: levels.br,
      zstd: levels.zstd,
    });
    this.#numbers.set(key, number);
    this.#keys[number] = key;
    return number;
  }

  #oldest(): number {
    for (const [key, number] of this.#numbers) {
      this.#numbers.delete(key);
      return number;
    }
    return 1;
  }
}
