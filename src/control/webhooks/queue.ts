/** Events that one receiver has not got yet: a file each, so that they outlive a restart; oldest first, bounded. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DurableFiles, readBounded } from '../oci/files.ts';

/** Events that wait for one receiver; beyond it the oldest go. */
export const QUEUE_MAX = 1_000;
/** Bytes of one event. */
export const EVENT_BYTES_MAX = 64 * 1024;
const NAME = /^([0-9]{12})\.json$/;

export class EventQueue {
  readonly #directory: string;
  readonly #files = new DurableFiles();
  /** Numbers of the files, oldest first. */
  readonly #numbers: number[];
  readonly #queueMax: number;
  /** Events that were dropped since start. */
  dropped = 0;

  private constructor(directory: string, numbers: number[], queueMax: number) {
    this.#directory = directory;
    this.#numbers = numbers;
    this.#queueMax = queueMax;
  }

  static async open(directory: string, queueMax = QUEUE_MAX): Promise<EventQueue> {
    await new DurableFiles().makeDirectory(directory);
    const numbers = (await readdir(directory)).flatMap((name) => {
      const number = NAME.exec(name)?.[1];
      return number === undefined ? [] : [Number(number)];
    });
    return new EventQueue(
      directory,
      numbers.toSorted((a, b) => a - b),
      queueMax,
    );
  }

  get length(): number {
    return this.#numbers.length;
  }

  async push(body: string): Promise<void> {
    const number = (this.#numbers.at(-1) ?? 0) + 1;
    await this.#files.write(this.#path(number), Buffer.from(body, 'utf8'), 0o600);
    this.#numbers.push(number);
    while (this.#numbers.length > this.#queueMax) {
      this.dropped++;
      await this.#remove(0);
    }
  }

  /** The oldest event; null when none waits. One that cannot be read any more is passed over. */
  async first(): Promise<{ readonly number: number; readonly body: string } | null> {
    for (let number = this.#numbers[0]; number !== undefined; number = this.#numbers[0]) {
      const read = await readBounded(this.#path(number), EVENT_BYTES_MAX);
      if (read.state === 'read') return { number, body: Buffer.from(read.bytes).toString('utf8') };
      this.dropped++;
      await this.#remove(0);
    }
    return null;
  }

  /** It has arrived. */
  async done(number: number): Promise<void> {
    const i = this.#numbers.indexOf(number);
    // It may have been dropped meanwhile, to make room.
    if (i >= 0) await this.#remove(i);
  }

  /** It cannot be told. */
  async drop(number: number): Promise<void> {
    this.dropped++;
    await this.done(number);
  }

  async #remove(index: number): Promise<void> {
    const [number] = this.#numbers.splice(index, 1);
    if (number !== undefined) await this.#files.remove(this.#path(number));
  }

  #path(number: number): string {
    return join(this.#directory, `${String(number).padStart(12, '0')}.json`);
  }
}
