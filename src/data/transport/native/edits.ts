/** What stages change in a head, kept until the verdict and then written as the engine reads it. One for each direction of a wire, used again. */
import { EDITS_MAX } from '../uws/bounds.ts';
import { isFieldValue, writeLatin1 } from './bytes.ts';
import { Edit, EDITS_BYTES } from './layout.ts';
import { editableName } from './names.ts';

/** Bytes of the edits of one direction; the rest of the room is for target and Host. */
export const EDIT_BYTES_MAX = EDITS_BYTES / 4;
/** Kind, length of the name, two bytes of the value's length. */
const HEAD_BYTES = 4;

export class Edits {
  readonly #kinds: number[] = [];
  readonly #names: string[] = [];
  readonly #values: string[] = [];
  #bytes = 0;

  /** Replaces every field of that name. False when the name belongs to the connection or is no token, the value holds control bytes, or there is no room. */
  set(name: string, value: string): boolean {
    const lower = editableName(name);
    if (lower === '' || !this.#fits(lower, value)) return false;
    this.#forget(lower);
    this.#push(Edit.SET, lower, value);
    return true;
  }

  /** Adds a field. False as in `set`. */
  add(name: string, value: string): boolean {
    const lower = editableName(name);
    if (lower === '' || !this.#fits(lower, value)) return false;
    this.#push(Edit.ADD, lower, value);
    return true;
  }

  remove(name: string): void {
    const lower = editableName(name);
    // What belongs to the connection does not pass anyway.
    if (lower === '') return;
    this.#forget(lower);
    if (this.#fits(lower, '')) this.#push(Edit.REMOVE, lower, '');
  }

  /** Writes all of them; returns where they end. */
  write(to: Buffer, from: number): number {
    let at = from;
    for (let i = 0; i < this.#names.length; i++) {
      const name = this.#names[i] as string;
      const value = this.#values[i] as string;
      to[at] = this.#kinds[i] as number;
      to[at + 1] = name.length;
      to[at + 2] = value.length & 0xff;
      to[at + 3] = value.length >> 8;
      at = writeLatin1(to, writeLatin1(to, at + HEAD_BYTES, name), value);
    }
    return at;
  }

  clear(): void {
    if (this.#names.length === 0) return;
    this.#kinds.length = this.#names.length = this.#values.length = 0;
    this.#bytes = 0;
  }

  #fits(name: string, value: string): boolean {
    return (
      this.#names.length < EDITS_MAX &&
      this.#bytes + HEAD_BYTES + name.length + value.length <= EDIT_BYTES_MAX &&
      isFieldValue(value)
    );
  }

  #push(kind: number, name: string, value: string): void {
    this.#kinds.push(kind);
    this.#names.push(name);
    this.#values.push(value);
    this.#bytes += HEAD_BYTES + name.length + value.length;
  }

  /** Earlier edits of the name are void. */
  #forget(name: string): void {
    for (let i = this.#names.length - 1; i >= 0; i--) {
      if (this.#names[i] !== name) continue;
      this.#bytes -= HEAD_BYTES + name.length + (this.#values[i] as string).length;
      this.#kinds.splice(i, 1);
      this.#names.splice(i, 1);
      this.#values.splice(i, 1);
    }
  }
}
