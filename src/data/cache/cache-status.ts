/** The Cache-Status field (RFC 9211): what this cache did, for people and tools. */

/** Who we are in it. */
const NAME = 'cloudnexus';

/** Answered from what is stored. `ttl`: seconds that it is still fresh; negative when it is stale. */
export function hitStatus(ttl: number, more = ''): string {
  return `${NAME}; hit; ttl=${Math.floor(ttl)}${more}`;
}

/** Why a request went upstream (RFC 9211 §2.2). */
export type Forwarded = 'bypass' | 'method' | 'uri-miss' | 'vary-miss' | 'request' | 'stale' | 'partial';

/** Went upstream, and what came of it. */
export function forwardedStatus(why: Forwarded, status: number, stored: boolean, more = ''): string {
  return `${NAME}; fwd=${why}${status === 0 ? '' : `; fwd-status=${status}`}${stored ? '; stored' : ''}${more}`;
}
