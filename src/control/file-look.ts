/** What tells a file from the one that was there before, for those who look at it now and then: what is watched may lie on a volume that tells of nothing. */
import { stat } from 'node:fs/promises';

/** Never rejects: a file that cannot be looked at differs from one that can, and by why. */
export async function lookOf(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
  } catch (error) {
    return `none: ${(error as NodeJS.ErrnoException).code ?? String(error)}`;
  }
}
