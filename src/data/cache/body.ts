/**
 * A stored body: in the transport's own memory where it keeps bodies, so that a hit copies nothing. Several stored answers may have the same one (a 304 makes another head for it), and
 * whoever works with an answer outlives its place in the store: it is let go of when the last of them does.
 */
import type { KeptBody, UpstreamAnswer, Wire } from '../transport/transport.ts';
import { BodyKind } from '../transport/transport.ts';

const NOTHING = new Uint8Array(0);

export class StoredBody {
  /** Bytes. */
  readonly length: number;
  #bytes: Uint8Array | null;
  #kept: KeptBody | null;
  #holders = 1;

  private constructor(length: number, bytes: Uint8Array | null, kept: KeptBody | null) {
    this.length = length;
    this.#bytes = bytes;
    this.#kept = kept;
  }

  /** These bytes, which nobody changes. As all that is made here it is held by who made it. */
  static of(bytes: Uint8Array): StoredBody {
    return new StoredBody(bytes.length, bytes, null);
  }

  /** What was collected of an answer. */
  static ofAnswer(answer: UpstreamAnswer): StoredBody {
    if (answer.bodyKind === BodyKind.None) return StoredBody.of(NOTHING);
    const kept = answer.keepBody?.() ?? null;
    return kept === null ? StoredBody.of(Uint8Array.from(answer.body)) : new StoredBody(kept.length, null, kept);
  }

  hold(): void {
    this.#holders++;
  }

  /** Once for each `hold`, and once for its making. */
  letGo(): void {
    if (--this.#holders > 0) return;
    this.#kept?.letGo();
    this.#kept = null;
    this.#bytes = null;
  }

  /** Answers with the bytes `from` up to `to`. False when everybody has let go of it. */
  answer(wire: Wire, status: number, contentType: string, from: number, to: number): boolean {
    const bytes = this.#bytes;
    // What was fetched in the background came without a wire: it moves at its first use.
    if (bytes !== null && bytes.length > 0) this.#move(wire, bytes);
    if (this.#kept !== null) return wire.answerKept?.(status, contentType, this.#kept, from, to) ?? false;
    if (bytes === null) return false;
    wire.answer(status, contentType, to - from === bytes.length ? bytes : bytes.subarray(from, to));
    return true;
  }

  #move(wire: Wire, bytes: Uint8Array): void {
    const kept = wire.keepBody?.(bytes) ?? null;
    if (kept === null) return;
    this.#kept = kept;
    this.#bytes = null;
  }
}
