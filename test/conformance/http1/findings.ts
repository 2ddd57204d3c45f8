/**
 * What a strict reader of RFC 9110 and 9112 finds in the bytes of a request: the one table of classes by which a suite's own choice may be
 * overruled. A class is a property of the bytes, never the name of a case.
 *
 * `invalid`: the message breaks the grammar or its framing is ambiguous; a strict gateway refuses it, whatever a suite accepts.
 * `optional`: the message is well-formed, and the RFC nevertheless lets a server refuse it (or answer it by itself).
 * A suite that wants a message served which has a finding is content with a refusal too; a suite that wants a message refused which has no
 * `invalid` finding is content with one clean request upstream.
 */
export interface FindingRow {
  readonly effect: 'invalid' | 'optional';
  readonly rfc: string;
  readonly title: string;
}

export const FINDINGS = {
  'bare-lf': { effect: 'invalid', rfc: '9112 §2.2', title: 'a line that ends in LF without CR' },
  'bare-cr': { effect: 'invalid', rfc: '9112 §2.2', title: 'a CR that no LF follows' },
  control: { effect: 'invalid', rfc: '9110 §5.5', title: 'NUL, DEL or another control byte in the head' },
  'request-line': {
    effect: 'invalid',
    rfc: '9112 §3',
    title: 'a request line that is not method SP target SP version',
  },
  method: { effect: 'invalid', rfc: '9110 §9.1', title: 'a method that is not a token' },
  target: {
    effect: 'invalid',
    rfc: '9112 §3.2',
    title: 'a target in none of the four forms, or with bytes that no URI may have (fragment, quote, 8-bit)',
  },
  version: { effect: 'invalid', rfc: '9112 §2.3', title: 'a version other than HTTP/1.x' },
  'line-folding': { effect: 'invalid', rfc: '9112 §5.2', title: 'a field line that begins with white space' },
  'space-before-colon': { effect: 'invalid', rfc: '9112 §5.1', title: 'white space between field name and colon' },
  'field-name': {
    effect: 'invalid',
    rfc: '9110 §5.1',
    title: 'a field name that is empty or not a token, or a line without colon',
  },
  'host-missing': { effect: 'invalid', rfc: '9112 §3.2', title: 'HTTP/1.1 without Host' },
  'host-repeated': { effect: 'invalid', rfc: '9112 §3.2', title: 'more than one Host' },
  'host-malformed': { effect: 'invalid', rfc: '9110 §7.2', title: 'a Host that is empty or not host [":" port]' },
  'content-length': {
    effect: 'invalid',
    rfc: '9112 §6.3',
    title: 'a Content-Length that is not one decimal number, or several',
  },
  'transfer-encoding': {
    effect: 'invalid',
    rfc: '9112 §6.1',
    title: 'a Transfer-Encoding that is empty, does not end in chunked, names it twice, or comes with HTTP/1.0',
  },
  'both-framings': { effect: 'invalid', rfc: '9112 §6.1', title: 'Content-Length and Transfer-Encoding together' },
  'chunk-line': { effect: 'invalid', rfc: '9112 §7.1', title: 'a chunk size or extension that breaks the grammar' },
  'chunk-data': { effect: 'invalid', rfc: '9112 §7.1', title: 'chunk data that no CRLF follows' },
  'trailer-malformed': { effect: 'invalid', rfc: '9112 §7.1.2', title: 'a malformed trailer section' },

  'leading-empty-line': {
    effect: 'optional',
    rfc: '9112 §2.2',
    title: 'an empty line before the request line (ignoring it is a SHOULD)',
  },
  'http-1.0': { effect: 'optional', rfc: '9110 §15.6.6', title: 'HTTP/1.0, which a server may decline' },
  'http-1.x': { effect: 'optional', rfc: '9110 §15.6.6', title: 'a minor version other than 0 and 1' },
  'method-uncommon': {
    effect: 'optional',
    rfc: '9110 §9.1',
    title: 'a method other than GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS: 405 and 501 are open to every server',
  },
  'asterisk-form': { effect: 'optional', rfc: '9112 §3.2.4', title: 'OPTIONS *: asks the gateway itself' },
  'host-unusual': {
    effect: 'optional',
    rfc: '3986 §3.2.2',
    title: 'a Host of sub-delimiters or percent encodings, or with an empty or impossible port',
  },
  'host-differs': {
    effect: 'optional',
    rfc: '9112 §3.2.2',
    title: 'absolute-form whose authority is not that of Host',
  },
  'scheme-other': {
    effect: 'optional',
    rfc: '9110 §7.4',
    title: 'absolute-form of another scheme than the connection has',
  },
  'target-encoded-control': {
    effect: 'optional',
    rfc: '3986 §7.3',
    title: 'a percent-encoded control byte, slash or backslash in the path',
  },
  'target-dot-segments': {
    effect: 'optional',
    rfc: '3986 §6.2.2',
    title: 'dot segments or empty segments in the path',
  },
  'head-large': {
    effect: 'optional',
    rfc: '9110 §5.4',
    title: 'a line of 8,000 bytes or more, or more than 100 field lines: limits are the server’s own',
  },
  'content-large': { effect: 'optional', rfc: '9110 §15.5.14', title: 'content over 1 MiB' },
  'content-unexpected': {
    effect: 'optional',
    rfc: '9110 §9.3.1',
    title: 'content in a request whose method gives it no meaning',
  },
  'content-length-zeros': { effect: 'optional', rfc: '9110 §8.6', title: 'a Content-Length with leading zeros' },
  'transfer-coding-other': {
    effect: 'optional',
    rfc: '9112 §6.1',
    title: 'codings before chunked: 501 is the answer of who does not know them',
  },
  'framing-lookalike': {
    effect: 'optional',
    rfc: '9110 §5.1',
    title: 'Content_Length or Transfer_Encoding: valid names that other servers map to the real ones',
  },
  'field-repeated': { effect: 'optional', rfc: '9110 §5.3', title: 'a field repeated that has one value only' },
  'chunk-extension-large': { effect: 'optional', rfc: '9112 §7.1.1', title: 'chunk extensions over 256 bytes' },
  'trailer-forbidden': {
    effect: 'optional',
    rfc: '9110 §6.5.1',
    title: 'a trailer that frames, routes or authenticates',
  },
  upgrade: { effect: 'optional', rfc: '9110 §7.8', title: 'Upgrade: may be ignored, may be declined' },
  expect: { effect: 'optional', rfc: '9110 §10.1.1', title: 'Expect: 417 is open to a server' },
} as const satisfies Record<string, FindingRow>;

/**
 * Refusals that the RFC names for a finding beside 400. A suite that lists only 400 and sees one of these is answered well: it is remarked on.
 */
export const REFUSALS_BY_RFC: Readonly<Partial<Record<Finding, readonly number[]>>> = {
  version: [505],
  'http-1.0': [505, 426],
  'http-1.x': [505],
  'method-uncommon': [405, 501],
  'transfer-coding-other': [501],
  'host-differs': [421],
  'head-large': [414, 431],
  'content-large': [413],
  'chunk-extension-large': [413, 431],
  expect: [417],
};

export type Finding = keyof typeof FINDINGS;

export function isInvalid(finding: Finding): boolean {
  return FINDINGS[finding].effect === 'invalid';
}
