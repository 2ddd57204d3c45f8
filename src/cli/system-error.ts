/** What the system refused, as a sentence: which place, what is wrong with it, and what mends it. */

/** By code. What is missing here is told as the system says it. */
const SAID: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or directory; look at how the path is written, and where it starts from',
  ENOTDIR: 'a part of the path is a file, where a directory is wanted',
  EISDIR: 'it is a directory, where a file is wanted',
  EEXIST: 'it is there already; remove it, or name another',
  ENOTEMPTY: 'the directory is not empty',
  EACCES: 'this user may not; change its owner or mode, or run as another user',
  EPERM: 'this user may not; change its owner or mode, or run as another user',
  EROFS: 'it lies on a file system that is read-only; name a place elsewhere',
  ENOSPC: 'the disk is full; make room',
  EDQUOT: "this user's share of the disk is full; make room",
  ENAMETOOLONG: 'the path is too long',
  ELOOP: 'its symbolic links lead in a circle',
  EMFILE: 'too many files are open; raise the limit (ulimit -n)',
  EXDEV: 'it lies on another file system',
};

/** The code stays, for those who search for it. Any other error says its own message. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, path, dest, syscall } = error as NodeJS.ErrnoException & { readonly dest?: string };
  const said = typeof syscall === 'string' && code !== undefined ? saidOf(code, syscall) : undefined;
  if (said === undefined || path === undefined) return error.message;
  return `${dest === undefined ? path : `${path}, to ${dest}`}: ${said} (${code})`;
}

function saidOf(code: string, syscall: string): string | undefined {
  // A directory that is there is no error to whoever makes one: what is there is something else, and to remove it may be the wrong thing.
  if (code === 'EEXIST' && syscall === 'mkdir') return 'it is no directory, where one is wanted; name another place';
  return Object.hasOwn(SAID, code) ? SAID[code] : undefined;
}

/** Does what reads a file; an error names it, also where the system does not. */
export async function reading<T>(path: string, read: (path: string) => T | Promise<T>): Promise<T> {
  try {
    return await read(path);
  } catch (error) {
    const known = error as NodeJS.ErrnoException;
    if (typeof known.syscall === 'string') known.path ??= path;
    throw error;
  }
}
