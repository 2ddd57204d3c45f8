/**
 * Finds a repeated key in a JSON text that `JSON.parse` has accepted. Parsers disagree about which one wins (RFC 8259 §4), so what is signed or
 * trusted must not hold one.
 */

/** Deepest nesting that is looked at; deeper counts as repeated, for the caller refuses either. */
const DEPTH_MAX = 64;

/** The first repeated key of any object in `text`, or null. `text` must be valid JSON. */
export function repeatedKey(text: string): string | null {
  const objects: (Set<string> | null)[] = [];
  let expectKey = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '"') {
      const from = i;
      for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === '\\') i++;
      const keys = objects.at(-1);
      if (!expectKey || keys === null || keys === undefined) continue;
      // Escapes are resolved: `"\u0061"` and `"a"` are the same key.
      const key = JSON.parse(text.slice(from, i + 1)) as string;
      if (keys.has(key)) return key;
      keys.add(key);
      expectKey = false;
    } else if (c === '{' || c === '[') {
      if (objects.length >= DEPTH_MAX) return '(nested too deeply)';
      objects.push(c === '{' ? new Set() : null);
      expectKey = c === '{';
    } else if (c === '}' || c === ']') {
      objects.pop();
      expectKey = false;
    } else if (c === ',') {
      expectKey = objects.at(-1) instanceof Set;
    }
  }
  return null;
}
