/**
 * A strict reader of HTTP/1.1 requests, written from RFC 9112 for this suite alone: no code of the gateway judges the gateway.
 * It serves twice: the recording upstream reads with it what a gateway sent, and the judges read with it what a case is.
 * It goes on after a finding where it can, so that all properties of a head are known.
 */
import type { Finding } from './findings.ts';
import { readChunked } from './reference-chunked.ts';
import { charFindings, fieldLines, hasInvalid, LINE_BYTES_LARGE, listOf, TOKEN, valuesOf } from './reference-fields.ts';

export interface Message {
  /** `incomplete`: more bytes could still make it whole. `invalid`: its end cannot be known, or it has an invalid finding. */
  readonly outcome: 'complete' | 'incomplete' | 'invalid';
  readonly start: number;
  /** First byte after the message; meaningful when `endKnown`. */
  readonly end: number;
  /** The end is known although a finding makes it invalid (a bad Host, say). */
  readonly endKnown: boolean;
  readonly headComplete: boolean;
  readonly method: string;
  readonly target: string;
  readonly version: string;
  /** Name as written, value without surrounding white space. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly framing: 'none' | 'length' | 'chunked';
  readonly body: Buffer;
  readonly trailers: readonly (readonly [name: string, value: string])[];
  readonly findings: ReadonlySet<Finding>;
  /** The connection ends after this message (Connection: close, or HTTP/1.0 without keep-alive). */
  readonly last: boolean;
}

const COMMON_METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
const METHODS_WITH_CONTENT = new Set(['POST', 'PUT', 'PATCH']);
const SINGLETONS = new Set([
  'content-type',
  'authorization',
  'content-range',
  'date',
  'max-forwards',
  'range',
  'user-agent',
  'referer',
  'from',
]);
const CONTENT_LARGE = 1024 * 1024;
/** Anything but the bytes that RFC 3986 lets stand in path and query, with `%` only before two hex digits. */
const NOT_IN_TARGET = /[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%]|%(?![0-9A-Fa-f]{2})/;

const EMPTY = Buffer.alloc(0);

/** Reads one message that begins at `start`. */
export function readMessage(bytes: Buffer, start = 0): Message {
  const findings = new Set<Finding>();
  const text = bytes.latin1Slice();
  let at = start;
  while (text.startsWith('\r\n', at)) {
    findings.add('leading-empty-line');
    at += 2;
  }
  const strictEnd = text.indexOf('\r\n\r\n', at);
  const laxEnd = at + text.slice(at).search(/\n\r?\n/);
  const laxFound = laxEnd >= at;
  const nothing = {
    start,
    method: '',
    target: '',
    version: '',
    fields: [],
    framing: 'none',
    body: EMPTY,
    trailers: [],
    last: false,
  } as const;
  if (strictEnd < 0) {
    if (laxFound) findings.add('bare-lf');
    return {
      ...nothing,
      outcome: laxFound ? 'invalid' : 'incomplete',
      end: bytes.length,
      endKnown: false,
      headComplete: laxFound,
      findings,
    };
  }
  // A lenient reader would stop at an LF that precedes an LF; a strict one has a bare LF in its head. The finding is the same.
  const head = text.slice(at, strictEnd);
  const lines = head.split('\r\n');
  const { method, target, version } = requestLine(lines[0] ?? '', findings);
  const fields = fieldLines(lines.slice(1), findings);
  // The empty line's own LF may end a lenient reader's head earlier: "\n\r\n".
  if (laxFound && laxEnd < strictEnd) findings.add('bare-lf');
  hostFindings(target, version, fields, findings);
  otherFindings(method, fields, findings);
  const framing = framingOf(method, version, fields, findings);
  const connection = listOf(fields, 'connection').map((option) => option.toLowerCase());
  const last = connection.includes('close') || (version === 'HTTP/1.0' && !connection.includes('keep-alive'));
  const common = { start, headComplete: true, method, target, version, fields, framing: framing.kind, last };

  const bodyStart = strictEnd + 4;
  if (framing.ambiguous) {
    return { ...common, outcome: 'invalid', end: bytes.length, endKnown: false, body: EMPTY, trailers: [], findings };
  }
  if (framing.kind === 'chunked') {
    const chunked = readChunked(bytes, text, bodyStart, findings);
    const outcome = chunked.outcome === 'complete' && hasInvalid(findings) ? 'invalid' : chunked.outcome;
    const endKnown = chunked.outcome === 'complete';
    return { ...common, outcome, end: chunked.end, endKnown, body: chunked.body, trailers: chunked.trailers, findings };
  }
  const end = bodyStart + framing.length;
  const body = bytes.subarray(bodyStart, Math.min(end, bytes.length));
  const outcome = hasInvalid(findings) ? 'invalid' : end > bytes.length ? 'incomplete' : 'complete';
  return { ...common, outcome, end, endKnown: end <= bytes.length, body, trailers: [], findings };
}

