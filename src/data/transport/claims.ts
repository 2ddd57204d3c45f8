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
  // By it code tells a copy that must not act from a request that must.
  'x-mirrored-request',
  'x-forwarded-ssl',
  'x-forwarded-protocol',
  'x-url-scheme',
  'front-end-https',
  'x-forwarded-uri',
  'x-forwarded-path',
  'x-forwarded-method',
  'x-original-uri',
  'x-original-method',
  'x-host',
  'x-http-host-override',
  'client-ip',
  // CGI and its heirs make HTTP_PROXY of it, by which libraries choose where their own requests go.
  'proxy',
]);

/** First characters of them: most fields are told by theirs. */
const FIRST: readonly boolean[] = Array.from({ length: 128 }, (_, code) => 'xtfcp'.includes(String.fromCharCode(code)));

/** True for a lower-case name that only a proxy may say. */
export function isClaim(name: string): boolean {
  return FIRST[name.charCodeAt(0)] === true && CLIENT_CLAIMS.has(name.includes('_') ? name.replaceAll('_', '-') : name);
}
