/**
 * One try at an endpoint: undici's handler. Made anew for every try, so that what comes late for an abandoned one finds nobody; it holds no promise and
 * no closure.
 */
import type { Dispatcher } from 'undici';
import { FailReason } from '../transport.ts';
import type { EndpointPool } from './endpoint-pool.ts';

/** What an attempt tells the wire. */
export interface AttemptOwner {
  /** Bytes may now go out: connection and turn are there. */
  attemptStarted(): void;
  /** The final response head; false when it cannot be passed on. */
  attemptHead(status: number, headers: Readonly<Record<string, string | string[] | undefined>>): boolean;
  attemptData(chunk: Buffer): void;
  attemptEnded(): void;
  attemptFailed(reason: FailReason): void;
}

/** Said to undici when a client went away or a deadline passed. One object: nobody reads its stack. */
const LET_GO = new Error('the exchange is over');

export class Attempt implements Dispatcher.DispatchHandler {
  #owner: AttemptOwner | null;
  readonly #pool: EndpointPool;
  #controller: Dispatcher.DispatchController | null = null;
  #settled = false;
  /** True once undici writes the request to a connection: from here on the upstream may have read it. */
  started = false;
  gotHead = false;

  constructor(owner: AttemptOwner, pool: EndpointPool) {
    this.#owner = owner;
    this.#pool = pool;
  }

  /** Stops hearing of it and frees the upstream connection. */
  letGo(): void {
    this.#owner = null;
    if (!this.#settled) this.#controller?.abort(LET_GO);
  }

  /** Hears no more of an answer that was passed on whole: its last bytes may still be on their way through undici. */
  forget(): void {
    this.#owner = null;
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Thrown while it is still queued, this costs undici no connection, unlike abort().
    if (this.#owner === null) throw LET_GO;
    this.#controller = controller;
    this.started = true;
    this.#owner.attemptStarted();
  }

  onResponseStart(_: unknown, status: number, headers: Readonly<Record<string, string | string[] | undefined>>): void {
    // Interim answers (1xx) end here: uWebSockets.js cannot send them.
    if (this.#owner === null || status < 200) return;
    this.gotHead = true;
    if (!this.#owner.attemptHead(status, headers)) this.#fail(FailReason.Invalid);
  }

  onResponseData(_: unknown, chunk: Buffer): void {
    this.#owner?.attemptData(chunk);
  }

  onResponseEnd(): void {
    this.#settle();
    const owner = this.#owner;
    this.#owner = null;
    owner?.attemptEnded();
  }

  onResponseError(_: unknown, error: Error): void {
    this.#settle();
    const owner = this.#owner;
    this.#owner = null;
    owner?.attemptFailed(this.#reason(error));
  }

  /** Gives up for a reason that undici does not know. */
  fail(reason: FailReason): void {
    this.#fail(reason);
  }

  #fail(reason: FailReason): void {
    const owner = this.#owner;
    this.letGo();
    owner?.attemptFailed(reason);
  }

  #settle(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#pool.open--;
  }

  #reason(error: Error): FailReason {
    if (!this.started) return FailReason.Connect;
    switch ((error as { code?: string }).code) {
      case 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH':
      case 'UND_ERR_HEADERS_OVERFLOW':
        return FailReason.Invalid;
      default:
        return error.name === 'HTTPParserError' ? FailReason.Invalid : FailReason.Reset;
    }
  }
}
