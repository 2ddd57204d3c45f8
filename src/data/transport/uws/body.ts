/**
 * A request's body between the client's socket and whoever wants it: nobody yet (queued up to a bound, then the client is not read), a stage that
 * inspects it, or an attempt that streams it. One per wire, used again.
 */
import { Readable } from 'node:stream';
import type { HttpResponse } from 'uWebSockets.js';
import { BodyState } from '../transport.ts';
import { INSPECT_BYTES_MAX } from '../bounds.ts';
import { BODY_QUEUE_BYTES_MAX, DISCARD_BYTES_MAX, INSPECT_LANE_BYTES_MAX } from './bounds.ts';

const NOTHING = Buffer.alloc(0);

/** Bytes that all inspected bodies of a lane hold together. */
export class InspectionStore {
  #held = 0;

  /** Takes room; false when there is none. */
  take(bytes: number): boolean {
    if (this.#held + bytes > INSPECT_LANE_BYTES_MAX) return false;
    this.#held += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#held -= bytes;
  }

  get held(): number {
    return this.#held;
  }
}

/** What a body tells the wire that owns it. */
export interface BodyOwner {
  /** What `inspect` or `collect` asked for is here. */
  bodyReady(): void;
  /** More than `limit` bytes have come. */
  bodyTooLarge(): void;
  /** The lane has no room to hold more of it. */
  bodyNoRoom(): void;
  /** Bytes went to the attempt. */
  bodyMoved(): void;
}

export class RequestBody {
  readonly #owner: BodyOwner;
  readonly #store: InspectionStore;
  #response: HttpResponse | null = null;
  #chunks: Buffer[] = [];
  #declared = 0;
  #queued = 0;
  #accounted = 0;
  #joined: Buffer | null = null;
  /** Bytes that came from the client. */
  received = 0;
  /** The last byte has come (or there is no body). */
  ended = true;
  #paused = false;
  /** Bytes that a stage waits for; -1: none does. */
  #wanted = -1;
  #shown = 0;
  #collecting = false;
  #limit = Number.MAX_SAFE_INTEGER;
  #stream: BodyStream | null = null;
  #dropping = false;
  #lastOnConnection = false;

  constructor(owner: BodyOwner, store: InspectionStore) {
    this.#owner = owner;
    this.#store = store;
  }

  /** A message begins. `declared`: its length, 0 without a body, infinite when chunked. */
  begin(response: HttpResponse, declared: number): void {
    this.#response = response;
    this.#declared = declared;
    this.ended = declared === 0;
  }

  /** Bytes that are still to come; infinite when the length is not declared. */
  get rest(): number {
    return this.ended ? 0 : this.#declared - this.received;
  }

