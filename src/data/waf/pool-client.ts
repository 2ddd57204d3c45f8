/**
 * The lane's side of the WAF pool: requests and answers that would hold the lane for longer than a hop (about 80 µs) are packed and sent away, all of one loop turn in
 * one message. What does not come back in time, or cannot be taken, is refused by the stage: nothing passes unseen.
 */
import type { MessagePort } from 'node:worker_threads';
import type { WafLentBody } from '../../native/waf.ts';
import type { WafBatch, WafCoding, WafReply } from '../../snapshot/waf-batch.ts';
import type { Exchange } from '../exchange.ts';
import type { Wake } from '../stage.ts';

/** Requests of a lane that wait for the pool at once. */
export const POOL_WAITING_MAX = 1_024;
/** Their bytes together, packed or lent. */
export const POOL_BYTES_MAX = 64 * 1024 * 1024;
/** Longest wait of one request. */
export const POOL_WAIT_MS = 5_000;

interface Waiting {
  readonly x: Exchange;
  readonly ticket: number;
  readonly bytes: number;
  /** Epoch ms. */
  readonly since: number;
}

/** Delivered in `x.delivered`; null when there is none. */
export interface PoolAnswer {
  /** The packed verdict. */
  readonly verdict: ArrayBuffer;
  /** What its rules need of the request to see the answer; null: they do not want to, or it could not be kept. */
  readonly kept: ArrayBuffer | null;
}
export type PoolVerdict = PoolAnswer | null;

export class WafPoolClient {
  readonly #port: MessagePort;
  readonly #wake: Wake;
  readonly #waiting = new Map<number, Waiting>();
  #bytes = 0;
  #next = 0;
  #ids: number[] = [];
  #handles: number[] = [];
  #profiles: number[] = [];
  #requests: ArrayBuffer[] = [];
  #codings: (WafCoding | null)[] = [];
  #kept: (ArrayBuffer | null)[] = [];
  #lent: (WafLentBody | null)[] = [];

  constructor(port: MessagePort, wake: Wake) {
    this.#port = port;
    this.#wake = wake;
    port.on('message', (reply: WafReply) => this.#replied(reply));
  }

  /** Requests that wait for a verdict. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Takes over a packed request, or a packed answer with what was kept of its request; `coding`: its body is to be decoded first; `lent`: where
   * its body is, if it was packed without. False when the queue is full. The exchange is woken
   * with the verdict in `x.delivered`.
   */
  submit(
    x: Exchange,
    handle: number,
    profile: number,
    request: ArrayBuffer,
    coding: WafCoding | null = null,
    kept: ArrayBuffer | null = null,
    lent: WafLentBody | null = null,
  ): boolean {
    const bytes = request.byteLength + (lent === null ? 0 : lent.bytes);
    if (this.#waiting.size >= POOL_WAITING_MAX || this.#bytes + bytes > POOL_BYTES_MAX) return false;
    const id = this.#next++;
    this.#waiting.set(id, { x, ticket: x.ticket, bytes, since: x.now });
    this.#bytes += bytes;
    if (this.#ids.length === 0) setImmediate(() => this.#flush());
    this.#ids.push(id);
    this.#handles.push(handle);
    this.#profiles.push(profile);
    this.#requests.push(request);
    this.#codings.push(coding);
    this.#kept.push(kept);
    this.#lent.push(lent);
    return true;
  }

  /** Once a second: what has waited too long is woken without a verdict. `now`: epoch ms. */
  sweep(now: number): void {
    for (const [id, waiting] of this.#waiting) {
      // In order of arrival, so the first young one ends the walk.
      if (now - waiting.since < POOL_WAIT_MS) break;
      this.#deliver(id, null);
    }
  }

  close(): void {
    this.#port.close();
  }

  #flush(): void {
    const batch: WafBatch = {
      ids: this.#ids,
      handles: this.#handles,
      profiles: this.#profiles,
      requests: this.#requests,
      codings: this.#codings,
      kept: this.#kept,
      lent: this.#lent,
    };
    this.#port.postMessage(batch, this.#requests);
    this.#ids = [];
    this.#handles = [];
    this.#profiles = [];
    this.#requests = [];
    this.#codings = [];
    this.#kept = [];
    this.#lent = [];
  }

  #replied(reply: WafReply): void {
    for (const [i, id] of reply.ids.entries()) {
      const verdict = reply.verdicts[i] ?? null;
      this.#deliver(id, verdict === null ? null : { verdict, kept: reply.kept[i] ?? null });
    }
  }

  #deliver(id: number, verdict: PoolVerdict): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    this.#bytes -= waiting.bytes;
    const { x, ticket } = waiting;
    if (x.ticket !== ticket || !x.live) return;
    x.delivered = verdict;
    this.#wake(x, ticket);
  }
}
