/** Files that a command line names. */
import { readFile } from 'node:fs/promises';
import { reading } from './system-error.ts';

/** Its text. An error names the file. */
export function textOf(path: string): Promise<string> {
  return reading(path, (file) => readFile(file, 'utf8'));
}

/** The token of an admin listener; null: none was named. */
export async function tokenOf(path: string | undefined): Promise<string | null> {
  return path === undefined ? null : (await textOf(path)).trim();
}
