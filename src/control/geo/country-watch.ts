/**
 * The country database of the bootstrap (MMDB), looked at while it serves: what an operator replaces is read, tried, and given to all lanes in shared memory. One that
 * cannot be read is told, and the one before goes on; without any, countries are unknown.
 */
import { open } from 'node:fs/promises';
import { CountryDatabase } from '../../base/mmdb.ts';
import { lookOf } from '../file-look.ts';

/** Between two looks at the file. */
export const LOOK_MS = 1_000;
/** Largest file that is read. Unit: bytes. */
export const COUNTRY_FILE_BYTES_MAX = 256 * 1024 * 1024;

export interface CountryWatchParts {
  /** Absent: countries are unknown. */
  readonly file: string | undefined;
  /** Gives it to all lanes. */
  readonly take: (database: SharedArrayBuffer) => void;
  readonly event: (level: 'info' | 'warn', message: string, fields: Record<string, unknown>) => void;
}

export class CountryWatch {
  readonly #parts: CountryWatchParts;
  /** What the file looked like when it was last tried. */
  #tried = '';
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(parts: CountryWatchParts) {
    this.#parts = parts;
  }

  /** Resolves when it was tried once; looks at it from then on. */
  async start(): Promise<void> {
    const { file } = this.#parts;
    if (file === undefined) return;
    await this.#look(file);
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.start(), LOOK_MS).unref();
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  async #look(file: string): Promise<void> {
    const { event, take } = this.#parts;
    const now = await lookOf(file);
    if (now === this.#tried) return;
    try {
      const database = await read(file);
      const { type, builtAt } = new CountryDatabase(new Uint8Array(database));
      // Replaced or written on meanwhile: the next look sees.
      if ((await lookOf(file)) !== now || this.#stopped) return;
      this.#tried = now;
      take(database);
      event('info', 'country database taken', { file, type, builtAt: new Date(builtAt * 1000).toISOString() });
    } catch (error) {
      this.#tried = now;
      event('warn', 'country database refused; the former one, if any, goes on', {
        file,
        reason: error instanceof Error ? error.message : String(error),
      });
    }
  }
}

async function read(file: string): Promise<SharedArrayBuffer> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    if (size > COUNTRY_FILE_BYTES_MAX) throw new Error(`${size} bytes; at most ${COUNTRY_FILE_BYTES_MAX} are read`);
    const memory = new SharedArrayBuffer(size);
    const bytes = new Uint8Array(memory);
    for (let at = 0; at < size; ) {
      const { bytesRead } = await handle.read(bytes, at, size - at, at);
      if (bytesRead === 0) throw new Error('the file became shorter while it was read');
      at += bytesRead;
    }
    return memory;
  } finally {
    await handle.close();
  }
}
