import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeDirectory } from '../../base/make-directory.ts';

/**
 * Called before every step that changes the disk, with what is about to happen. A test throws from it: everything before
 * has happened and nothing after, as when the process dies there.
 */
export type CrashPoint = (
  step: 'mkdir' | 'write' | 'sync' | 'rename' | 'sync-directory' | 'remove',
  path: string,
) => void;

/** Temporary names start with this, so that what a crash left behind is recognised. */
export const TEMPORARY_PREFIX = '.tmp-';

/** Writes that are whole or absent after a crash: temporary file → fsync → rename → fsync of the directory. */
export class DurableFiles {
  readonly #crashPoint: CrashPoint | undefined;

  constructor(crashPointForTests?: CrashPoint) {
    this.#crashPoint = crashPointForTests;
  }

  /** A write that fails leaves nothing behind. @param mode permission bits of the file, subject to the umask. */
  async write(path: string, bytes: Uint8Array, mode = 0o644): Promise<void> {
    const directory = dirname(path);
    const temporary = join(directory, `${TEMPORARY_PREFIX}${randomBytes(8).toString('hex')}`);
    this.#crashPoint?.('write', path);
    const file = await open(temporary, 'wx', mode);
    try {
      try {
        await file.writeFile(bytes);
        this.#crashPoint?.('sync', path);
        await file.sync();
      } finally {
        await file.close();
      }
      this.#crashPoint?.('rename', path);
      await rename(temporary, path);
    } catch (error) {
      // A disk that is full is tried again and again, and must not be filled by that. A process that dies removes nothing. Whether it can be removed changes nothing of what is thrown.
      if (isOfTheDisk(error)) await unlink(temporary).catch(() => undefined);
      throw error;
    }
    this.#crashPoint?.('sync-directory', path);
    await this.#syncDirectory(directory);
  }

  async makeDirectory(path: string): Promise<void> {
    this.#crashPoint?.('mkdir', path);
    await makeDirectory(path);
  }

  /** Removes a file; one that is gone already is no error. */
  async remove(path: string): Promise<void> {
    this.#crashPoint?.('remove', path);
    try {
      await unlink(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }

  async #syncDirectory(path: string): Promise<void> {
    const directory = await open(path, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}

/** Not what a crash point throws. */
function isOfTheDisk(error: unknown): boolean {
  return typeof (error as NodeJS.ErrnoException).code === 'string';
}

export type BoundedRead =
  | { readonly state: 'read'; readonly bytes: Uint8Array }
  | { readonly state: 'absent' }
  | { readonly state: 'too_large' };

/** Reads a regular file of at most `bytesMax` bytes. A directory, pipe or device counts as absent and never blocks. */
export async function readBounded(path: string, bytesMax: number): Promise<BoundedRead> {
  let file: FileHandle;
  try {
    // O_NONBLOCK: opening a pipe that someone put there must not wait for its writer.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENXIO' || code === 'ELOOP') return { state: 'absent' };
    throw error;
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) return { state: 'absent' };
    if (stat.size > bytesMax) return { state: 'too_large' };
    const bytes = new Uint8Array(bytesMax < stat.size + 1 ? bytesMax + 1 : stat.size + 1);
    let length = 0;
    while (length < bytes.byteLength) {
      const { bytesRead } = await file.read(bytes, length, bytes.byteLength - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    // It grew while it was read: whoever writes in place is not one of us.
    if (length > stat.size) return { state: 'too_large' };
    return { state: 'read', bytes: bytes.subarray(0, length) };
  } finally {
    await file.close();
  }
}