  /** Lets go of everything. */
  clear(): void {
    this.#response = null;
    if (this.#chunks.length > 0) this.#chunks = [];
    this.#store.give(this.#accounted);
    this.#accounted = 0;
    this.#queued = 0;
    this.#joined = null;
    this.received = 0;
    this.ended = true;
    this.#paused = false;
    this.#wanted = -1;
    this.#shown = 0;
    this.#collecting = false;
    this.#limit = Number.MAX_SAFE_INTEGER;
    this.#dropping = false;
    this.#lastOnConnection = false;
    this.#stream?.destroy();
    this.#stream = null;
  }

  /** True while a stage or a hand-over waits for bytes: a deadline runs. */
  get awaited(): boolean {
    return this.#wanted >= 0 || this.#collecting;
  }

  /** A chunk from uWebSockets.js; its memory is taken away when this returns. */
  take(chunk: ArrayBuffer, last: boolean): void {
    const bytes = chunk.byteLength;
    this.received += bytes;
    if (last) {
      this.ended = true;
      if (this.#lastOnConnection) this.pause();
    }
    if (this.#dropping) return;
    if (this.received > this.#limit) {
      this.drop();
      this.#owner.bodyTooLarge();
      return;
    }
    if (bytes > 0) {
      const copy = Buffer.from(new Uint8Array(chunk));
      if (this.#stream !== null && this.#queued === 0 && this.#stream.hungry) {
        this.#stream.feed(copy);
        this.#owner.bodyMoved();
      } else if (!this.#queue(copy)) return;
    }
    if (this.#stream !== null) {
      if (this.ended && this.#queued === 0) this.#stream.feed(null);
    } else if (this.awaited && this.#satisfied()) {
      this.#wanted = -1;
      this.#collecting = false;
      this.#owner.bodyReady();
    }
    if (!this.ended && !this.awaited && this.#queued >= BODY_QUEUE_BYTES_MAX) this.pause();
  }

  /** Asks for the first `limit` bytes. */
  inspect(limit: number): BodyState {
    this.#shown = Math.min(limit, INSPECT_BYTES_MAX);
    if (this.#queued > this.#shown) return BodyState.Cut;
    if (this.ended) return BodyState.Complete;
    this.#wanted = this.#shown;
    this.#resume();
    return BodyState.Pending;
  }

  /** What `inspect` found: at most as many bytes as were asked for. */
  get shown(): Buffer {
    const bytes = this.bytes();
    return bytes.length > this.#shown ? bytes.subarray(0, this.#shown) : bytes;
  }

  /** Asks for all of it; true when it is here, else the owner hears `bodyReady`. */
  collect(): boolean {
    if (this.ended) return true;
    this.#collecting = true;
    this.#resume();
    return false;
  }

  /** What is held of the body, in one piece. */
  bytes(): Buffer {
    if (this.#chunks.length === 0) return NOTHING;
    if (this.#joined === null) {
      this.#joined =
        this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks, this.#queued);
      this.#chunks = [this.#joined];
    }
    return this.#joined;
  }

  /** From here on no more than so many bytes may come in all. */
  set limit(bytes: number) {
    this.#limit = bytes;
  }

  /** Streams what is held and what still comes. The stream before it, if any, had taken nothing. */
  stream(): Readable {
    this.#stream?.destroy();
    this.#stream = new BodyStream(this);
    return this.#stream;
  }

  /** True when an attempt has taken bytes that are not here any more. */
  get consumed(): boolean {
    return this.#stream !== null && this.#stream.taken;
  }

  /** True when an attempt wants more and the client has not sent it. */
  get starved(): boolean {
    return !this.ended && this.#stream !== null && this.#stream.hungry && this.#queued === 0;
  }

  /** The stream asks for more. */
  pull(stream: BodyStream): void {
    if (stream !== this.#stream) return;
    let moved = false;
    while (this.#queued > 0 && stream.hungry) {
      const chunk = this.#chunks.shift();
      if (chunk === undefined) break;
      this.#joined = null;
      this.#queued -= chunk.length;
      moved = true;
      stream.feed(chunk);
    }
    if (this.#queued === 0) {
      this.#store.give(this.#accounted);
      this.#accounted = 0;
      if (this.ended) stream.feed(null);
      else this.#resume();
    }
    if (moved) this.#owner.bodyMoved();
  }

  /** Nobody will want the rest. */
  drop(): void {
    this.#dropping = true;
    this.#wanted = -1;
    this.#collecting = false;
  }

  /** Nothing after this body may be parsed on its connection: once the body is complete, the socket is left unread and the idle timer closes it. */
  endConnection(): void {
    this.#lastOnConnection = true;
    if (this.ended) this.pause();
  }

  /**
   * The answer is about to end. What is left of the body is read and dropped when it is short, so that the connection can be used again; otherwise the
   * socket is left unread.
   */
  answerEnds(): void {
    this.drop();
    if (this.#lastOnConnection || this.rest > DISCARD_BYTES_MAX) this.pause();
    else this.#resume();
  }

  /** Reads the client no further. */
  pause(): void {
    if (this.#paused || this.#response === null) return;
    this.#paused = true;
    this.#response.pause();
  }

  #resume(): void {
    if (!this.#paused || this.#response === null || (this.ended && this.#lastOnConnection)) return;
    this.#paused = false;
    this.#response.resume();
  }

  #satisfied(): boolean {
    return this.ended || (this.#wanted >= 0 && this.#queued > this.#wanted);
  }

  #queue(copy: Buffer): boolean {
    if (this.awaited || this.#accounted > 0) {
      const owed = this.#queued + copy.length - this.#accounted;
      if (!this.#store.take(owed)) {
        this.drop();
        this.#owner.bodyNoRoom();
        return false;
      }
      this.#accounted += owed;
    }
    this.#chunks.push(copy);
    this.#joined = null;
    this.#queued += copy.length;
    return true;
  }
}

/** The body as an attempt reads it. */
export class BodyStream extends Readable {
  readonly #body: RequestBody;
  /** It asked for bytes and has room. */
  hungry = false;
  /** It was given bytes. */
  taken = false;

  constructor(body: RequestBody) {
    super({ highWaterMark: BODY_QUEUE_BYTES_MAX });
    this.#body = body;
    // undici destroys it with an error when the attempt fails; the attempt has been told already.
    this.on('error', told);
  }

  feed(chunk: Buffer | null): void {
    if (this.destroyed) return;
    if (chunk !== null) this.taken = true;
    this.hungry = this.push(chunk) && chunk !== null;
  }

  override _read(): void {
    this.hungry = true;
    this.#body.pull(this);
  }
}

function told(): void {
  // See the constructor of BodyStream.
}
