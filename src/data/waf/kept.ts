/**
 * What the rules need of requests until their answers are here: some hundred bytes each, kept in blocks that are used again. All of a lane's together are bounded; what finds no room
 * goes by the route's word for exhausted budgets.
 */

/** Bytes of one block; a longer one is made for its request and given up with it. */
export const KEPT_BLOCK_BYTES = 1_024;
/** Bytes of all that a lane keeps. */
export const KEPT_LANE_BYTES_MAX = 32 * 1024 * 1024;
/** Blocks that lie ready. */
const FREE_MAX = 4_096;

/** Of one request. */
export interface KeptRequest {
  /** What `wafKeep` wrote stands in the first `length` bytes. */
  readonly bytes: Buffer;
  readonly length: number;
  /** What the rules want to see of the answer (`WAF_WANTED_HEAD`, `WAF_WANTED_BODY`). */
  readonly wanted: number;
  /** Gives the memory back; once. */
  release(): void;
}

export class KeptRequests {
  readonly #free: Block[] = [];
  #bytes = 0;

  /** Bytes that are taken. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps a copy of the first `length` bytes; null when there is no room. */
  keep(from: Uint8Array, length: number, wanted: number): KeptRequest | null {
    const size = Math.max(length, KEPT_BLOCK_BYTES);
    if (this.#bytes + size > KEPT_LANE_BYTES_MAX) return null;
    this.#bytes += size;
    const ready = size === KEPT_BLOCK_BYTES ? this.#free.pop() : undefined;
    const block = ready ?? new Block(this, size);
    for (let i = 0; i < length; i++) block.bytes[i] = from[i] as number;
    block.length = length;
    block.wanted = wanted;
    return block;
  }

  /** Of a block. */
  giveBack(block: Block): void {
    this.#bytes -= block.bytes.length;
    if (block.bytes.length === KEPT_BLOCK_BYTES && this.#free.length < FREE_MAX) this.#free.push(block);
  }
}

class Block implements KeptRequest {
  readonly bytes: Buffer;
  length = 0;
  wanted = 0;
  readonly #owner: KeptRequests;

  constructor(owner: KeptRequests, size: number) {
    this.#owner = owner;
    this.bytes = Buffer.allocUnsafeSlow(size);
  }

  release(): void {
    this.#owner.giveBack(this);
  }
}