/** Reads messages until one is not whole, or one ends the connection. The last entry may be incomplete or invalid. */
export function readStream(bytes: Buffer): Message[] {
  const messages: Message[] = [];
  for (let at = 0; at < bytes.length; ) {
    const message = readMessage(bytes, at);
    messages.push(message);
    if (message.outcome !== 'complete' || message.last) break;
    at = message.end;
  }
  return messages;
}

/** Whether an answer or a close is due for these bytes: a whole message, or one whose fault is beyond doubt, has been sent. */
export function answerIsDue(messages: readonly Message[]): boolean {
  const first = messages[0];
  if (first === undefined) return false;
  return first.outcome === 'complete' || (first.outcome === 'invalid' && first.headComplete);
}

function requestLine(line: string, findings: Set<Finding>): { method: string; target: string; version: string } {
  charFindings(line, findings, false);
  if (line.length >= LINE_BYTES_LARGE) findings.add('head-large');
  const parts = line.split(' ');
  const [method = '', target = '', version = ''] = parts;
  if (parts.length !== 3 || target === '' || !/^HTTP\/[0-9]\.[0-9]$/.test(version)) findings.add('request-line');
  if (!TOKEN.test(method)) findings.add('method');
  else if (!COMMON_METHODS.has(method)) findings.add('method-uncommon');
  if (/^HTTP\/[0-9]\.[0-9]$/.test(version)) {
    if (version === 'HTTP/1.0') findings.add('http-1.0');
    else if (!version.startsWith('HTTP/1.')) findings.add('version');
    else if (version !== 'HTTP/1.1') findings.add('http-1.x');
  }
  targetFindings(method, target, findings);
  return { method, target, version };
}

function targetFindings(method: string, target: string, findings: Set<Finding>): void {
  if (target === '*') {
    findings.add(method === 'OPTIONS' ? 'asterisk-form' : 'target');
    return;
  }
  if (method === 'CONNECT') {
    if (!/^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]+$/.test(target)) findings.add('target');
    return;
  }
  let path = target;
  const absolute = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?]*)(.*)$/s.exec(target);
  if (absolute !== null) {
    const [, scheme = '', authority = '', rest = ''] = absolute;
    if (!/^https?$/i.test(scheme) || hostVerdict(authority) === 'malformed') findings.add('target');
    else if (!/^http$/i.test(scheme)) findings.add('scheme-other');
    path = rest === '' || rest.startsWith('?') ? `/${rest}` : rest;
  }
  if (!path.startsWith('/') || NOT_IN_TARGET.test(path)) findings.add('target');
  const onlyPath = path.split('?', 1)[0] ?? '';
  if (/%(?:0[0-9a-f]|1[0-9a-f]|7f|2f|5c)/i.test(onlyPath)) findings.add('target-encoded-control');
  if (/(?:^|\/)(?:\.|%2e){1,2}(?:\/|$)|\/\//i.test(onlyPath)) findings.add('target-dot-segments');
}

