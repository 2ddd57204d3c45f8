/** Reads the sets of a suite from the data directory, in place. A folder that is not there is said, never guessed. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Missing {
  readonly set: string;
  readonly path: string;
}

export class DataDirectory {
  readonly missing: Missing[] = [];
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** The cases of `<dir>/<set>/<file>`: its `cases` list. Undefined, and noted as missing, when there is no such file. */
  cases(set: string, file: string): readonly Record<string, unknown>[] | undefined {
    const value = this.json(set, file);
    if (value === undefined) return undefined;
    const cases = Array.isArray(value) ? value : (value as { cases?: unknown }).cases;
    if (!Array.isArray(cases)) throw new Error(`${join(this.path, set, file)}: no list "cases"`);
    return cases as Record<string, unknown>[];
  }

  /** Files below `<dir>/<set>` whose names end so, as paths below it, in order. None, and noted as missing, when there is no such folder. */
  files(set: string, ending: string): string[] {
    const path = join(this.path, set);
    try {
      const names = readdirSync(path, { recursive: true, encoding: 'utf8' });
      return names.filter((name) => name.endsWith(ending)).sort();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      this.missing.push({ set, path });
      return [];
    }
  }

  json(set: string, file: string): unknown {
    const path = join(this.path, set, file);
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      this.missing.push({ set, path });
      return undefined;
    }
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new Error(`${path}: not JSON: ${(error as Error).message}`, { cause: error });
    }
  }
}

/** A field of a case as text, empty when it is absent. */
export function textField(value: Record<string, unknown>, key: string): string {
  const field = value[key];
  return typeof field === 'string' ? field : '';
}

/**
 * The bytes of a raw request in a data file: one character a byte; a set that has characters above U+00FF in a case meant UTF-8.
 */
export function bytesOf(raw: string): Buffer {
  // oxlint-disable-next-line no-control-regex -- the range is the bytes
  return Buffer.from(raw, /[^\u0000-\u00ff]/.test(raw) ? 'utf8' : 'latin1');
}
