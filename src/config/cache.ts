/** The response cache of a route. */
import type { Static } from 'typebox';
import { Bytes, closed, Ms, word } from './fields.ts';

export const CacheConfig = closed(
  {
    bodyBytesMax: Bytes('Longest body that is stored; a longer answer passes.', 0, 1_048_576, 1_048_576),
    staleWhileRevalidateMs: Ms(
      'How long a stale answer serves while it is fetched anew, unless the answer says (stale-while-revalidate).',
      0,
      86_400_000,
      0,
    ),
    staleIfErrorMs: Ms(
      'How long a stale answer serves when the upstream fails or says 500, 502, 503 or 504, unless the answer says (stale-if-error).',
      0,
      604_800_000,
      0,
    ),
    setCookie: word(
      ['skip', 'strip', 'store'],
      'Answers that set cookies: skip = not stored; strip = stored without the cookie; store = stored with it, as RFC 9111 has it: everybody gets the same cookie.',
      'skip',
    ),
    requestDirectives: word(
      ['ignore', 'honour'],
      'Cache-Control of requests: ignore = clients cannot get round the cache; honour = no-cache, no-store, max-age, min-fresh, max-stale and only-if-cached count (RFC 9111 §5.2.1).',
      'ignore',
    ),
    collapseTimeoutMs: Ms(
      'How long requests for the same answer wait for the one that fetches it, to the second; 0 = each goes by itself.',
      0,
      30_000,
      5_000,
    ),
  },
  'Answers are stored and used again as RFC 9111 says of a shared cache (cache.md). Without it nothing is stored. Needs `transport: native`.',
);
export type CacheConfig = Static<typeof CacheConfig>;
