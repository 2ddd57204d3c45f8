/** Names of header fields: those with an id, and which of them stages may edit. */
import { endsHere, TOKEN } from '../uws/fields.ts';
import { KNOWN_NAMES } from './layout.ts';

/** Id of a known lower-case name; undefined for others. */
export const KNOWN_ID: ReadonlyMap<string, number> = new Map(KNOWN_NAMES.map((name, i) => [name, i + 1]));

/** Longest name that an edit can hold: its length is one byte. */
const NAME_BYTES_MAX = 255;
/** Names that are remembered; stages edit the same few, which come from the configuration. */
const REMEMBERED_MAX = 1024;
const editable = new Map<string, string>();

/** The lower-case form of a name that stages may edit; '' when it is no token, too long, or belongs to the connection. */
export function editableName(name: string): string {
  const known = editable.get(name);
  if (known !== undefined) return known;
  const lower = name.toLowerCase();
  const checked = name.length <= NAME_BYTES_MAX && TOKEN.test(lower) && !endsHere(lower) ? lower : '';
  if (editable.size < REMEMBERED_MAX) editable.set(name, checked);
  return checked;
}
