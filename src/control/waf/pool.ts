/**
 * The one worker pool of the process, for WAF matching of what is too long for a lane. Lanes send batches over their ports; a batch whose worker dies is tried once
 * more, then its requests one by one, so that a poisonous one does not take its neighbours along; it is answered without a verdict, which its lane refuses. Its first thread starts with the first batch: many bundles never send one, and a thread takes
 * some ten MiB.
 */
import type { MessagePort } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { workerEntry } from '../../base/worker-entry.ts';
import type { WafBatch, WafReply } from '../../snapshot/waf-batch.ts';

/** Batches that wait for a thread; beyond it they are answered without verdicts at once. */
export const BATCHES_MAX = 256;

export class WafPool {
  readonly #start: () => Piscina<WafBatch, WafReply>;
  #pool: Piscina<WafBatch, WafReply> | null = null;
  #closed = false;
  readonly #report: (message: string) => void;
  #waiting = 0;

  constructor(threads: number, addonPath: string, report: (message: string) => void) {
    this.#report = report;
    this.#start = () =>
      new Piscina<WafBatch, WafReply>({
        filename: fileURLToPath(workerEntry('waf-worker')),
        minThreads: 1,
        maxThreads: threads,
        maxQueue: BATCHES_MAX,
        workerData: { addonPath },
      });
  }

  /** Requests that wait or are being matched. */
  get waiting(): number {
    return this.#waiting;
  }

  get threads(): number {
    return this.#pool?.threads.length ?? 0;
  }

  /** Share of the threads' time that was spent matching, 0 … 1. */
  get utilization(): number {
    return this.#pool?.utilization ?? 0;
  }

  /** Serves a lane over its port. */
  serve(port: MessagePort): void {
    port.on('message', (batch: WafBatch) => {
      this.#waiting += batch.ids.length;
      void this.#match(batch).then((reply) => {
        this.#waiting -= batch.ids.length;
        port.postMessage(
          reply,
          [...reply.verdicts, ...reply.kept].filter((v) => v !== null),
        );
      });
    });
  }

  async #match(batch: WafBatch): Promise<WafReply> {
    try {
      // Copied, not transferred: a batch whose worker died must still be here to be tried again. Bodies that were lent lie where they are.
      return await this.#run(batch);
    } catch (error) {
      this.#report(`a WAF worker failed (${message(error)}); its batch of ${batch.ids.length} is tried again`);
    }
    try {
      return await this.#run(batch);
    } catch (error) {
      if (batch.ids.length === 1) return this.#refused(batch, error);
      this.#report(
        `a WAF batch of ${batch.ids.length} failed twice (${message(error)}); its requests are tried one by one`,
      );
    }
    const verdicts: (ArrayBuffer | null)[] = [];
    const kept: (ArrayBuffer | null)[] = [];
    // One after the other: they may not crowd out the batches of other lanes.
    for (let i = 0; i < batch.ids.length; i++) {
      const one = oneOf(batch, i);
      const reply = await this.#run(one).catch((error: unknown) => this.#refused(one, error));
      verdicts.push(reply.verdicts[0] ?? null);
      kept.push(reply.kept[0] ?? null);
    }
    return { ids: batch.ids, verdicts, kept };
  }

  #refused(batch: WafBatch, error: unknown): WafReply {
    this.#report(`a request cannot be inspected, whichever WAF worker tries (${message(error)}); it is refused`);
    return { ids: batch.ids, verdicts: batch.ids.map(() => null), kept: batch.ids.map(() => null) };
  }

  async #run(batch: WafBatch): Promise<WafReply> {
    if (this.#closed) throw new Error('the pool is closed');
    this.#pool ??= this.#start();
    return this.#pool.run(batch);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#pool?.destroy();
  }
}

/** One request of a batch, alone. */
function oneOf(batch: WafBatch, i: number): WafBatch {
  const list = <T>(values: readonly T[]): T[] => values.slice(i, i + 1);
  return {
    ids: list(batch.ids),
    handles: list(batch.handles),
    profiles: list(batch.profiles),
    requests: list(batch.requests),
    codings: list(batch.codings),
    kept: list(batch.kept),
    lent: list(batch.lent),
  };
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
