/** What stages change in a head: fields set, added, removed. One object per direction and wire, used again. */
import { EDITS_MAX } from '../bounds.ts';
import { endsHere, NOT_IN_VALUE, TOKEN } from '../fields.ts';

export class HeaderEdits {
  /** Fields to write, in order. */
  readonly names: string[] = [];
  readonly values: string[] = [];
  /** Names whose original fields are left out. */
  readonly #hidden: string[] = [];
  /** Fields that are written unless there is one of the name; flat. */
  readonly absents: string[] = [];
  /** Fields that are added to the list of those of the name; flat. */
  readonly appends: string[] = [];

  #lost = false;

  /** An edit found no room, so that the edits are not what stages have said. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Replaces every field of that name. False when the name belongs to the connection, is no token, or the value holds control bytes. */
  set(name: string, value: string): boolean {
    const lower = name.toLowerCase();
    if (!this.#allowed(lower, value)) return false;
    this.#hide(lower);
    this.names.push(lower);
    this.values.push(value);
    return true;
  }

  /** Adds a field. False as in `set`. */
  add(name: string, value: string): boolean {
    const lower = name.toLowerCase();
    if (!this.#allowed(lower, value)) return false;
    this.names.push(lower);
    this.values.push(value);
    return true;
  }

  /** Adds a field unless there is one of that name. False as in `set`. */
  absent(name: string, value: string): boolean {
    return this.#depends(this.absents, name.toLowerCase(), value);
  }

  /** Adds to the list that the fields of that name hold. False as in `set`. */
  append(name: string, value: string): boolean {
    return this.#depends(this.appends, name.toLowerCase(), value);
  }

  remove(name: string): void {
    if (this.#hidden.length < EDITS_MAX) this.#hide(name.toLowerCase());
    else this.#lost = true;
  }

  /** True when the original fields of this lower-case name are left out. */
  hides(name: string): boolean {
    const hidden = this.#hidden;
    for (let i = 0; i < hidden.length; i++) if (hidden[i] === name) return true;
    return false;
  }

  clear(): void {
    this.#lost = false;
    if (this.names.length > 0) {
      this.names.length = 0;
      this.values.length = 0;
    }
    if (this.#hidden.length > 0) this.#hidden.length = 0;
    if (this.absents.length > 0) this.absents.length = 0;
    if (this.appends.length > 0) this.appends.length = 0;
  }

  #depends(list: string[], lower: string, value: string): boolean {
    if (list.length >= 2 * EDITS_MAX) return !(this.#lost = true);
    if (!this.#allowed(lower, value)) return false;
    this.#drop(lower);
    list.push(lower, value);
    return true;
  }

  #allowed(lower: string, value: string): boolean {
    if (this.names.length >= EDITS_MAX || this.#hidden.length >= EDITS_MAX) return !(this.#lost = true);
    return TOKEN.test(lower) && !endsHere(lower) && !NOT_IN_VALUE.test(value);
  }

  #hide(lower: string): void {
    if (!this.hides(lower)) this.#hidden.push(lower);
    this.#drop(lower);
  }

  /** Earlier edits of the name are no more. */
  #drop(name: string): void {
    for (let i = this.names.length - 1; i >= 0; i--) {
      if (this.names[i] !== name) continue;
      this.names.splice(i, 1);
      this.values.splice(i, 1);
    }
  }
}
