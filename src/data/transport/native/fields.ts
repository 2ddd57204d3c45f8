/** A table of header fields as it lies in a slot's memory: the request's, or the upstream's answer's. Nothing is made of it that nobody asks for, and nothing twice. */
import { KNOWN_NAMES, SLOT_BYTES } from './layout.ts';
import { KNOWN_ID } from './names.ts';
import type { Texts } from './texts.ts';

export const WORD_BYTES = 4;

/** Memory of the slots of one chunk, as words and as bytes. */
export interface Chunk {
  readonly words: Int32Array;
  readonly bytes: Buffer;
  readonly view: DataView;
  /** Its number, as the WAF knows it (`wafHeadMemory`). */
  readonly number: number;
  /** The lane's. */
  readonly texts: Texts;
}

/** Where a table is: words from the slot's first one on, but for `head`. */
export interface FieldPlaces {
  readonly count: number;
  readonly bytes: number;
  readonly repeated: number;
  readonly known: number;
  readonly fields: number;
  /** Bytes from the slot's first one on. */
  readonly head: number;
}

export class NativeFields {
  protected readonly words: Int32Array;
  protected readonly bytes: Buffer;
  protected readonly texts: Texts;
  /** Index of the slot's first word, and of its first byte, in the chunk. */
  protected readonly base: number;
  protected readonly from: number;
  readonly #places: FieldPlaces;
  readonly #table: number;
  readonly #heads: number;
  readonly #names: (string | undefined)[] = [];
  readonly #values: (string | undefined)[] = [];
  /** Places from which on no text was made. */
  #namesMade = 0;
  #valuesMade = 0;

  /** `place`: of the slot in its chunk. */
  constructor(chunk: Chunk, place: number, places: FieldPlaces) {
    this.words = chunk.words;
    this.bytes = chunk.bytes;
    this.texts = chunk.texts;
    this.from = place * SLOT_BYTES;
    this.base = this.from / WORD_BYTES;
    this.#places = places;
    this.#table = this.base + places.fields;
    this.#heads = this.from + places.head;
  }

  get headerCount(): number {
    return this.word(this.#places.count);
  }
  get fieldBytes(): number {
    return this.word(this.#places.bytes);
  }

  headerName(index: number): string {
    if (index < 0 || index >= this.headerCount) return '';
    const packed = this.words[this.#table + 2 * index + 1] as number;
    const known = (packed >>> 24) & 0x1f;
    if (known !== 0) return KNOWN_NAMES[known - 1] ?? '';
    const made = this.#names[index];
    if (made !== undefined) return made;
    const at = this.#heads + (packed & 0xffff);
    const name = this.bytes.latin1Slice(at, at + ((packed >>> 16) & 0xff));
    this.#names[index] = name;
    if (index >= this.#namesMade) this.#namesMade = index + 1;
    return name;
  }

  headerValue(index: number): string {
    if (index < 0 || index >= this.headerCount) return '';
    const made = this.#values[index];
    if (made !== undefined) return made;
    const packed = this.words[this.#table + 2 * index] as number;
    const at = this.#heads + (packed & 0xffff);
    const value = this.texts.of(this.bytes, at, packed >>> 16);
    this.#values[index] = value;
    if (index >= this.#valuesMade) this.#valuesMade = index + 1;
    return value;
  }

  header(name: string): string | undefined {
    const id = KNOWN_ID.get(name);
    const index = id === undefined ? this.#find(name, 0) : this.word(this.#places.known + id);
    return index < 0 ? undefined : this.headerValue(index);
  }

  repeats(name: string): boolean {
    const id = KNOWN_ID.get(name);
    if (id !== undefined) return ((this.word(this.#places.repeated) >>> id) & 1) !== 0;
    const first = this.#find(name, 0);
    return first >= 0 && this.#find(name, first + 1) >= 0;
  }

  /** True when a field's name is another one than this lower-case name by underscores for hyphens alone. Compares bytes: no text is made. */
  hasAlias(name: string): boolean {
    const { words, bytes } = this;
    const count = this.headerCount;
    fields: for (let i = 0; i < count; i++) {
      const packed = words[this.#table + 2 * i + 1] as number;
      if (((packed >>> 16) & 0xff) !== name.length) continue;
      const at = this.#heads + (packed & 0xffff);
      let differs = false;
      for (let j = 0; j < name.length; j++) {
        const here = bytes[at + j] as number;
        const there = name.charCodeAt(j);
        if (here === there) continue;
        if (!isDash(here) || !isDash(there)) continue fields;
        differs = true;
      }
      if (differs) return true;
    }
    return false;
  }

  /** Lets go of every text. */
  protected clearFields(): void {
    // Not by their lengths, which would be given up and grown again for every request.
    const names = this.#names;
    for (let i = 0; i < this.#namesMade; i++) names[i] = undefined;
    const values = this.#values;
    for (let i = 0; i < this.#valuesMade; i++) values[i] = undefined;
    this.#namesMade = this.#valuesMade = 0;
  }

  protected word(word: number): number {
    return this.words[this.base + word] as number;
  }

  /** Place of the first field of an unknown name from `from` on, or -1. Compares bytes: no text is made. */
  #find(name: string, from: number): number {
    const { words, bytes } = this;
    const count = this.headerCount;
    const first = name.charCodeAt(0);
    fields: for (let i = from; i < count; i++) {
      const packed = words[this.#table + 2 * i + 1] as number;
      if (((packed >>> 16) & 0xff) !== name.length) continue;
      const at = this.#heads + (packed & 0xffff);
      if (bytes[at] !== first) continue;
      for (let j = 1; j < name.length; j++) if (bytes[at + j] !== name.charCodeAt(j)) continue fields;
      return i;
    }
    return -1;
  }
}

/** A hyphen or an underscore. */
function isDash(char: number): boolean {
  return char === 0x2d || char === 0x5f;
}