function hostVerdict(host: string): 'plain' | 'unusual' | 'malformed' {
  const match = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]+)(?::([0-9]*))?$/.exec(host);
  if (match === null) return 'malformed';
  const [, name = '', port] = match;
  const portOk = port === undefined || (port !== '' && Number(port) <= 65_535);
  return portOk && /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)$/.test(name) ? 'plain' : 'unusual';
}

function hostFindings(target: string, version: string, fields: Message['fields'], findings: Set<Finding>): void {
  const hosts = valuesOf(fields, 'host');
  const [host] = hosts;
  if (hosts.length > 1) findings.add('host-repeated');
  if (host === undefined) {
    if (version !== 'HTTP/1.0') findings.add('host-missing');
    return;
  }
  for (const value of hosts) {
    const verdict = hostVerdict(value);
    if (verdict === 'malformed') findings.add('host-malformed');
    else if (verdict === 'unusual') findings.add('host-unusual');
  }
  const authority = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/([^/?]*)/.exec(target)?.[1];
  if (authority !== undefined && authority.toLowerCase() !== host.toLowerCase()) findings.add('host-differs');
}

function otherFindings(method: string, fields: Message['fields'], findings: Set<Finding>): void {
  const seen = new Set<string>();
  for (const [name] of fields) {
    const lower = name.toLowerCase();
    if (seen.has(lower) && SINGLETONS.has(lower)) findings.add('field-repeated');
    seen.add(lower);
    if (/^(?:content_length|transfer_encoding)$/.test(lower)) findings.add('framing-lookalike');
  }
  if (seen.has('upgrade')) findings.add('upgrade');
  if (seen.has('expect')) findings.add('expect');
  if (method === 'CONNECT') findings.add('method-uncommon');
}

interface Framing {
  readonly kind: 'none' | 'length' | 'chunked';
  readonly length: number;
  /** The end of the message cannot be known. */
  readonly ambiguous: boolean;
}

function framingOf(method: string, version: string, fields: Message['fields'], findings: Set<Finding>): Framing {
  const lengths = valuesOf(fields, 'content-length');
  const codings = valuesOf(fields, 'transfer-encoding');
  let ambiguous = false;
  const fault = (finding: Finding): void => {
    findings.add(finding);
    ambiguous = true;
  };
  if (lengths.length > 0 && codings.length > 0) fault('both-framings');
  let length = 0;
  if (lengths.length > 0) {
    const [first = ''] = lengths;
    length = Number(first);
    if (lengths.length > 1 || !/^[0-9]+$/.test(first) || !Number.isSafeInteger(length)) fault('content-length');
    else if (/^0[0-9]/.test(first)) findings.add('content-length-zeros');
    if (length > CONTENT_LARGE) findings.add('content-large');
  }
  if (codings.length > 0) {
    const names = listOf(fields, 'transfer-encoding').map((coding) => coding.toLowerCase());
    const chunkedOnce = names.filter((coding) => coding === 'chunked').length === 1;
    if (
      version === 'HTTP/1.0' ||
      names.some((coding) => !TOKEN.test(coding)) ||
      names.at(-1) !== 'chunked' ||
      !chunkedOnce
    ) {
      fault('transfer-encoding');
    } else if (names.length > 1) findings.add('transfer-coding-other');
  }
  // A field name with a flaw in it may be a framing field to somebody else: the end of the message is then in doubt as well.
  if (
    fields.some(([name]) => !TOKEN.test(name)) ||
    findings.has('line-folding') ||
    findings.has('bare-lf') ||
    findings.has('bare-cr')
  )
    ambiguous = true;
  const kind = codings.length > 0 ? 'chunked' : lengths.length > 0 ? 'length' : 'none';
  if ((kind === 'chunked' || length > 0) && !METHODS_WITH_CONTENT.has(method) && COMMON_METHODS.has(method))
    findings.add('content-unexpected');
  return { kind, length: ambiguous ? 0 : length, ambiguous };
}
