/** A release of the OWASP Core Rule Set out of a directory or an archive: its files, whole and bounded, before any of them is written. */
import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ArchiveError, selectFromTarGz } from '../archive/tar.ts';
import { selectFromZip } from '../archive/zip.ts';
import { belongs, CRS_FILES_MAX, type CrsLock, sha256 } from './lock.ts';

/** Largest archive. Unit: bytes. */
export const RELEASE_BYTES_MAX = 32 * 1024 * 1024;
/** Largest file: that of a layer of a bundle. Unit: bytes. */
export const FILE_BYTES_MAX = 4 * 1024 * 1024;
/** All files together. Unit: bytes. */
export const FILES_BYTES_MAX = 32 * 1024 * 1024;
/** The file without which there is no rule set. */
const SETUPS = ['crs-setup.conf.example', 'crs-setup.conf'] as const;

/** What was given is no release, or one that cannot be taken. */
export class ReleaseError extends Error {
  override readonly name = 'ReleaseError';
}

export interface CrsRelease {
  readonly version: string;
  readonly source: CrsLock['source'];
  /** By path in the release. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/**
 * Reads a release. `setup`: a setup file for directories that have none beside their rules. `expected`: SHA-256 of the archive, as the release's page says.
 * Throws ReleaseError.
 */
export function readRelease(from: string, setup?: string, expected?: string): CrsRelease {
  const isDirectory = statSync(from).isDirectory();
  if (isDirectory && expected !== undefined)
    throw new ReleaseError('--sha256 is the checksum of an archive, and a directory was given');
  const { files, sum } = isDirectory ? { files: readDirectory(from), sum: null } : readArchive(from, expected);
  if (setup !== undefined) {
    for (const name of SETUPS) files.delete(name);
    files.set('crs-setup.conf', bounded(setup, readFileSync(setup)));
  }
  if (!SETUPS.some((name) => files.has(name)))
    throw new ReleaseError(`${from} holds neither ${SETUPS.join(' nor ')}; name a setup file with --setup`);
  if (![...files.keys()].some((name) => name.startsWith('rules/') && name.endsWith('.conf')))
    throw new ReleaseError(`${from} holds no rules/*.conf`);
  const total = [...files.values()].reduce((bytes, file) => bytes + file.length, 0);
  if (files.size > CRS_FILES_MAX) throw new ReleaseError(`${files.size} files; at most ${CRS_FILES_MAX} are taken`);
  if (total > FILES_BYTES_MAX) throw new ReleaseError(`${total} bytes; at most ${FILES_BYTES_MAX} are taken`);
  return { version: versionOf(files), source: { name: basename(from), sha256: sum }, files };
}

function bounded(name: string, bytes: Uint8Array): Uint8Array {
  if (bytes.length > FILE_BYTES_MAX)
    throw new ReleaseError(`${name} has ${bytes.length} bytes; at most ${FILE_BYTES_MAX} are taken`);
  return bytes;
}

function readDirectory(dir: string): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  for (const below of ['', 'rules']) {
    for (const name of listed(join(dir, below))) {
      const path = below === '' ? name : `${below}/${name}`;
      const file = join(dir, path);
      if (!belongs(path)) continue;
      if (!lstatSync(file).isFile()) throw new ReleaseError(`${file} is no plain file`);
      files.set(path, bounded(path, readFileSync(file)));
    }
  }
  return files;
}

function listed(dir: string): string[] {
  try {
    return readdirSync(dir).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function readArchive(file: string, expected: string | undefined): { files: Map<string, Uint8Array>; sum: string } {
  const { size } = statSync(file);
  if (size > RELEASE_BYTES_MAX)
    throw new ReleaseError(`${file} has ${size} bytes; at most ${RELEASE_BYTES_MAX} are taken`);
  const bytes = readFileSync(file);
  const sum = sha256(bytes);
  if (expected !== undefined && sum !== expected.toLowerCase())
    throw new ReleaseError(
      `${file} has the SHA-256 ${sum}, expected ${expected.toLowerCase()}: it is not what was released`,
    );
  const select = bytes[0] === 0x50 && bytes[1] === 0x4b ? selectFromZip : selectFromTarGz;
  const tops = new Set<string>();
  const wants = (name: string): boolean => {
    if (name.split(/[/\\]/).includes('..'))
      throw new ReleaseError(`${file} holds ${JSON.stringify(name)}, which leads out of it`);
    const slash = name.indexOf('/');
    if (slash < 0 || !belongs(name.slice(slash + 1))) return false;
    tops.add(name.slice(0, slash));
    return true;
  };
  try {
    const found = select(bytes, wants);
    // All releases have one directory at the top.
    if (tops.size > 1) throw new ReleaseError(`${file} holds more than one rule set: ${[...tops].join(', ')}`);
    const files = new Map<string, Uint8Array>();
    for (const [name, content] of found) files.set(name.slice(name.indexOf('/') + 1), bounded(name, content));
    return { files, sum };
  } catch (error) {
    if (error instanceof ArchiveError) throw new ReleaseError(`${file}: ${error.message}`);
    throw error;
  }
}

/** What the rules say that they are of. */
function versionOf(files: ReadonlyMap<string, Uint8Array>): string {
  for (const [name, bytes] of files) {
    if (!name.endsWith('.conf')) continue;
    const version = /ver:'OWASP_CRS\/([0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}[A-Za-z0-9.-]{0,32})'/.exec(
      Buffer.from(bytes).toString('latin1'),
    );
    if (version?.[1] !== undefined) return version[1];
  }
  throw new ReleaseError("no rule says `ver:'OWASP_CRS/…'`: this is no Core Rule Set");
}
