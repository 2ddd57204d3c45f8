/** Directories with those above them. Node's own `recursive` never ends where the system says that something is missing above which is there, as procfs does. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Makes a directory, and those above it that are missing; one that is there is no error. `mode`: of those that are made. Rejects with the system's error. */
export async function makeDirectory(path: string, mode = 0o777): Promise<void> {
  const failure = await failureOf(path, mode);
  if (failure === null) return;
  if (failure.code !== 'ENOENT' || dirname(path) === path) throw failure;
  await makeDirectory(dirname(path), mode);
  const again = await failureOf(path, mode);
  if (again !== null) throw again;
}

/** Null: the directory is there. */
async function failureOf(path: string, mode: number): Promise<NodeJS.ErrnoException | null> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    // What cannot be looked at is as good as not there, and why it could not be made says more.
    const there = await stat(path).catch(() => null);
    if (there?.isDirectory() !== true) return error as NodeJS.ErrnoException;
  }
  return null;
}
