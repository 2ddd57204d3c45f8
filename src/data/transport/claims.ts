/** What a client may not say to an upstream. */

/**
 * Fields by which many upstreams believe where a request came from or what it asks for, while we routed, limited and decided by other things. A client's own
 * never pass a transport (nor with `_` for `-`, which CGI and its heirs cannot tell apart); whoever needs one sets it in the route's `requestHeaders`, which
 * does pass. Lower-case. The native transport has the same list (`native/transport/src/engine/fields.rs`).
 */
export const CLIENT_CLAIMS: ReadonlySet<string> = new Set([
  'x-forwarded-client-cert',
  'x-real-ip',
  'x-client-ip',
  'true-client-ip',
  'x-cluster-client-ip',
  'x-forwarded',
  'x-forwarded-port',
  'x-forwarded-server',
  'x-forwarded-prefix',
  'x-forwarded-scheme',
  'x-original-url',
  'x-original-host',
  'x-rewrite-url',
  'x-http-method-override',
  'x-http-method',
  'x-method-override',
]);

const X = 'x'.charCodeAt(0);
const T = 't'.charCodeAt(0);

/** True for a lower-case name that only a proxy may say. */
export function isClaim(name: string): boolean {
  const first = name.charCodeAt(0);
  return (first === X || first === T) && CLIENT_CLAIMS.has(name.includes('_') ? name.replaceAll('_', '-') : name);
}
