/**
 * The way back to the client: writes heads and bodies to a uWebSockets.js response with back-pressure. One per wire, used again.
 *
 * Two traps shape it. `end(x, true)` after `write` puts a header into the middle of the body, so a streamed answer that must close its connection
 * says so in its head and leaves the socket unread: nothing that follows on it is ever parsed, and the idle timer closes it. And
 * a synchronous answer lets uWebSockets.js parse what follows on the connection at once, even if it is to be closed, so such an answer waits a turn.
 */
import { STATUS_CODES } from 'node:http';
import type { HttpResponse } from 'uWebSockets.js';
import type { RequestBody } from './body.ts';

/** What the writer tells the wire. */
export interface DownstreamOwner {
  /** The last byte was handed over; the response may not be touched any more. */
  answered(): void;
  /** The client takes more: the upstream may go on. */
  writable(): void;
  /** Read no more from upstream until `writable`. */
  congested(): void;
}

/** How the body that follows a head is framed. */
export const AnswerBody = { None: 0, Length: 1, Stream: 2, Whole: 3 } as const;
export type AnswerBody = (typeof AnswerBody)[keyof typeof AnswerBody];

const statusLines: (string | undefined)[] = [];

/** `200 OK`; uWebSockets.js wants both together. */
function statusLine(status: number): string {
  return (statusLines[status] ??= `${status} ${STATUS_CODES[status] ?? ''}`);
}

export class Downstream {
  readonly #owner: DownstreamOwner;
  readonly #body: RequestBody;
  #response: HttpResponse | null = null;
  /** Still within uWebSockets.js's callback for this request: corked, and the connection's next bytes are not parsed yet. */
  inCallback = false;

  status = 0;
  /** First field and all further ones as one text: one crossing instead of one per field. */
  #firstName = '';
  #fields: string | Buffer = '';
  #kind: AnswerBody = AnswerBody.None;
  /** Declared length, or -1. */
  #length = -1;
  #whole: string | Buffer = '';
  #close = false;
  #closesItself = false;
  #headReady = false;
  #headSent = false;
  #ended = false;
  /** Chunks that the socket did not take yet, and how much of the first one it did. */
  #waiting: Buffer[] = [];
  #waitingFrom = 0;
  #listening = false;
  bytesOut = 0;
  /** Own deadline's base: when bytes last moved. */
  moved = false;

  readonly #write = (): void => this.#flush();
  readonly #onWritable = (offset: number): boolean => this.#drained(offset);

  constructor(owner: DownstreamOwner, body: RequestBody) {
    this.#owner = owner;
    this.#body = body;
  }

  /** `closesItself`: uWebSockets.js heard the client ask for it, and writes no field for it. */
  begin(response: HttpResponse, closesItself: boolean): void {
    this.#response = response;
    this.#closesItself = closesItself;
    this.inCallback = true;
    this.status = 0;
    this.#headReady = this.#headSent = this.#ended = this.#close = this.#listening = false;
    this.#length = -1;
    this.#waitingFrom = 0;
    this.bytesOut = 0;
    this.moved = false;
  }

