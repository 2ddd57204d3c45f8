/**
 * Secrets: a bundle names them, only the bootstrap says where they come from. So whoever signs a bundle cannot read the machine.
 */
import { readFileSync } from 'node:fs';
import type { Part } from '../../config/bundle.ts';
import { suggestion } from '../../config/nearest.ts';

/** Reads the secret that a bundle names at a place; notes a problem and returns an empty text when it is not mapped. */
export type SecretReader = (part: Part, path: string, name: string) => string;

/** Names and values, read once at start. Throws when a mapped secret cannot be read. */
export function readSecrets(
  mapped: Readonly<Record<string, string>>,
  env: Readonly<Record<string, string | undefined>>,
): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const [name, from] of Object.entries(mapped)) {
    const value = from.startsWith('env:')
      ? env[from.slice(4)]
      : readFileSync(from.slice(5), 'utf8').replace(/\r?\n$/, '');
    if (value === undefined || value === '') throw new Error(`secret "${name}" is empty: ${from} holds nothing`);
    values.set(name, value);
  }
  return values;
}

/** A reader over known secrets that reports names nobody mapped. */
export function secretReader(
  secrets: ReadonlyMap<string, string>,
  report: (part: Part, path: string, message: string) => void,
): SecretReader {
  return (part, path, name) => {
    const value = secrets.get(name);
    if (value !== undefined) return value;
    report(part, path, `the bootstrap maps no secret "${name}"${suggestion(name, [...secrets.keys()])}`);
    return '';
  };
}
