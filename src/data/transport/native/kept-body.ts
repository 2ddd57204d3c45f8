/** A body in the engine's memory, by its number there. */
import type { TransportEngine } from '../../../native/transport.ts';
import type { KeptBody } from '../transport.ts';

export class NativeBody implements KeptBody {
  readonly number: number;
  readonly length: number;
  readonly #engine: TransportEngine;

  private constructor(engine: TransportEngine, number: number) {
    this.#engine = engine;
    this.number = number;
    this.length = engine.keptBytes(number);
  }

  /** Null for 0: the engine has kept nothing. */
  static of(engine: TransportEngine, number: number): NativeBody | null {
    return number === 0 ? null : new NativeBody(engine, number);
  }

  letGo(): void {
    this.#engine.letGo(this.number);
  }
}
