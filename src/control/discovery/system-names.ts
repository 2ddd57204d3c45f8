/**
 * What this machine itself says of names: the hosts file, and the search list of resolv.conf (resolv.conf(5)). The DNS client asks servers only, so that both would be
 * passed over; and a short name like `orders` in a cluster has no meaning without them. `localhost` never goes to a server (RFC 6761 §6.3).
 */
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';

/** How long what was read counts before the files are looked at again. */
export const SYSTEM_FILES_MS = 10_000;
/** Characters of a file that are looked at. */
const FILE_LENGTH_MAX = 1024 * 1024;
/** Search domains that count; resolvers take as many. */
const SEARCH_MAX = 32;
/** Dots from which on a name is asked for as it stands first. */
const NDOTS_MAX = 15;

/** How the names of this machine are completed, and by whom they are answered. */
export interface ResolvConf {
  readonly search: readonly string[];
  readonly ndots: number;
  /** The file's text: another one means other servers, too. */
  readonly text: string;
}

/** Names of a hosts file, lower-case, with their addresses in the file's order. */
export function readHosts(text: string): ReadonlyMap<string, readonly string[]> {
  const hosts = new Map<string, string[]>();
  for (const line of text.slice(0, FILE_LENGTH_MAX).split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (isIP(address) === 0) continue;
    for (const name of names) {
      const key = name.toLowerCase();
      const known = hosts.get(key);
      if (known === undefined) hosts.set(key, [address]);
      else if (!known.includes(address)) known.push(address);
    }
  }
  return hosts;
}

/** `search` (or `domain`) and `ndots` of a resolv.conf. The last of several counts. */
export function readResolvConf(text: string): ResolvConf {
  let search: string[] = [];
  let ndots = 1;
  for (const line of text.slice(0, FILE_LENGTH_MAX).split('\n')) {
    const [word = '', ...values] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/);
    if (word === 'search') search = values.slice(0, SEARCH_MAX);
    else if (word === 'domain') search = values.slice(0, 1);
    else if (word === 'options') {
      for (const option of values) {
        const dots = /^ndots:(\d{1,3})$/.exec(option)?.[1];
        if (dots !== undefined) ndots = Math.min(NDOTS_MAX, Number(dots));
      }
    }
  }
  return { search: search.map((domain) => domain.replace(/\.$/, '')).filter((domain) => domain !== ''), ndots, text };
}

/** What is asked for in the place of a name, in this order (resolv.conf(5)). A name that ends in a dot is whole. */
export function candidatesOf(name: string, { search, ndots }: Pick<ResolvConf, 'search' | 'ndots'>): string[] {
  if (name.endsWith('.')) return [name.slice(0, -1)];
  const completed = search.map((domain) => `${name}.${domain}`);
  const dots = name.split('.').length - 1;
  return dots >= ndots ? [name, ...completed] : [...completed, name];
}

/** Addresses that need no server: `localhost` and what stands in the hosts file; null when servers must be asked. */
export function localAddresses(name: string, hosts: ReadonlyMap<string, readonly string[]>): readonly string[] | null {
  const key = name.toLowerCase().replace(/\.$/, '');
  if (key === 'localhost' || key.endsWith('.localhost')) return ['127.0.0.1', '::1'];
  return hosts.get(key) ?? null;
}

export interface SystemNameFiles {
  readonly hosts: string;
  readonly resolvConf: string;
}

export const SYSTEM_NAME_FILES: SystemNameFiles = { hosts: '/etc/hosts', resolvConf: '/etc/resolv.conf' };

/** Both files, read again when they may be old. What cannot be read says nothing. */
export class SystemNames {
  readonly #files: SystemNameFiles;
  readonly #now: () => number;
  #readAt = Number.NEGATIVE_INFINITY;
  #hosts: ReadonlyMap<string, readonly string[]> = new Map();
  #resolv: ResolvConf = readResolvConf('');

  /** `now`: monotonic ms. */
  constructor(files: SystemNameFiles, now: () => number) {
    this.#files = files;
    this.#now = now;
  }

  async read(): Promise<{
    readonly hosts: ReadonlyMap<string, readonly string[]>;
    readonly resolv: ResolvConf;
  }> {
    if (this.#now() - this.#readAt >= SYSTEM_FILES_MS) {
      this.#readAt = this.#now();
      const [hosts, resolv] = await Promise.all([textOf(this.#files.hosts), textOf(this.#files.resolvConf)]);
      this.#hosts = readHosts(hosts);
      if (resolv !== this.#resolv.text) this.#resolv = readResolvConf(resolv);
    }
    return { hosts: this.#hosts, resolv: this.#resolv };
  }
}

async function textOf(file: string): Promise<string> {
  // A container image may hold neither: then only servers are asked, for whole names.
  return readFile(file, 'utf8').catch(() => '');
}
