/**
 * The single binary carries addons and worker code as assets, but a thread can only be started from a file and an addon only be loaded from one. In a
 * container image they lie beside the binary (`cnx-assets/`), for a read-only root with a noexec /tmp forbids unpacking; the bare binary
 * unpacks them once into a directory of this user that nobody else can write. Whatever is used has been compared with the digests in the binary.
 */
import { createHash, randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync, readFileSync, renameSync, type Stats, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { getAsset, isSea } from 'node:sea';

/** Name → SHA-256 (hex) of every asset. */
export type Manifest = Readonly<Record<string, string>>;

/** What decides where the assets are used from. */
export interface AssetPlaces {
  readonly manifest: Manifest;
  /** Bytes of an asset that the binary carries. */
  readonly read: (name: string) => Uint8Array;
  /** Directory that may hold the assets as files. */
  readonly beside: string;
  /** Directory in which they are unpacked otherwise. */
  readonly temporary: string;
  /** User of this process. */
  readonly uid: number;
  /** Owner of the binary; whoever can replace the binary may also own the files beside it. */
  readonly binaryOwner: number;
}

const MANIFEST = 'manifest.json';

/** True in the single binary, which finds its assets by `assetDirectory`. */
export const isBinary: () => boolean = isSea;

/** Directory of the assets of the single binary. Reads all of them, once per process. Throws when they cannot be put anywhere safe. */
export function assetDirectory(): string {
  return placeAssets({
    manifest: JSON.parse(getAsset(MANIFEST, 'utf8')) as Manifest,
    read: (name) => new Uint8Array(getAsset(name)),
    beside: join(dirname(process.execPath), 'cnx-assets'),
    temporary: tmpdir(),
    uid: process.getuid?.() ?? 0,
    binaryOwner: lstatSync(process.execPath).uid,
  });
}

/** The directory beside the binary when it holds exactly what the binary carries, else a private one that is made to. */
export function placeAssets(places: AssetPlaces): string {
  const wrong = whyNotBeside(places);
  if (wrong === null) return places.beside;
  try {
    return unpack(places);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(
      `the binary can use its assets neither from beside it (${wrong}) nor unpacked (${why}); put the cnx-assets of the same build beside it, or set TMPDIR to a directory that this user can write`,
      { cause: error },
    );
  }
}

function sha256(bytes: string | Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

/** What forbids the directory beside the binary; null when nothing does. */
function whyNotBeside({ beside, manifest, uid, binaryOwner }: AssetPlaces): string | null {
  // Nobody else may change a file between its digest and its use.
  const held = (s: Stats): boolean => [0, uid, binaryOwner].includes(s.uid) && (s.mode & 0o022) === 0;
  const dir = statOf(beside);
  if (dir?.isDirectory() !== true) return `${beside} is not there`;
  if (!held(dir)) return `others can write ${beside}`;
  for (const [name, digest] of Object.entries(manifest)) {
    const file = join(beside, name);
    const stat = statOf(file);
    if (stat?.isFile() !== true) return `${file} is not there`;
    if (!held(stat)) return `others can write ${file}`;
    if (sha256(readFileSync(file)) !== digest) return `${file} is of another build, or was changed`;
  }
  return null;
}

function unpack({ manifest, read, temporary, uid }: AssetPlaces): string {
  const dir = join(temporary, `cnx-${uid}-${sha256(JSON.stringify(manifest)).slice(0, 16)}`);
  if (statOf(dir) === undefined) {
    try {
      mkdirSync(dir, { mode: 0o700 });
    } catch (error) {
      // Another process of this user may have been first.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
  const stat = lstatSync(dir);
  if (!stat.isDirectory() || stat.uid !== uid || (stat.mode & 0o077) !== 0)
    throw new Error(`${dir} is not a private directory of this user`);
  for (const [name, digest] of Object.entries(manifest)) {
    const file = join(dir, name);
    if (statOf(file)?.isFile() === true && sha256(readFileSync(file)) === digest) continue;
    // Renamed into place: another process of this user may be loading it.
    const part = `${file}.${randomBytes(6).toString('hex')}`;
    writeFileSync(part, read(name), { mode: 0o500, flag: 'wx' });
    renameSync(part, file);
  }
  return dir;
}
