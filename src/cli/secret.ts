/** Secrets that the bootstrap names: each by the field that names it, for whoever has to mend it. */
import { readSecrets } from '../control/compile/secrets.ts';
import { messageOf } from './system-error.ts';

/** What `env:NAME` or `file:PATH` holds. Throws naming the field. */
export function secretOf(field: string, from: string, env: Readonly<Record<string, string | undefined>>): string {
  try {
    return readSecrets({ [field]: from }, env).get(field) ?? '';
  } catch (error) {
    const { syscall } = error as NodeJS.ErrnoException;
    if (typeof syscall === 'string') {
      (error as NodeJS.ErrnoException).path ??= from.slice('file:'.length);
      throw new Error(`${field} cannot be read: ${messageOf(error)}`, { cause: error });
    }
    throw new Error(`${field} is empty: ${from} holds nothing`, { cause: error });
  }
}
