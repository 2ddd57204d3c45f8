/** Names of header fields: those with an id, and which of them stages may edit. */
import { endsHere, TOKEN } from '../fields.ts';
import { KNOWN_NAMES } from './layout.ts';

/** Id of a known lower-case name; undefined for others. */
export const KNOWN_ID: ReadonlyMap<string, number> = new Map(KNOWN_NAMES.map((name, i) => [name, i + 1]));

/** Longest name that an edit can hold: its length is one byte. */
const NAME_BYTES_MAX = 255;
/** Names that are remembered; stages edit the same few, which come from the configuration. */
export const NAMES_MAX = 1024;

/** A name that stages may edit. */
export interface EditableName {
  readonly lower: string;
  /** `lower`, for copying. */
  readonly bytes: Uint8Array;
  /** 1 … NAMES_MAX, one for each lower-case name; 0 is shared by those that are not remembered. */
  readonly number: number;
}

const remembered = new Map<string, EditableName | null>();
const numbers = new Map<string, number>();

/** The name in lower case, with its number; null when it is no token, too long, or belongs to the connection. */
export function editable(name: string): EditableName | null {
  const known = remembered.get(name);
  return known === undefined ? learn(name) : known;
}

function learn(name: string): EditableName | null {
  const lower = name.toLowerCase();
  const fits = name.length <= NAME_BYTES_MAX && TOKEN.test(lower) && !endsHere(lower);
  let number = numbers.get(lower) ?? 0;
  if (fits && number === 0 && numbers.size < NAMES_MAX) {
    number = numbers.size + 1;
    numbers.set(lower, number);
  }
  const made = fits ? { lower, bytes: Buffer.from(lower, 'latin1'), number } : null;
  if (remembered.size < NAMES_MAX) remembered.set(name, made);
  return made;
}
