/** A public route of tests of the WAF: what begins with its id, which the upstream does not see. */
export function wafRoute(id: string, waf: object, more: object = {}): object {
  return {
    id,
    match: { path: { prefix: `/${id}` } },
    access: 'public',
    reason: 'for a test of the WAF',
    waf,
    respond: { stripPrefix: `/${id}` },
    ...more,
  };
}
