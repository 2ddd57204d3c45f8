/** What `POST /v1/cache/purge` asks to forget: exactly one of `url`, `prefix`, `tag`, `all`. */
import { readHost } from '../data/normalize/host.ts';
import { canonicalTarget } from '../data/normalize/reference.ts';
import type { CachePurge } from '../snapshot/messages.ts';

const EXPECTED = 'say exactly one of url=<http(s) URL>, prefix=<http(s) URL>, tag=<tag>, all=true';

/** The purge, or what is wrong with it. */
export function purgeOf(query: URLSearchParams): CachePurge | string {
  const [first, ...others] = [...query.entries()];
  if (first === undefined || others.length > 0) return EXPECTED;
  const [name, value] = first;
  switch (name) {
    case 'all':
      return value === 'true' ? { by: 'all' } : EXPECTED;
    case 'tag':
      return /^[\x21-\x2b\x2d-\x7e]{1,1024}$/.test(value)
        ? { by: 'tag', tag: value.toLowerCase() }
        : 'a tag is a word of printable ASCII without commas';
    case 'url':
    case 'prefix':
      return addressOf(name === 'url' ? 'address' : 'prefix', value);
    default:
      return EXPECTED;
  }
}

/** The scheme and the port do not matter: what is stored of an address goes for all of them. */
function addressOf(by: 'address' | 'prefix', value: string): CachePurge | string {
  const url = URL.canParse(value) ? new URL(value) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) return `"${value}" is no http or https URL`;
  const host = readHost(url.hostname);
  const target = canonicalTarget(url);
  return host === null || target === null ? `no request can ask for "${value}"` : { by, host, target };
}
