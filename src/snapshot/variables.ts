/** Texts that are made for each request: header values and the upstream's Host. Written as `text ${variable} text`, compiled to parts once. */

/** Variables without a name of their own, and what each is. Where there is nothing to say, a variable is empty. */
export const VARIABLES = {
  requestId: 'the id by which the gateway knows the request',
  clientRequestId: "the client's own X-Request-Id, when it sent a sane one",
  address: "the client's address, behind trusted proxies",
  country: "the country of the client's address (ISO 3166-1), by the bootstrap's `countryFile`; empty when unknown",
  method: 'the method',
  scheme: '`http` or `https`, as the client asked',
  host: 'the host that the client asked for, without port',
  path: 'the path that the client asked for, in canonical form, percent-encoded',
  query: 'the query as sent, without `?`',
  route: "the route's id",
  tenant: 'the tenant',
  cell: 'the cell',
  endpoint:
    '`host:port` of the endpoint; not in `add`, `append` and `setIfAbsent`, for another attempt may go to another one',
  subject: '`sub` of the verified token',
  issuer: 'the id of the issuer that signed it',
  listener: 'the id of the listener that accepted the connection',
  tlsVersion: '`TLSv1.3` or `TLSv1.2`',
  tlsCipher: 'IANA name of the cipher suite',
  serverName: 'the server name of the TLS handshake',
  ja4: 'JA4 fingerprint of the TLS client',
  certificate: 'SHA-256 of the verified client certificate, hex',
  certificateSubject: 'its subject (RFC 4514)',
} as const;

/** Variables that take a name after a colon. */
export const NAMED_VARIABLES = {
  header: 'a field of the request; several lines are joined with a comma',
  claim:
    'a claim of the verified token; dots descend. Texts, numbers and booleans of printable ASCII; integers beyond 2⁵³, which would be rounded to another, count as absent',
} as const;

/** Of pages in the place of refusals, besides all others. */
export const PAGE_VARIABLES = {
  code: 'the code of the refusal',
  title: 'its title',
  status: 'its status',
} as const;

export type VariableKind = keyof typeof VARIABLES | keyof typeof NAMED_VARIABLES | keyof typeof PAGE_VARIABLES;

export interface Variable {
  readonly from: VariableKind;
  /** Header (lower-case) or claim; `''` for the others. */
  readonly name: string;
}

/** Literal, or a variable. */
export type TextPart = string | Variable;

/** A field whose value is made for each request; an empty one is not sent. */
export interface MadeField {
  /** Lower-case. */
  readonly name: string;
  readonly parts: readonly TextPart[];
}

/** Edits that need the request. In the order set, setIfAbsent, append, add. */
export interface MadeEdits {
  readonly set: readonly MadeField[];
  readonly absent: readonly MadeField[];
  readonly append: readonly MadeField[];
  readonly add: readonly MadeField[];
  /** Some value names the endpoint: made anew for every attempt. */
  readonly byEndpoint: boolean;
}
