/**
 * Countries by address out of a MaxMind DB file (MMDB 2.0, maxmind.github.io/MaxMind-DB): the search tree, and of a record `country.iso_code` or, where that is absent,
 * `registered_country.iso_code`. A file may be anything: every read is within it, every walk and every nesting is bounded, and what is malformed is an unknown country.
 */

/** Stands before the metadata, in the last 128 KiB: `\xab\xcd\xefMaxMind.com`. */
const MARKER = [0xab, 0xcd, 0xef, 0x4d, 0x61, 0x78, 0x4d, 0x69, 0x6e, 0x64, 0x2e, 0x63, 0x6f, 0x6d];
const METADATA_BYTES_MAX = 128 * 1024;
/** Zero bytes between the search tree and the data. */
const SEPARATOR_BYTES = 16;
/** Members of a map or list that are passed on the way to one. */
const MEMBERS_MAX = 1_024;
/** Maps and lists within each other, and pointers to pointers. */
const NESTING_MAX = 16;
/** Values that one look-up passes. */
const STEPS_MAX = 16_384;
/** Places in the data whose country is remembered; a file has one for each country and a little more. */
const KNOWN_MAX = 4_096;

const Type = {
  Extended: 0,
  Pointer: 1,
  Text: 2,
  Double: 3,
  Bytes: 4,
  Map: 7,
  List: 11,
  Boolean: 14,
  Float: 15,
} as const;

/** The file is no country database that can be read; the message says why. */
export class MmdbError extends Error {
  override readonly name = 'MmdbError';
}

export class CountryDatabase {
  /** Epoch seconds of its making. */
  readonly builtAt: number;
  /** Such as `GeoLite2-Country`. */
  readonly type: string;
  readonly #bytes: Uint8Array;
  readonly #nodes: number;
  readonly #recordBits: number;
  readonly #ipVersion: number;
  readonly #data: number;
  /** Node where addresses of IPv4 begin. */
  readonly #ipv4: number;
  readonly #known = new Map<number, string>();
  // Of the value read last.
  #kind = 0;
  #size = 0;
  #content = 0;
  #steps = 0;

