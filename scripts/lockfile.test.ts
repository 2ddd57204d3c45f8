/** The lockfile can be installed from, wherever the project is cloned. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

interface Entry {
  readonly integrity?: string;
  readonly resolved?: string;
  readonly os?: string | readonly string[];
  readonly cpu?: string | readonly string[];
  readonly libc?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const file = new URL('../package-lock.json', import.meta.url);
const { packages } = JSON.parse(readFileSync(file, 'utf8')) as { readonly packages: Readonly<Record<string, Entry>> };

/** Where a package finds what it asks for: its own `node_modules` first, then those above. */
function isThere(from: string, name: string): boolean {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('node_modules/') - 1))) {
    if (packages[`${at === '' ? '' : `${at}/`}node_modules/${name}`] !== undefined) return true;
    if (at === '') return false;
  }
}

function installsHere({ os, cpu, libc }: Entry): boolean {
  const names = (given: string | readonly string[] | undefined, ...ours: string[]): boolean =>
    given === undefined || [given].flat().some((one) => ours.includes(one));
  return names(os, 'linux') && names(cpu, 'x64', 'arm64') && names(libc, 'glibc');
}

describe('package-lock.json', () => {
  it('has an entry for all that its packages name, builds for other platforms too: npm ci refuses it otherwise', () => {
    const missing = Object.entries(packages).flatMap(([from, entry]) =>
      Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })
        .filter((name) => !isThere(from, name))
        .map((name) => `${from} → ${name}`),
    );
    assert.deepEqual(missing, []);
  });
  it('pins by digest whatever is installed on Linux, and names no registry', () => {
    const rest = Object.entries(packages).filter(([path]) => path !== '');
    assert.deepEqual(
      rest.filter(([, entry]) => installsHere(entry) && entry.integrity === undefined).map(([path]) => path),
      [],
    );
    assert.deepEqual(
      rest.filter(([, entry]) => entry.resolved !== undefined).map(([path]) => path),
      [],
    );
  });
});
