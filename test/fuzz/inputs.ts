/** Inputs for fuzz targets: random texts, and words of dictionaries strung together, broken and repeated. The same seed gives the same inputs. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Prng } from '../../src/base/prng.ts';

/** Where dictionaries may lie; without them the words of the targets must do. */
const DICTIONARIES = fileURLToPath(new URL('../../../shared/data/fuzz-dicts', import.meta.url));
const WORD_LENGTH_MAX = 128;
/** Parts of one input. */
const PARTS_MAX = 24;
const PLAIN_PARTS_MAX = 8;

/** Words of every dictionary whose name holds one of `names`: `name="value"` lines, values with \\, \" and \xNN escapes. */
export function dictionaryWords(names: readonly string[]): string[] {
  if (!existsSync(DICTIONARIES)) return [];
  const words = new Set<string>();
  for (const file of readdirSync(DICTIONARIES).sort()) {
    if (!file.endsWith('.dict') || !names.some((name) => file.includes(name))) continue;
    for (const line of readFileSync(join(DICTIONARIES, file), 'latin1').split('\n')) {
      const text = /^[^#"]*"(.*)"\s*$/.exec(line)?.[1];
      if (text === undefined || text.length > WORD_LENGTH_MAX) continue;
      words.add(
        text.replaceAll(/\\(x[0-9A-Fa-f]{2}|.)/g, (_, escape: string) =>
          escape.length === 3 ? String.fromCharCode(Number.parseInt(escape.slice(1), 16)) : escape,
        ),
      );
    }
  }
  return [...words];
}

export class Inputs {
  readonly #prng: Prng;
  readonly #words: readonly string[];
  readonly #plain: readonly string[];

  /** `plain`: words that mostly make something valid; half of the inputs consist of them alone, or all would end at the first check. */
  constructor(seed: number, words: readonly string[], plain: readonly string[]) {
    this.#prng = new Prng(seed);
    this.#words = words;
    this.#plain = plain;
  }

  /** A whole number from 0 to `below` - 1. */
  number(below: number): number {
    return this.#prng.uint32() % below;
  }

  #word(words = this.#words): string {
    return words[this.number(words.length)] ?? '';
  }

  /** One more input; latin1, for that is what the wire gives. */
  next(): string {
    let text = '';
    const plain = this.number(2) === 0;
    const parts = 1 + this.number(plain ? PLAIN_PARTS_MAX : PARTS_MAX);
    for (let i = 0; i < parts; i++) {
      if (plain) {
        text += this.#word(this.#plain);
        continue;
      }
      const kind = this.number(8);
      if (kind < 5) text += this.#word();
      else if (kind === 5) text += String.fromCharCode(this.number(256));
      else if (kind === 6) text += `%${this.number(256).toString(16).padStart(2, '0')}`;
      else text += this.#word().repeat(1 + this.number(40));
    }
    if (text.length > 0 && this.number(4) === 0) {
      // One character changed, left out or doubled: what parsers stumble over.
      const at = this.number(text.length);
      const how = this.number(3);
      const middle = how === 0 ? String.fromCharCode(this.number(256)) : how === 1 ? '' : text.charAt(at).repeat(2);
      text = text.slice(0, at) + middle + text.slice(at + 1);
    }
    return text;
  }
}
