/** An upstream's answer that a stage looks at before any of it goes out: its head, and what has come of its body. One per wire, made when first needed. */
import { INSPECT_BYTES_MAX } from '../bounds.ts';
import { neverHeld } from '../passing.ts';
import type { UpstreamAnswer } from '../transport.ts';
import { AnswerState, BodyKind } from '../transport.ts';
import type { InspectionStore } from './body.ts';

export type AnswerHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** What a held answer asks of its wire. */
export interface HeldOwner {
  /** A stage says Wait: the upstream is read on. */
  answerAwaited(): void;
  /** What it waits for is here. */
  answerReady(): void;
}

const NOTHING = Buffer.alloc(0);

export class HeldAnswer implements UpstreamAnswer {
  readonly #owner: HeldOwner;
  readonly #store: InspectionStore;
  readonly #names: string[] = [];
  readonly #values: string[] = [];
  #chunks: Buffer[] = [];
  #held = 0;
  #accounted = 0;
  #joined: Buffer | null = null;
  /** Bytes that a stage waits for; -1: none does. */
  #wanted = -1;
  #shown = 0;
  #noRoom = false;
  status = 0;
  /** undici does not tell whether it was HTTP/1.0. */
  readonly protocol = 'HTTP/1.1';
  headers: AnswerHeaders = {};
  bodyKind: BodyKind = BodyKind.None;
  bodyLength = 0;
  fieldBytes = 0;
  /** The last byte has come. */
  ended = false;

  constructor(owner: HeldOwner, store: InspectionStore) {
    this.#owner = owner;
    this.#store = store;
  }

  /** `length`: declared, or -1. */
  begin(status: number, headers: AnswerHeaders, bodiless: boolean, length: number): void {
    this.clear();
    this.status = status;
    this.headers = headers;
    this.bodyKind = bodiless ? BodyKind.None : length >= 0 ? BodyKind.Length : BodyKind.Chunked;
    this.bodyLength = bodiless || length < 0 ? 0 : length;
    for (const name in headers) {
      const value = headers[name];
      for (const one of typeof value === 'string' ? [value] : (value ?? [])) {
        this.#names.push(name.toLowerCase());
        this.#values.push(one);
        this.fieldBytes += name.length + one.length;
      }
    }
  }

  get headerCount(): number {
    return this.#names.length;
  }
  headerName(index: number): string {
    return this.#names[index] ?? '';
  }
  headerValue(index: number): string {
    return this.#values[index] ?? '';
  }
  header(name: string): string | undefined {
    const index = this.#names.indexOf(name);
    return index < 0 ? undefined : this.#values[index];
  }
  repeats(name: string): boolean {
    return this.#names.indexOf(name) !== this.#names.lastIndexOf(name);
  }

  inspectBody(limit: number, part = false): AnswerState {
    if (this.bodyKind === BodyKind.None) return AnswerState.Complete;
    if (neverHeld(this, part)) return AnswerState.Passes;
    const most = Math.min(limit, INSPECT_BYTES_MAX);
    this.#shown = most;
    if (this.#held > most) return AnswerState.Cut;
    if (this.ended) return AnswerState.Complete;
    if (this.#noRoom) return AnswerState.NoRoom;
    this.#wanted = most;
    this.#owner.answerAwaited();
    return AnswerState.Pending;
  }

  get body(): Uint8Array {
    return this.#whole().subarray(0, this.#shown);
  }

  /** True while a stage waits for bytes. */
  get awaited(): boolean {
    return this.#wanted >= 0;
  }

  /** A part of the body. What undici had read already is kept also when nobody waits. */
  take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#joined = null;
    this.#held += chunk.length;
    const room = this.#store.take(chunk.length);
    if (room) this.#accounted += chunk.length;
    else this.#noRoom = true;
    if (this.#wanted >= 0 && (this.#held > this.#wanted || this.#noRoom)) this.#ready();
  }

  end(): void {
    this.ended = true;
    if (this.#wanted >= 0) this.#ready();
  }

  /** Takes out what is held, in order. */
  release(each: (chunk: Buffer) => void): void {
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#giveBack();
    for (const chunk of chunks) each(chunk);
  }

  clear(): void {
    this.#giveBack();
    if (this.#chunks.length > 0) this.#chunks = [];
    this.#names.length = this.#values.length = 0;
    this.#shown = 0;
    this.#noRoom = false;
    this.headers = {};
    this.fieldBytes = 0;
    this.ended = false;
  }

  #ready(): void {
    this.#wanted = -1;
    this.#owner.answerReady();
  }

  #giveBack(): void {
    this.#store.give(this.#accounted);
    this.#accounted = 0;
    this.#held = 0;
    this.#joined = null;
    this.#wanted = -1;
  }

  #whole(): Buffer {
    if (this.#joined === null) {
      const [only] = this.#chunks;
      this.#joined = this.#chunks.length === 1 && only !== undefined ? only : Buffer.concat(this.#chunks);
    }
    return this.#held === 0 ? NOTHING : this.#joined;
  }
}
