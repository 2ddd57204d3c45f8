/**
 * What stages change in a head: written at once where the engine reads it, in the slot's memory. One for each direction of a wire. Edits begin in a short room that lies in the
 * page of the slot's record; when they outgrow it, they move to a long one.
 */
import { present } from '../../../base/assert.ts';
import type { HeaderEdits } from '../../../snapshot/route-plans.ts';
import { applyEdits } from '../edit-list.ts';
import { EDITS_MAX } from '../bounds.ts';
import { writeField } from './bytes.ts';
import { Edit, LONG_EDITS_BYTES } from './layout.ts';
import type { EditableName } from './names.ts';
import { editable, NAMES_MAX } from './names.ts';

/** Bytes of the edits of one direction; the other half of the room is for target and Host. */
export const EDIT_BYTES_MAX = LONG_EDITS_BYTES / 4;
/** Kind, length of the name, two bytes of the value's length. */
const HEAD_BYTES = 4;

/** A list of edits in the form that the engine reads; null when one of them is refused. */
interface Packed {
  readonly bytes: Uint8Array;
  readonly count: number;
  /** Numbers of the names. */
  readonly names: readonly number[];
}
const packed = new WeakMap<HeaderEdits, Packed | null>();

/** Fields to be set whose values are always of one length: all that stays the same is made once. */
export interface Form extends Packed {
  /** Where each value begins. */
  readonly places: readonly number[];
}

/** A form of these fields, in their order. */
export function formOf(fields: readonly (readonly [name: string, value: string])[]): Form {
  const list = present(pack({ set: fields.flat(), add: [], remove: [] }), 'names and values that may be edited');
  let end = 0;
  const places = fields.map(([name, value]) => (end += HEAD_BYTES + name.length + value.length) - value.length);
  return { ...list, places };
}

export class Edits {
  readonly #bytes: Buffer;
  readonly #short: number;
  readonly #shortEnd: number;
  readonly #long: number;
  /** Place of the first one's first byte, and where their room ends. */
  #from: number;
  #most: number;
  #end: number;
  #count = 0;
  #lost = false;
  /** By a name's number: the use of this list in which it was last edited. So that two edits of one name are noticed without looking for them. */
  readonly #edited = new Uint32Array(NAMES_MAX + 1);
  #use = 1;

  /** `short` to `shortEnd`: the short room in the memory of its chunk. `long`: where the long one begins, of EDIT_BYTES_MAX. */
  constructor(bytes: Buffer, short: number, shortEnd: number, long: number) {
    this.#bytes = bytes;
    this.#short = short;
    this.#shortEnd = shortEnd;
    this.#long = long;
    this.#from = short;
    this.#most = shortEnd;
    this.#end = short;
  }

  /** Place of the list. */
  get from(): number {
    return this.#from;
  }

  /** Bytes of all of them. */
  get length(): number {
    return this.#end - this.#from;
  }

  /** An edit found no room, so that the list is not what stages have said. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Replaces every field of that name. False when the name belongs to the connection or is no token, the value holds control bytes, or there is no room. */
  set(name: string, value: string): boolean {
    return this.#push(Edit.SET, name, value);
  }

  /** Adds a field. False as in `set`. */
  add(name: string, value: string): boolean {
    return this.#push(Edit.ADD, name, value);
  }

  /** Adds a field unless the upstream's answer has one of the name. False as in `set`. */
  absent(name: string, value: string): boolean {
    return this.#push(Edit.ABSENT, name, value);
  }

  /** Adds to the list that the answer's field holds. False as in `set`. */
  append(name: string, value: string): boolean {
    return this.#push(Edit.APPEND, name, value);
  }

  remove(name: string): void {
    // What belongs to the connection does not pass anyway.
    this.#push(Edit.REMOVE, name, '');
  }

  /** All edits of a list that is used again and again: packed at its first use, then copied. False when one of them is refused. */
  apply(edits: HeaderEdits): boolean {
    if (isNone(edits)) return true;
    let list = packed.get(edits);
    if (list === undefined) packed.set(edits, (list = pack(edits)));
    if (list === null) return false;
    return this.#hasEdited(list) ? applyEdits(this, edits) : this.#copy(list);
  }

  /** Copies a form whose values are still to be changed; where it lies, or -1: one of its names was edited before, or there is no room. */
  place(form: Form): number {
    return !this.#hasEdited(form) && this.#copy(form) ? this.#end - form.bytes.length : -1;
  }

