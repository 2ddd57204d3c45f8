/**
 * Every answer that the gateway gives by itself: one table. The only place with HTTP status numbers of our own.
 * Rendered as RFC 9457 `application/problem+json`; the client learns code, title and request id, never the rule, the endpoint or an
 * exception text: those go to the decision record (`cnx explain`).
 */

/** Whose fault it is. Retries, metrics and alerts differ by it. */
export type Blame = 'downstream' | 'gateway' | 'upstream';

export interface RefusalRow {
  /** Stable, documented, part of the interface: clients and dashboards may match on it. */
  readonly code: string;
  readonly status: number;
  readonly blame: Blame;
  /** True when the connection cannot be reused (its framing is in doubt, or we are leaving). */
  readonly close: boolean;
  readonly title: string;
  /** Place in `REFUSALS`, as records and metrics store it. */
  readonly index: number;
}

type Row = readonly [status: number, blame: Blame, close: boolean, title: string];

const ROWS = {
  // The message itself (normalize, transport).
  bad_request: [400, 'downstream', true, 'The request is not well-formed HTTP'],
  bad_framing: [400, 'downstream', true, 'The length of the request body is ambiguous'],
  bad_host: [400, 'downstream', true, 'The Host header is missing, repeated or malformed'],
  bad_target: [400, 'downstream', true, 'The request target is malformed'],
  bad_header: [400, 'downstream', true, 'A header field is malformed'],
  request_timeout: [408, 'downstream', true, 'The request took too long to arrive'],
  body_too_large: [413, 'downstream', true, 'The request body is too large'],
  target_too_long: [414, 'downstream', true, 'The request target is too long'],
  expectation_failed: [417, 'downstream', true, 'The expectation cannot be met'],
  head_too_large: [431, 'downstream', true, 'The request headers are too large'],
  method_not_implemented: [501, 'downstream', true, 'The request method is not implemented'],
  version_not_supported: [505, 'downstream', true, 'The HTTP version is not supported'],
  // match
  no_route: [404, 'downstream', false, 'No route for this host and path'],
  method_not_allowed: [405, 'downstream', false, 'The method is not allowed here'],
  // Not 426, which asks for the upgrade it names (RFC 9110 §15.5.22).
  upgrade_not_allowed: [403, 'downstream', false, 'This route does not accept protocol upgrades'],
  // waf
  waf_blocked: [403, 'downstream', false, 'The request was blocked by the web application firewall'],
  waf_exhausted: [403, 'downstream', false, 'The request could not be inspected within its budget'],
  waf_failed: [503, 'gateway', false, 'The request could not be inspected'],
  waf_answer_blocked: [403, 'upstream', false, 'The answer was blocked by the web application firewall'],
  waf_answer_failed: [502, 'gateway', false, 'The answer could not be inspected'],
  // authenticate
  token_missing: [401, 'downstream', false, 'A bearer token is required'],
  token_malformed: [401, 'downstream', false, 'The bearer token is malformed'],
  token_invalid: [401, 'downstream', false, 'The bearer token is not valid'],
  token_expired: [401, 'downstream', false, 'The bearer token has expired'],
  keys_unavailable: [503, 'gateway', false, 'The bearer token cannot be verified at present'],
  // admit, limit
  rate_limited: [429, 'downstream', false, 'Too many requests'],
  // authorize
  policy_denied: [403, 'downstream', false, 'Not allowed by policy'],
  policy_failed: [500, 'gateway', false, 'The policy could not be evaluated'],
  // route, balance
  tenant_unknown: [403, 'downstream', false, 'The tenant of this request cannot be determined'],
  misdirected: [421, 'downstream', false, 'The connection was made to another server name'],
  region_forbidden: [403, 'gateway', false, 'The tenant of this request may not be served here'],
  cell_unavailable: [503, 'gateway', false, 'The cell of this tenant is not available'],
  circuit_open: [503, 'upstream', false, 'The upstream has failed too often just now'],
  bulkhead_full: [503, 'gateway', false, 'Too many requests are under way there'],
  no_endpoint: [503, 'upstream', false, 'No healthy endpoint is available'],
  // respond
  no_file: [404, 'downstream', false, 'No file for this path'],
  not_rewritable: [400, 'downstream', false, 'The request cannot be rewritten for the upstream'],
  // stepped back: what the services depend on is down
  read_only: [503, 'gateway', false, 'Nothing can be changed at present'],
  static_only: [503, 'gateway', false, 'The service is not available at present'],
  // the response cache
  not_cached: [504, 'downstream', false, 'Only a stored answer was asked for, and none is there'],
  // forward
  upstream_unreachable: [502, 'upstream', false, 'The upstream could not be reached'],
  upstream_reset: [502, 'upstream', false, 'The upstream closed the connection'],
  upstream_invalid: [502, 'upstream', false, 'The upstream sent an invalid response'],
  upstream_timeout: [504, 'upstream', false, 'The upstream did not answer in time'],
  upstream_busy: [503, 'upstream', false, 'Too many requests wait for the upstream'],
  // the gateway itself
  not_ready: [503, 'gateway', true, 'No configuration is active yet'],
  shed: [503, 'gateway', false, 'The gateway is overloaded; try again later'],
  overloaded: [503, 'gateway', true, 'The gateway is overloaded'],
  draining: [503, 'gateway', true, 'The gateway is shutting down'],
  internal_error: [500, 'gateway', true, 'Internal error'],
} as const satisfies Record<string, Row>;

export type RefusalCode = keyof typeof ROWS;

function rowsOf(): Readonly<Record<RefusalCode, RefusalRow>> {
  const entries = (Object.keys(ROWS) as RefusalCode[]).map((code, index): [RefusalCode, RefusalRow] => {
    const [status, blame, close, title]: Row = ROWS[code];
    return [code, Object.freeze({ code, status, blame, close, title, index })];
  });
  return Object.freeze(Object.fromEntries(entries) as Record<RefusalCode, RefusalRow>);
}

/** The table, by code. */
export const REFUSALS = rowsOf();

/** The table, by `RefusalRow.index`. */
export const REFUSAL_LIST: readonly RefusalRow[] = Object.freeze(Object.values(REFUSALS));

/** Whole seconds after which a client may come again that was turned away under overload. */
export const SHED_RETRY_AFTER_S = 1;

/** The answer to `OPTIONS *`, which asks the gateway itself (RFC 9110 §9.3.7), and to OPTIONS that may go no further (§7.6.2). */
export const ASTERISK_STATUS = 204;

/** An endpoint agrees to another protocol (RFC 9110 §15.2.2). */
export const SWITCHED_STATUS = 101;

/** Statuses of answers out of the bundle's files (RFC 9110 §15). */
export const STATIC_STATUS = { ok: 200, part: 206, moved: 301, notModified: 304, unsatisfiable: 416 } as const;

/** The answer to a preflight of the CORS protocol: it has no content. */
export const PREFLIGHT_STATUS = 204;

/** Statuses that a client may retry later and that therefore carry `Retry-After` when the stage knows when. */
export const CONTENT_TYPE_PROBLEM = 'application/problem+json';

const BEFORE_ID = REFUSAL_LIST.map(
  (row) =>
    `{"type":"about:blank","title":${JSON.stringify(row.title)},"status":${row.status},"code":"${row.code}","request_id":"`,
);

/** The body of a refusal. The request id is made of hexadecimal digits and dashes, so it needs no escaping. */
export function refusalBody(row: RefusalRow, requestId: string): string {
  return `${BEFORE_ID[row.index]}${requestId}"}\n`;
}
