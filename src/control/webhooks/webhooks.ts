/**
 * Tells receivers what happens to bundles. Each event is on the disk before it is sent, is sent in order, and again with growing pauses until the receiver says 2xx; one
 * receiver that is away holds back nothing but its own events. Signed as Standard Webhooks are (standardwebhooks.com): HMAC-SHA256 over id, time and body.
 */
import { createHmac, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { bounded } from '../audit/chain.ts';
import { EVENT_BYTES_MAX, EventQueue } from './queue.ts';

/** First pause after a failure; then twice the one before, up to the longest, and up to a fifth less at random. */
export const PAUSE_FIRST_MS = 1_000;
export const PAUSE_MAX_MS = 300_000;
/** For a connection, and for an answer with all of its body. */
const TIMEOUT_MS = 10_000;
/** Events that wait in memory for one receiver's directory, behind a disk that hangs or an attempt that is under way. */
export const WAITING_MAX = 1_000;
const ANSWER_BYTES_MAX = 64 * 1024;

export interface Receiver {
  readonly id: string;
  readonly url: string;
  /** As it is, or base64 of the key after `whsec_`, as Standard Webhooks write theirs. */
  readonly secret: string;
  /** Empty: all. */
  readonly kinds: readonly string[];
}

export interface WebhooksParts {
  /** One directory in it for each receiver. */
  readonly directory: string;
  readonly receivers: readonly Receiver[];
  /** Names this gateway in every event. */
  readonly gateway: string;
  /** Told when a receiver cannot be reached, and when it can again. */
  readonly event: (level: 'info' | 'warn', message: string, fields: Record<string, unknown>) => void;
  /** Epoch ms. */
  readonly now: () => number;
  /** Shorter in tests. */
  readonly pauseFirstMs?: number;
  readonly timeoutMs?: number;
  readonly queueMax?: number;
}

/** How a receiver is kept told. */
export interface ReceiverState {
  readonly id: string;
  /** Events that it has not been told of. */
  readonly waiting: number;
  /** Events since start that it will never be told of: there was no room, or the disk refused or lost them. */
  readonly dropped: number;
  /** Why the last one was not taken; null: it was. */
  readonly fault: string | null;
}

interface Line {
  readonly receiver: Receiver;
  readonly queue: EventQueue;
  /** Its own: behind a slow receiver of the same origin it would wait in line, and the wait would count as its own time. */
  readonly dispatcher: Agent;
  failures: number;
  fault: string | null;
  /** Events could not be read or removed the last time; that was said. */
  diskFailed: boolean;
  /** Events that wait in memory, and those that found no room there or could not be written. */
  waiting: number;
  dropped: number;
  /** There was no room the last time; that was said. */
  full: boolean;
  timer: NodeJS.Timeout | null;
  /** What is done for this receiver, one after the other. */
  tail: Promise<void>;
}

export class Webhooks {
  readonly #parts: WebhooksParts;
  readonly #lines: Line[] = [];
  #closed = false;

  private constructor(parts: WebhooksParts) {
    this.#parts = parts;
  }

  /** Goes on with what was not told before the process ended. */
  static async open(parts: WebhooksParts): Promise<Webhooks> {
    const webhooks = new Webhooks(parts);
    for (const receiver of parts.receivers) {
      const queue = await EventQueue.open(join(parts.directory, receiver.id), parts.queueMax);
      const line: Line = {
        receiver,
        queue,
        dispatcher: new Agent({
          connections: 1,
          connect: { timeout: TIMEOUT_MS },
          maxResponseSize: ANSWER_BYTES_MAX,
        }),
        failures: 0,
        fault: null,
        diskFailed: false,
        waiting: 0,
        dropped: 0,
        full: false,
        timer: null,
        tail: Promise.resolve(),
      };
      webhooks.#lines.push(line);
      webhooks.#soon(line, 0);
    }
    return webhooks;
  }

  states(): readonly ReceiverState[] {
    return this.#lines.map(({ receiver, queue, fault, dropped }) => ({
      id: receiver.id,
      waiting: queue.length,
      dropped: queue.dropped + dropped,
      fault,
    }));
  }

  /** Never throws and waits for nothing. */
  tell(kind: string, fields: Readonly<Record<string, unknown>>): void {
    if (this.#closed) return;
    const { now, gateway } = this.#parts;
    const event = {
      id: randomUUID(),
      type: `cnx.${kind}`,
      timestamp: new Date(now()).toISOString(),
      gateway,
      data: bounded(fields),
    };
    let body = JSON.stringify(event);
    // As in the audit log: what is too long is left out, and that is said.
    if (Buffer.byteLength(body) > EVENT_BYTES_MAX) body = JSON.stringify({ ...event, data: { leftOut: body.length } });
    for (const line of this.#lines) {
      const { kinds } = line.receiver;
      if (kinds.length > 0 && !kinds.includes(kind)) continue;
      if (!this.#hasRoom(line)) continue;
      line.waiting++;
      this.#next(line, async () => {
        line.waiting--;
        await this.#push(line, body);
      });
      // A receiver that was away is not asked more often because more happens.
      if (line.failures === 0) this.#soon(line, 0);
    }
  }

  #hasRoom(line: Line): boolean {
    const full = line.waiting >= WAITING_MAX;
    if (full) line.dropped++;
    if (full && !line.full)
      this.#parts.event('warn', 'events for a webhook are dropped: too many wait for the disk', {
        webhook: line.receiver.id,
        waiting: line.waiting,
      });
    line.full = full;
    return !full;
  }

  async #push(line: Line, body: string): Promise<void> {
    try {
      await line.queue.push(body);
    } catch (error) {
      line.dropped++;
      throw error;
    }
  }

  /** What waits stays on the disk. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { timer } of this.#lines) if (timer !== null) clearTimeout(timer);
    await Promise.all(this.#lines.map(({ dispatcher }) => dispatcher.destroy()));
    await Promise.all(this.#lines.map(({ tail }) => tail));
  }

  #soon(line: Line, ms: number): void {
    if (this.#closed) return;
    if (line.timer !== null) clearTimeout(line.timer);
    line.timer = setTimeout(() => {
      line.timer = null;
      this.#next(line, () => this.#tryToDeliver(line));
    }, ms).unref();
  }

  #next(line: Line, task: () => Promise<void>): void {
    line.tail = line.tail.then(task).catch((error: unknown) => {
      // The disk: the event is in the log and in the audit log all the same.
      const reason = error instanceof Error ? error.message : String(error);
      this.#parts.event('warn', 'an event for a webhook was lost', { webhook: line.receiver.id, reason });
    });
  }

  async #tryToDeliver(line: Line): Promise<void> {
    try {
      await this.#deliver(line);
      line.diskFailed = false;
    } catch (error) {
      // The disk, not the receiver: nobody else would ask again.
      const reason = error instanceof Error ? error.message : String(error);
      if (!line.diskFailed)
        this.#parts.event('warn', 'the events of a webhook cannot be read or removed; it is tried again', {
          webhook: line.receiver.id,
          reason,
        });
      line.diskFailed = true;
      this.#soon(line, this.#pauseAfter(++line.failures));
    }
  }

  /** At most this, and up to a fifth less. */
  #pauseAfter(failures: number): number {
    const first = this.#parts.pauseFirstMs ?? PAUSE_FIRST_MS;
    return Math.min(PAUSE_MAX_MS, first * 2 ** Math.min(failures - 1, 20)) * (1 - Math.random() / 5);
  }

  async #deliver(line: Line): Promise<void> {
    const first = this.#closed ? null : await line.queue.first();
    if (first === null) return;
    const { receiver } = line;
    const id = idOf(first.body);
    if (id === null) {
      // The disk has lost what was written, in a crash of the machine say; those behind it do not wait for it.
      this.#parts.event('warn', 'an event for a webhook was lost', {
        webhook: receiver.id,
        reason: `its file, number ${first.number}, holds no event`,
      });
      await line.queue.drop(first.number);
      this.#soon(line, 0);
      return;
    }
    const why = await this.#send(line, id, first.body);
    if (this.#closed && why !== null) return;
    line.fault = why;
    if (why === null) {
      if (line.failures > 0) this.#parts.event('info', 'a webhook is reached again', { webhook: receiver.id });
      line.failures = 0;
      await line.queue.done(first.number);
      this.#soon(line, 0);
      return;
    }
    if (line.failures++ === 0)
      this.#parts.event('warn', 'a webhook cannot be reached; it is tried again', {
        webhook: receiver.id,
        reason: why,
      });
    this.#soon(line, this.#pauseAfter(line.failures));
  }

  /** Null when the receiver has it, else why not. */
  async #send({ receiver: { url, secret }, dispatcher }: Line, id: string, body: string): Promise<string | null> {
    const seconds = String(Math.floor(this.#parts.now() / 1000));
    try {
      const answer = await request(url, {
        dispatcher,
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'webhook-id': id,
          'webhook-timestamp': seconds,
          'webhook-signature': signatureOf(secret, id, seconds, body),
        },
        body,
        signal: AbortSignal.timeout(this.#parts.timeoutMs ?? TIMEOUT_MS),
      });
      try {
        await answer.body.dump();
      } catch {
        // The status has said whether it has the event; what it says further, however slowly, says nothing.
      }
      return Math.floor(answer.statusCode / 100) === 2 ? null : `it answered ${answer.statusCode}`;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
}

/** Of an event as it lies on the disk; null: it is none, or not a whole one. */
function idOf(body: string): string | null {
  try {
    const event: unknown = JSON.parse(body);
    return typeof event === 'object' && event !== null && 'id' in event && typeof event.id === 'string'
      ? event.id
      : null;
  } catch {
    return null;
  }
}

/** Standard Webhooks write a key as base64 after this, and their libraries read it so. */
const CODED_PREFIX = 'whsec_';

export function signatureOf(secret: string, id: string, seconds: string, body: string): string {
  const key = secret.startsWith(CODED_PREFIX) ? Buffer.from(secret.slice(CODED_PREFIX.length), 'base64') : secret;
  return `v1,${createHmac('sha256', key).update(`${id}.${seconds}.${body}`).digest('base64')}`;
}