  clear(): void {
    this.#from = this.#short;
    this.#most = this.#shortEnd;
    this.#end = this.#from;
    this.#count = 0;
    this.#lost = false;
    // Zero is the use in which nothing was edited.
    this.#use = (this.#use + 1) >>> 0 || 1;
    if (this.#use === 1) this.#edited.fill(0);
  }

  /** One of its names was edited before. */
  #hasEdited({ names }: Packed): boolean {
    for (let i = 0; i < names.length; i++) if (this.#edited[names[i] as number] === this.#use) return true;
    return false;
  }

  /** Appends the list, of which no name was edited before. */
  #copy({ bytes, count, names }: Packed): boolean {
    if (this.#count + count > EDITS_MAX || !this.#hasRoom(bytes.length)) return !(this.#lost = true);
    for (let i = 0; i < names.length; i++) this.#edited[names[i] as number] = this.#use;
    this.#bytes.set(bytes, this.#end);
    this.#end += bytes.length;
    this.#count += count;
    return true;
  }

  #push(kind: number, name: string, value: string): boolean {
    const known = editable(name);
    const at = known === null ? -1 : this.#room(kind, known, value.length);
    if (known === null || at < 0) return false;
    const end = writeField(this.#bytes, at, value);
    if (end < 0) return false;
    this.#close(kind, known, end, value.length);
    return true;
  }

  /** Writes the name; where its value goes, or -1 when there is no room. */
  #room(kind: number, known: EditableName, valueBytes: number): number {
    const name = known.bytes;
    const more = this.#replaces(kind, known) ? 0 : 1;
    if (this.#count + more > EDITS_MAX || !this.#hasRoom(HEAD_BYTES + name.length + valueBytes)) {
      this.#lost = true;
      return -1;
    }
    const bytes = this.#bytes;
    const at = this.#end + HEAD_BYTES;
    for (let i = 0; i < name.length; i++) bytes[at + i] = name[i] as number;
    return at + name.length;
  }

  /** The value is written: the edit counts. */
  #close(kind: number, known: EditableName, end: number, valueBytes: number): void {
    const at = this.#end;
    const bytes = this.#bytes;
    if (this.#replaces(kind, known)) this.#void(known.lower);
    this.#edited[known.number] = this.#use;
    bytes[at] = kind;
    bytes[at + 1] = known.lower.length;
    bytes[at + 2] = valueBytes & 0xff;
    bytes[at + 3] = valueBytes >> 8;
    this.#end = end;
    this.#count++;
  }

  /** It takes the place of an earlier edit. */
  #replaces(kind: number, known: EditableName): boolean {
    return this.#edited[known.number] === this.#use && kind !== Edit.ADD;
  }

  /** Room for so many bytes more, in the long room if need be. */
  #hasRoom(bytes: number): boolean {
    if (this.#end + bytes <= this.#most) return true;
    if (this.#from === this.#long || this.length + bytes > EDIT_BYTES_MAX) return false;
    this.#bytes.copyWithin(this.#long, this.#from, this.#end);
    this.#end += this.#long - this.#from;
    this.#from = this.#long;
    this.#most = this.#long + EDIT_BYTES_MAX;
    return true;
  }

  /** Earlier edits of the name are no more. */
  #void(name: string): void {
    const bytes = this.#bytes;
    for (let at = this.#from; at < this.#end; ) {
      const length = bytes[at + 1] as number;
      const nameAt = at + HEAD_BYTES;
      if (bytes[at] !== Edit.VOID && length === name.length && bytes.latin1Slice(nameAt, nameAt + length) === name) {
        bytes[at] = Edit.VOID;
        this.#count--;
      }
      at = nameAt + length + (bytes[at + 2] as number) + ((bytes[at + 3] as number) << 8);
    }
  }
}

function pack(edits: HeaderEdits): Packed | null {
  const memory = Buffer.alloc(EDIT_BYTES_MAX);
  const made = new Edits(memory, 0, EDIT_BYTES_MAX, 0);
  if (!applyEdits(made, edits)) return null;
  const { remove, set, add, absent = [], append = [] } = edits;
  const texts = [...remove, ...pairNames(set), ...pairNames(absent), ...pairNames(append), ...pairNames(add)];
  const names = new Set(texts.map((name) => editable(name)?.number ?? 0));
  return { bytes: Uint8Array.from(memory.subarray(0, made.length)), count: texts.length, names: [...names] };
}

function isNone({ set, add, remove, absent, append }: HeaderEdits): boolean {
  const flat = set.length + add.length + remove.length;
  return flat === 0 && (absent === undefined || absent.length === 0) && (append === undefined || append.length === 0);
}

function pairNames(pairs: readonly string[]): string[] {
  return pairs.filter((_, i) => i % 2 === 0);
}
