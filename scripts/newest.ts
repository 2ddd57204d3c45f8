/** When something was last changed, for what is built only when it is stale. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Newest change of a file, or of any file below a directory whose name `skip` does not take. Unit: milliseconds since the epoch. */
export function newestChange(path: string, skip: (name: string) => boolean = () => false): number {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(
    0,
    ...readdirSync(path)
      .filter((name) => !skip(name))
      .map((name) => newestChange(join(path, name), skip)),
  );
}
