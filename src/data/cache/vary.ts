/** Which stored answer a request selects (RFC 9111 §4.1): the fields that `Vary` names must be as they were, after normalising what means the same. */
import { TOKEN } from '../transport/fields.ts';
import { names } from './fields.ts';

/** Names that a Vary field may list; an answer with more is not stored. */
export const VARY_NAMES_MAX = 16;
/** Longest member list that is put in order; a longer one is compared as it came. */
const MEMBERS_MAX = 64;

/** Lists of preferences whose order means nothing where their weights are equal (RFC 9110 §12.4, §12.5), and whose case means nothing. */
const PREFERENCES: ReadonlySet<string> = new Set(['accept', 'accept-charset', 'accept-encoding', 'accept-language']);

/** Names of a Vary field, sorted, each once; null when nothing can match it again: `*`, too many, or what is no name and so might mean any (`Accept; Cookie`). */
export function varyNames(field: string | undefined): readonly string[] | null {
  if (field === undefined) return [];
  const listed = [...new Set(names(field))].sort();
  return listed.includes('*') || listed.length > VARY_NAMES_MAX || !listed.every((name) => TOKEN.test(name))
    ? null
    : listed;
}

/** A field's value in the form in which it is compared; undefined when the request has none. */
export function normalised(name: string, value: string | undefined): string | undefined {
  // Within quotes a comma is none of a list, and white space means something.
  if (value === undefined || value.includes('"')) return value;
  const members = value.split(',').map((member) => member.trim());
  if (!PREFERENCES.has(name) || members.length > MEMBERS_MAX) return members.join(',');
  return members
    .filter((member) => member !== '')
    .map((member) =>
      member
        .toLowerCase()
        .replaceAll(/[ \t]*;[ \t]*/g, ';')
        .replace(/;q=1(?:\.0{0,3})?$/, ''),
    )
    .sort()
    .join(',');
}

/** A text that is equal for two requests which select the same answer. `valueOf`: all lines of a request field, joined. */
export function variantKey(listed: readonly string[], valueOf: (name: string) => string | undefined): string {
  let key = '';
  for (const name of listed) {
    const value = normalised(name, valueOf(name));
    // No field value holds a line break.
    key += value === undefined ? `${name}\n` : `${name}:${value}\n`;
  }
  return key;
}