  /** Lets go: the response is answered or gone. */
  clear(): void {
    this.#response = null;
    this.#fields = '';
    this.#whole = '';
    if (this.#waiting.length > 0) this.#waiting = [];
  }

  get headSent(): boolean {
    return this.#headSent;
  }

  /** Bytes wait for the client. */
  get blocked(): boolean {
    return this.#waiting.length > 0;
  }

  /**
   * Takes a head. Nothing is written yet: uWebSockets.js ends a head only when it has bytes of the body, so that a head alone would not be one.
   * `length`: declared length, -1 when there is none. `close`: the connection is not used again, and the head says so.
   */
  head(
    status: number,
    firstName: string,
    fields: string | Buffer,
    kind: AnswerBody,
    length: number,
    close: boolean,
  ): void {
    this.status = status;
    this.#firstName = firstName;
    this.#fields = fields;
    this.#kind = kind;
    this.#length = length;
    this.#close = close;
    this.#headReady = true;
    this.#ended = false;
    if (this.#waiting.length > 0) this.#waiting = [];
    this.#waitingFrom = 0;
  }

  /** The whole body of our own answer, to leave with the next `send`. */
  whole(body: string | Buffer): void {
    this.#whole = body;
    this.#ended = true;
  }

  data(chunk: Buffer): void {
    if (this.#response === null) return;
    this.#waiting.push(chunk);
    // What did not fit before is written by `#onWritable`; it asks for the rest by itself.
    if (!this.#listening) this.send();
  }

  end(): void {
    this.#ended = true;
    if (!this.#listening) this.send();
  }

  /** Writes what is there, corked: one system call, one TLS record. */
  send(): void {
    const response = this.#response;
    if (response === null || !this.#headReady) return;
    if (this.inCallback) this.#flush();
    else response.cork(this.#write);
  }

  /** Cuts the connection: what was begun cannot be finished. uWebSockets.js calls the abort handler from within. */
  cut(): void {
    this.#response?.close();
  }

  #flush(): void {
    const response = this.#response;
    if (response === null) return;
    if (!this.#headSent) {
      this.#headSent = true;
      response.writeStatus(statusLine(this.status));
      response.writeHeader(this.#firstName, this.#fields);
      const only = this.#onlyChunk();
      const saysSo = (this.#kind === AnswerBody.Whole || only !== null) && !this.#closesItself;
      if (this.#close && !saysSo) response.writeHeader('connection', 'close');
      if (only !== null) {
        this.bytesOut = only.length;
        this.#body.answerEnds();
        response.end(only, true);
        this.#over();
        return;
      }
      switch (this.#kind) {
        case AnswerBody.Whole:
          this.bytesOut = this.#whole.length;
          this.#body.answerEnds();
          response.end(this.#whole, this.#close);
          this.#over();
          return;
        case AnswerBody.None:
          if (this.#close) this.#body.endConnection();
          this.#body.answerEnds();
          // With a length as its argument, the response would never count as over: the length stands among the fields.
          response.endWithoutBody();
          this.#over();
          return;
        case AnswerBody.Length:
        case AnswerBody.Stream:
          if (this.#close) this.#body.endConnection();
          break;
      }
    }
    if (this.#kind === AnswerBody.Length) this.#flushLength(response);
    else this.#flushStream(response);
  }

  /** The whole body of an answer that closes its connection, when it is here already: then uWebSockets.js can close by itself, at once. */
  #onlyChunk(): Buffer | null {
    if (!this.#close || this.#kind !== AnswerBody.Length || this.#waiting.length !== 1) return null;
    const first = this.#waiting[0] as Buffer;
    return first.length === this.#length ? first : null;
  }

  #flushLength(response: HttpResponse): void {
    if (this.#length === 0) {
      this.#body.answerEnds();
      response.end('');
      this.#over();
      return;
    }
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0] as Buffer;
      const chunk = this.#waitingFrom === 0 ? first : first.subarray(this.#waitingFrom);
      const before = this.bytesOut;
      if (before + chunk.length >= this.#length) this.#body.answerEnds();
      const [taken, over] = response.tryEnd(chunk, this.#length);
      if (over) {
        this.bytesOut = this.#length;
        this.#over();
        return;
      }
      this.moved = true;
      if (!taken) {
        this.bytesOut = response.getWriteOffset();
        this.#waitingFrom += this.bytesOut - before;
        this.#listen(response);
        return;
      }
      this.bytesOut += chunk.length;
      this.#waiting.shift();
      this.#waitingFrom = 0;
    }
  }

  #flushStream(response: HttpResponse): void {
    while (this.#waiting.length > 0) {
      const chunk = this.#waiting.shift() as Buffer;
      this.bytesOut += chunk.length;
      this.moved = true;
      // It is always taken; false says that it waits in uWebSockets.js.
      if (!response.write(chunk)) {
        this.#listen(response);
        return;
      }
    }
    if (this.#ended) {
      this.#body.answerEnds();
      response.end();
      this.#over();
    }
  }

  #listen(response: HttpResponse): void {
    if (this.#listening) return;
    this.#listening = true;
    response.onWritable(this.#onWritable);
    this.#owner.congested();
  }

  #drained(offset: number): boolean {
    const response = this.#response;
    if (response === null) return true;
    this.#listening = false;
    this.moved = true;
    if (this.#kind === AnswerBody.Length) {
      // `offset` counts body bytes; what was taken meanwhile left the first chunk.
      this.#waitingFrom += offset - this.bytesOut;
      this.bytesOut = offset;
      const first = this.#waiting[0];
      if (first !== undefined && this.#waitingFrom >= first.length) {
        this.#waiting.shift();
        this.#waitingFrom = 0;
      }
    }
    this.#flush();
    if (this.#listening) return false;
    if (this.#response !== null) this.#owner.writable();
    return true;
  }

  #over(): void {
    this.#response = null;
    this.#owner.answered();
  }
}
