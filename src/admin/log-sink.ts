/**
 * Lines out of the process (access log, events) without ever waiting for who reads them. Writes go through the thread pool, one at a time, in batches;
 * what does not fit into the queue is dropped and counted, and the count is said in the log as soon as there is room. `process.stdout` will not do: it
 * blocks on a pipe that nobody empties, and has no bound on a socket.
 */
import { write } from 'node:fs';

/** Bytes that wait at most, before lines are dropped. */
export const LOG_QUEUE_BYTES_MAX = 4 * 1024 * 1024;
/** Room beyond it that only events may use: they are few, and they tell why there is no room. */
export const LOG_EVENT_BYTES_MAX = 256 * 1024;
/** Bytes of one write. */
export const LOG_BATCH_BYTES_MAX = 64 * 1024;
const LINE_END = '\n'.charCodeAt(0);
/** After a write that the kernel had no room for, ms. */
const RETRY_MS = 20;

/** Control characters of ISO 8859, ends of lines and turns of direction beyond ASCII: JSON lets them pass, a terminal obeys them. */
const MISREAD = /[\u0080-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

export interface LogSinkParts {
  /** Open for writing; 1 is standard output. Not closed by the sink. */
  readonly fd: number;
  /** Epoch ms. */
  readonly now: () => number;
  readonly queueBytesMax?: number;
}

export type EventLevel = 'info' | 'warn' | 'error';

export class LogSink {
  readonly #fd: number;
  readonly #now: () => number;
  readonly #queueBytesMax: number;
  #queue: string[] = [];
  /** First line of the queue that is not written yet. */
  #first = 0;
  #queuedBytes = 0;
  #writing = false;
  #unreported = 0;
  /** A write failed within a line: the next one ends it first, so that no good line is glued to its beginning. */
  #torn = false;
  #idle: (() => void)[] = [];
  /** Lines given to the kernel. */
  lines = 0;
  /** Lines that found no room or could not be written. */
  dropped = 0;

  constructor(parts: LogSinkParts) {
    this.#fd = parts.fd;
    this.#now = parts.now;
    this.#queueBytesMax = parts.queueBytesMax ?? LOG_QUEUE_BYTES_MAX;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Queues a line (without its end). False: there was no room, and it is gone. */
  write(line: string): boolean {
    if (this.#unreported > 0 && this.#queuedBytes <= this.#queueBytesMax / 2) {
      const count = this.#unreported;
      this.#unreported = 0;
      this.event('warn', `${count} log lines were dropped: whoever reads the log is too slow`, { dropped: count });
    }
    return this.#put(line, this.#queueBytesMax);
  }

  /** Queues something that happened to the gateway itself. */
  event(level: EventLevel, message: string, fields: Readonly<Record<string, unknown>> = {}): boolean {
    const own = { kind: 'event', time: new Date(this.#now()).toISOString(), level, message };
    // Twice: first in the line, and nothing that is told takes their place.
    const line = JSON.stringify({ ...own, ...fields, ...own });
    return this.#put(line, this.#queueBytesMax + LOG_EVENT_BYTES_MAX);
  }

  /** Resolves when everything is written, or after `deadlineMs`. */
  async flush(deadlineMs: number): Promise<void> {
    if (!this.#writing) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, deadlineMs);
      this.#idle.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #put(text: string, bytesMax: number): boolean {
    let bytes = Buffer.byteLength(text) + 1;
    let line = text;
    // All ASCII: JSON has escaped what could be misread already.
    if (bytes !== line.length + 1) {
      line = line.replaceAll(MISREAD, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
      bytes = Buffer.byteLength(line) + 1;
    }
    if (this.#queuedBytes + bytes > bytesMax) {
      this.dropped++;
      this.#unreported++;
      return false;
    }
    this.#queue.push(line);
    this.#queuedBytes += bytes;
    if (!this.#writing) {
      this.#writing = true;
      // After this turn, so that all lines of a turn are one write.
      setImmediate(() => this.#next());
    }
    return true;
  }

  #next(): void {
    let bytes = 0;
    let end = this.#first;
    // At least one line, however long.
    while (end < this.#queue.length && (bytes === 0 || bytes < LOG_BATCH_BYTES_MAX)) {
      bytes += (this.#queue[end++] as string).length + 1;
    }
    if (end === this.#first) {
      this.#queue = [];
      this.#first = 0;
      this.#writing = false;
      for (const done of this.#idle.splice(0)) done();
      return;
    }
    // The first byte is written only after a torn line.
    const batch = Buffer.from(`\n${this.#queue.slice(this.#first, end).join('\n')}\n`);
    const lines = end - this.#first;
    this.#first = end;
    // The written part is let go of when it is the larger one: amortised, one move per line.
    if (this.#first > this.#queue.length / 2) {
      this.#queue = this.#queue.slice(this.#first);
      this.#first = 0;
    }
    this.#write(batch, this.#torn ? 0 : 1, lines);
  }

  #write(batch: Buffer, from: number, lines: number): void {
    write(this.#fd, batch, from, batch.length - from, null, (error, written) => {
      if (error !== null && (error.code === 'EAGAIN' || error.code === 'EINTR')) {
        setTimeout(() => this.#write(batch, from, lines), RETRY_MS);
        return;
      }
      if (error === null && from + written < batch.length) {
        this.#write(batch, from + written, lines);
        return;
      }
      this.#queuedBytes -= batch.length - 1;
      this.#torn = error !== null && (from === 0 || batch[from - 1] !== LINE_END);
      if (error === null) this.lines += lines;
      else this.dropped += lines;
      this.#next();
    });
  }
}
