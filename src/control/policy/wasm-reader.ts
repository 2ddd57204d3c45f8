/**
 * Reads of a WebAssembly module what `WebAssembly.Module` does not tell: limits of the imported memory, names of functions, and the arguments with which
 * some functions are called. Only for modules that `WebAssembly.Module` has accepted, so what is read is valid; still every read is bounded.
 */

export interface WasmFacts {
  /** Limits of the imported memory, pages; null when none is imported. */
  readonly memory: { readonly min: number; readonly max: number | null } | null;
  readonly importedFunctions: number;
  /** Names of the custom section `name`, by function index; empty when it is absent. */
  readonly names: ReadonlyMap<number, string>;
  /** Bodies by function index, imported ones left out. */
  readonly bodies: ReadonlyMap<number, Uint8Array>;
}

const SECTION = { Custom: 0, Import: 2, Code: 10 } as const;

/** Throws RangeError when the bytes end too early. */
class Reader {
  readonly bytes: Uint8Array;
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  byte(): number {
    if (this.at >= this.end) throw new RangeError('unexpected end');
    return this.bytes[this.at++] as number;
  }

  /** LEB128, unsigned 32 bits; also skips signed and 64-bit ones, whose value is then of no use. */
  leb(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const b = this.byte();
      if (shift < 32) value |= (b & 0x7f) << shift;
      if (b < 0x80) return value >>> 0;
    }
    throw new RangeError('a number is too long');
  }

  skip(count: number): void {
    if (count > this.end - this.at) throw new RangeError('unexpected end');
    this.at += count;
  }

  text(): string {
    const length = this.leb();
    const from = this.at;
    this.skip(length);
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + from, length).toString('utf8');
  }

  sub(length: number): Reader {
    const from = this.at;
    this.skip(length);
    return new Reader(this.bytes, from, from + length);
  }
}

/** Throws RangeError for bytes that are not a module. */
export function readWasm(bytes: Uint8Array): WasmFacts {
  const r = new Reader(bytes);
  r.skip(8);
  let memory: WasmFacts['memory'] = null;
  let importedFunctions = 0;
  const names = new Map<number, string>();
  const code: Uint8Array[] = [];
  while (r.at < r.end) {
    const id = r.byte();
    const section = r.sub(r.leb());
    if (id === SECTION.Custom && section.text() === 'name') readNames(section, names);
    if (id === SECTION.Import) ({ memory, importedFunctions } = readImports(section));
    if (id === SECTION.Code) {
      for (let n = section.leb(); n > 0; n--) {
        const body = section.sub(section.leb());
        code.push(body.bytes.subarray(body.at, body.end));
      }
    }
  }
  const bodies = new Map(code.map((body, i) => [importedFunctions + i, body] as const));
  return { memory, importedFunctions, names, bodies };
}

function readImports(r: Reader): Pick<WasmFacts, 'memory' | 'importedFunctions'> {
  let memory: WasmFacts['memory'] = null;
  let importedFunctions = 0;
  for (let n = r.leb(); n > 0; n--) {
    r.text();
    r.text();
    const kind = r.byte();
    if (kind === 0) {
      r.leb();
      importedFunctions++;
    } else if (kind === 3) r.skip(2);
    else {
      if (kind === 1) r.skip(1);
      const flags = r.byte();
      const min = r.leb();
      const max = (flags & 1) === 1 ? r.leb() : null;
      if (kind === 2) memory = { min, max };
    }
  }
  return { memory, importedFunctions };
}

function readNames(r: Reader, names: Map<number, string>): void {
  while (r.at < r.end) {
    const id = r.byte();
    const sub = r.sub(r.leb());
    if (id !== 1) continue;
    for (let n = sub.leb(); n > 0; n--) names.set(sub.leb(), sub.text());
  }
}

/** The instruction that pushed an argument: a constant, or something else. */
export type Pushed = { readonly constant: number } | null;

/**
 * Calls of the given functions in a body, each with what was pushed last before it (`depth` instructions, the last one nearest). Returns null
 * when an instruction is not known: then nothing can be said about the body.
 */
export function callsIn(
  body: Uint8Array,
  functions: ReadonlySet<number>,
  depth: number,
): readonly { readonly callee: number; readonly pushed: readonly Pushed[] }[] | null {
  const r = new Reader(body);
  for (let groups = r.leb(); groups > 0; groups--) {
    r.leb();
    r.byte();
  }
  const calls: { callee: number; pushed: readonly Pushed[] }[] = [];
  const recent: Pushed[] = [];
  while (r.at < r.end) {
    const op = r.byte();
    let pushed: Pushed = null;
    if (op === 0x10) {
      const callee = r.leb();
      if (functions.has(callee)) calls.push({ callee, pushed: recent.slice(-depth) });
    } else if (op === 0x41) pushed = { constant: r.leb() };
    else if (!skipImmediates(r, op)) return null;
    recent.push(pushed);
    if (recent.length > depth) recent.shift();
  }
  return calls;
}

/** Skips what follows an opcode (WebAssembly core specification, §5.4). False for an opcode that is not known. */
function skipImmediates(r: Reader, op: number): boolean {
  if (op === 0x0e) for (let n = r.leb() + 1; n > 0; n--) r.leb();
  else if (op === 0x43) r.skip(4);
  else if (op === 0x44) r.skip(8);
  else if (op === 0x11 || (op >= 0x28 && op <= 0x3e)) {
    r.leb();
    r.leb();
  } else if (ONE_IMMEDIATE.has(op)) r.leb();
  else if (op === 0xfc) return skipPrefixed(r, r.leb());
  else
    return (
      op <= 0x01 ||
      op === 0x05 ||
      op === 0x0b ||
      op === 0x0f ||
      op === 0x1a ||
      op === 0x1b ||
      (op >= 0x45 && op <= 0xc4)
    );
  return true;
}

/** block, loop, if, br, br_if, local.get/set/tee, global.get/set, memory.size/grow, i32.const, i64.const. */
const ONE_IMMEDIATE: ReadonlySet<number> = new Set([
  0x02, 0x03, 0x04, 0x0c, 0x0d, 0x20, 0x21, 0x22, 0x23, 0x24, 0x3f, 0x40, 0x41, 0x42,
]);

/** Saturating truncation has no immediates; memory.init and memory.copy two, data.drop and memory.fill one. */
function skipPrefixed(r: Reader, op: number): boolean {
  if (op <= 7) return true;
  if (op > 11) return false;
  r.leb();
  if (op === 8 || op === 10) r.leb();
  return true;
}
