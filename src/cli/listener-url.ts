/** A listener of a running gateway as an option names it. */
import { joined } from '../admin/client.ts';
import { UsageError } from './command.ts';

/** What every command asks unless told: the defaults of the bootstrap. */
export const PROBES_URL = 'http://127.0.0.1:9901';
export const ADMIN_URL = 'http://127.0.0.1:9902';

/** The URL of a path there. What is none is wrong usage; `option` says of which option. */
export function listenerUrl(option: '--admin' | '--url', base: string, path: string): string {
  const url = joined(base, path);
  if (url === null)
    throw new UsageError(`${option} "${base}" is no URL like ${option === '--url' ? PROBES_URL : ADMIN_URL}`);
  return url;
}
