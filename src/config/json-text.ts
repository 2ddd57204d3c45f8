/**
 * Bundles come as JSON, thousands of routes at a time: `JSON.parse` reads 5,000 of them in 20 ms where the YAML reader, which knows where each value
 * stands, needs more than a second. Places are only wanted when something is wrong.
 */

const QUOTE = 34;
const BACKSLASH = 92;
const COMMA = 44;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;
const OPEN_ARRAY = 91;
const CLOSE_ARRAY = 93;

/** The value of a JSON object or array; undefined when it is none, repeats a key or is nested deeper than `depthMax`: the YAML reader then says what is wrong. */
export function readJson(text: string, depthMax: number): unknown {
  if (!/^\s*[{[]/.test(text)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isPlain(text, depthMax) ? value : undefined;
}

/** True when no object of a valid JSON text repeats a key (parsers disagree about which one counts, RFC 8259 §4) and none is nested too deeply. */
function isPlain(text: string, depthMax: number): boolean {
  const keys: (Set<string> | null)[] = [];
  let wantsKey = false;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case QUOTE: {
        const from = i++;
        let escaped = false;
        for (let c = text.charCodeAt(i); c !== QUOTE; c = text.charCodeAt(++i)) {
          if (c !== BACKSLASH) continue;
          escaped = true;
          i++;
        }
        const known = keys.at(-1);
        if (!wantsKey || known === null || known === undefined) break;
        const key = escaped ? (JSON.parse(text.slice(from, i + 1)) as string) : text.slice(from + 1, i);
        if (known.has(key)) return false;
        known.add(key);
        wantsKey = false;
        break;
      }
      case OPEN_OBJECT:
      case OPEN_ARRAY:
        if (keys.length >= depthMax) return false;
        wantsKey = text.charCodeAt(i) === OPEN_OBJECT;
        keys.push(wantsKey ? new Set() : null);
        break;
      case CLOSE_OBJECT:
      case CLOSE_ARRAY:
        keys.pop();
        wantsKey = false;
        break;
      case COMMA:
        wantsKey = keys.at(-1) !== null;
        break;
      default:
    }
  }
  return true;
}