  /** Throws MmdbError. The bytes must not change. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    const metadata = this.#metadata();
    const number = (name: string): number => {
      const at = this.#member(metadata, name, metadata);
      return at < 0 ? -1 : this.#number(at, metadata);
    };
    this.#nodes = number('node_count');
    this.#recordBits = number('record_size');
    this.#ipVersion = number('ip_version');
    this.builtAt = Math.max(0, number('build_epoch'));
    const type = this.#member(metadata, 'database_type', metadata);
    this.type = type < 0 ? '' : this.#text(type, metadata);
    if (![24, 28, 32].includes(this.#recordBits)) throw new MmdbError(`records of ${this.#recordBits} bits`);
    if (this.#ipVersion !== 4 && this.#ipVersion !== 6) throw new MmdbError(`IP version ${this.#ipVersion}`);
    const treeBytes = (this.#nodes * this.#recordBits) / 4;
    if (this.#nodes < 1 || treeBytes + SEPARATOR_BYTES > bytes.length)
      throw new MmdbError(`a search tree of ${this.#nodes} nodes in ${bytes.length} bytes`);
    this.#data = treeBytes + SEPARATOR_BYTES;
    let node = 0;
    if (this.#ipVersion === 6) for (let i = 0; i < 96 && node < this.#nodes; i++) node = this.#record(node, 0);
    this.#ipv4 = node;
  }

  /** ISO 3166-1 alpha-2 code of the country of an address of 4 or 16 bytes; empty when it is not known. */
  country(address: Uint8Array): string {
    const four = address.length === 4;
    if (!four && this.#ipVersion === 4) return '';
    let node = four ? this.#ipv4 : 0;
    for (let i = 0; i < address.length * 8 && node < this.#nodes; i++)
      node = this.#record(node, ((address[i >> 3] as number) >> (7 - (i & 7))) & 1);
    if (node <= this.#nodes) return '';
    const at = node - this.#nodes - SEPARATOR_BYTES + this.#data;
    const known = this.#known.get(at);
    if (known !== undefined) return known;
    const country = this.#countryAt(at);
    if (this.#known.size < KNOWN_MAX) this.#known.set(at, country);
    return country;
  }

  #countryAt(at: number): string {
    for (const name of ['country', 'registered_country']) {
      this.#steps = 0;
      const country = this.#member(at, name, this.#data);
      const code = country < 0 ? -1 : this.#member(country, 'iso_code', this.#data);
      const text = code < 0 ? '' : this.#text(code, this.#data);
      if (/^[A-Z]{2}$/.test(text)) return text;
    }
    return '';
  }

  /** Where the metadata begins. */
  #metadata(): number {
    const bytes = this.#bytes;
    const last = Math.max(0, bytes.length - METADATA_BYTES_MAX);
    for (let at = bytes.length - MARKER.length; at >= last; at--)
      if (MARKER.every((byte, i) => bytes[at + i] === byte)) return at + MARKER.length;
    throw new MmdbError('no MaxMind DB: the marker of its metadata is not there');
  }

  /** Left or right record of a node. */
  #record(node: number, right: number): number {
    const b = this.#bytes;
    const at = (node * this.#recordBits) / 4;
    if (this.#recordBits === 28) {
      const middle = b[at + 3] as number;
      const from = at + (right === 0 ? 0 : 4);
      const high = right === 0 ? middle >> 4 : middle & 0x0f;
      return (
        high * 0x100_0000 + (b[from] as number) * 0x1_0000 + (b[from + 1] as number) * 0x100 + (b[from + 2] as number)
      );
    }
    const width = this.#recordBits / 8;
    let value = 0;
    for (let i = 0; i < width; i++) value = value * 0x100 + (b[at + right * width + i] as number);
    return value;
  }

  /** Reads the head of a value, through pointers; false when it is not within the file. `base`: where pointers count from. */
  #head(from: number, base: number): boolean {
    let at = from;
    for (let i = 0; i < NESTING_MAX; i++) {
      const next = this.#control(at);
      if (next < 0) return false;
      if (this.#kind !== Type.Pointer) return true;
      at = base + this.#size;
    }
    return false;
  }

  /** One control byte with what belongs to it. Of a pointer `size` is where it leads; gives the place behind, or -1. */
  #control(from: number): number {
    const b = this.#bytes;
    if (from < 0 || from >= b.length || ++this.#steps > STEPS_MAX) return -1;
    let at = from;
    const control = b[at++] as number;
    let kind = control >> 5;
    let size = control & 0x1f;
    if (kind === Type.Pointer) {
      const width = ((control >> 3) & 3) + 1;
      if (at + width > b.length) return -1;
      let value = width === 4 ? 0 : control & 7;
      for (let i = 0; i < width; i++) value = value * 0x100 + (b[at++] as number);
      this.#kind = kind;
      this.#size = value + (width === 2 ? 2_048 : width === 3 ? 526_336 : 0);
      this.#content = at;
      return at;
    }
    if (kind === Type.Extended) {
      if (at >= b.length) return -1;
      kind = (b[at++] as number) + 7;
    }
    if (size >= 29) {
      const width = size - 28;
      if (at + width > b.length) return -1;
      let value = 0;
      for (let i = 0; i < width; i++) value = value * 0x100 + (b[at++] as number);
      size = value + (width === 1 ? 29 : width === 2 ? 285 : 65_821);
    }
    this.#kind = kind;
    this.#size = size;
    this.#content = at;
    return at;
  }

  /** Where the value of a map's member begins; -1: there is none. */
  #member(map: number, name: string, base: number): number {
    if (!this.#head(map, base) || this.#kind !== Type.Map || this.#size > MEMBERS_MAX) return -1;
    const members = this.#size;
    let at = this.#content;
    for (let i = 0; i < members; i++) {
      const value = this.#behind(at, 0);
      if (value < 0) return -1;
      if (this.#text(at, base) === name) return value;
      at = this.#behind(value, 0);
      if (at < 0) return -1;
    }
    return -1;
  }

  /** The place behind a value; -1 when it does not end within the file. */
  #behind(from: number, depth: number): number {
    const at = this.#control(from);
    if (at < 0 || depth > NESTING_MAX) return -1;
    const kind = this.#kind;
    const size = this.#size;
    if (kind === Type.Pointer || kind === Type.Boolean) return at;
    if (kind !== Type.Map && kind !== Type.List) return at + size <= this.#bytes.length ? at + size : -1;
    if (size > MEMBERS_MAX) return -1;
    let next = at;
    for (let i = 0; i < (kind === Type.Map ? 2 * size : size) && next >= 0; i++) next = this.#behind(next, depth + 1);
    return next;
  }

  /** A short text; empty when it is none. */
  #text(from: number, base: number): string {
    if (!this.#head(from, base) || this.#kind !== Type.Text || this.#size > 64) return '';
    const end = this.#content + this.#size;
    if (end > this.#bytes.length) return '';
    let text = '';
    for (let at = this.#content; at < end; at++) text += String.fromCharCode(this.#bytes[at] as number);
    return text;
  }

  /** A whole number of up to 8 bytes; -1 when it is none. */
  #number(from: number, base: number): number {
    if (!this.#head(from, base) || ![5, 6, 9].includes(this.#kind) || this.#size > 8) return -1;
    let value = 0;
    for (let i = 0; i < this.#size; i++) value = value * 0x100 + (this.#bytes[this.#content + i] ?? 0);
    return value;
  }
}
