/**
 * The single binary carries addons and worker code as assets, but a thread can only be started from a file and an addon only be loaded from one. In a
 * container image they lie beside the binary (`cnx-assets/`), for a read-only root with a noexec /tmp forbids unpacking; the bare binary
 * unpacks them once into a directory of this user that nobody else can write.
 */
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { getAsset, isSea } from 'node:sea';

/** Name → SHA-256 (hex) of every asset. */
type Manifest = Readonly<Record<string, string>>;

const MANIFEST = 'manifest.json';

/** Directory of the assets, or null when the gateway runs from its sources. Throws when they cannot be put anywhere safe. */
export function assetDirectory(): string | null {
  if (!isSea()) return null;
  const manifest = JSON.parse(getAsset(MANIFEST, 'utf8')) as Manifest;
  const beside = join(dirname(process.execPath), 'cnx-assets');
  if (existsSync(beside) && isWhole(beside, manifest)) return beside;
  return unpack(manifest);
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function isWhole(dir: string, manifest: Manifest): boolean {
  return Object.entries(manifest).every(([name, digest]) => {
    const file = join(dir, name);
    return existsSync(file) && sha256(readFileSync(file)) === digest;
  });
}

function unpack(manifest: Manifest): string {
  const uid = process.getuid?.() ?? 0;
  const dir = join(tmpdir(), `cnx-${uid}-${sha256(Buffer.from(JSON.stringify(manifest))).slice(0, 16)}`);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const stat = lstatSync(dir);
  if (!stat.isDirectory() || stat.uid !== uid || (stat.mode & 0o077) !== 0) {
    throw new Error(
      `${dir} is not a private directory of this user; remove it, or set TMPDIR to a directory that only this user can write`,
    );
  }
  for (const [name, digest] of Object.entries(manifest)) {
    const file = join(dir, name);
    if (existsSync(file) && sha256(readFileSync(file)) === digest) continue;
    const part = `${file}.${process.pid}`;
    writeFileSync(part, new Uint8Array(getAsset(name)), { mode: 0o500 });
    chmodSync(part, 0o500);
    renameSync(part, file);
  }
  return dir;
}
