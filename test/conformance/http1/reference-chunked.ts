/** The chunked transfer coding, read strictly (RFC 9112 §7.1). */
import type { Finding } from './findings.ts';
import { fieldLines, hasInvalid } from './reference-fields.ts';

const NOT_IN_TRAILERS = new Set(
  `transfer-encoding content-length host trailer te connection authorization proxy-authorization cookie set-cookie content-type content-encoding
   content-range cache-control expect max-forwards pragma range age date expires location retry-after vary warning`.split(
    /\s+/,
  ),
);
const CHUNK_EXTENSION_LARGE = 256;
const CHUNK_LINE =
  /^([0-9A-Fa-f]+)((?:[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[ \t]*=[ \t]*(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[\t !#-[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)*)$/;

export interface Chunked {
  readonly outcome: 'complete' | 'incomplete' | 'invalid';
  readonly end: number;
  readonly body: Buffer;
  readonly trailers: (readonly [string, string])[];
}

export function readChunked(bytes: Buffer, text: string, start: number, findings: Set<Finding>): Chunked {
  const parts: Buffer[] = [];
  let at = start;
  const stop = (outcome: 'incomplete' | 'invalid', finding?: Finding): Chunked => {
    if (finding !== undefined) findings.add(finding);
    return { outcome, end: bytes.length, body: Buffer.concat(parts), trailers: [] };
  };
  for (;;) {
    const lineEnd = text.indexOf('\r\n', at);
    const line = lineEnd < 0 ? text.slice(at) : text.slice(at, lineEnd);
    // Without its end, a line is still known to be wrong once an LF or a byte that no size begins with is in it.
    if (lineEnd < 0)
      return line.includes('\n') || /^[^0-9A-Fa-f\r]/.test(line) ? stop('invalid', 'chunk-line') : stop('incomplete');
    const match = CHUNK_LINE.exec(line);
    const digits = (match?.[1] ?? '').replace(/^0+(?=.)/, '');
    if (match === null || digits.length > 13) return stop('invalid', 'chunk-line');
    if ((match[2] ?? '').length > CHUNK_EXTENSION_LARGE) findings.add('chunk-extension-large');
    const size = Number.parseInt(digits, 16);
    at = lineEnd + 2;
    if (size === 0) return readTrailers(bytes, text, at, parts, findings);
    if (at + size > bytes.length) {
      parts.push(bytes.subarray(at));
      return stop('incomplete');
    }
    parts.push(bytes.subarray(at, at + size));
    at += size;
    const after = text.slice(at, at + 2);
    if (after !== '\r\n') return '\r\n'.startsWith(after) ? stop('incomplete') : stop('invalid', 'chunk-data');
    at += 2;
  }
}

function readTrailers(bytes: Buffer, text: string, start: number, parts: Buffer[], findings: Set<Finding>): Chunked {
  const body = Buffer.concat(parts);
  if (text.startsWith('\r\n', start)) return { outcome: 'complete', end: start + 2, body, trailers: [] };
  const end = text.indexOf('\r\n\r\n', start);
  const own = new Set<Finding>();
  const section = end < 0 ? text.slice(start).replace(/\r?$/, '') : text.slice(start, end);
  const trailers = section === '' ? [] : fieldLines(section.split('\r\n'), own);
  if (end < 0) {
    const wrong = own.has('bare-lf') || own.has('line-folding') || own.has('control');
    if (wrong) findings.add('trailer-malformed');
    return { outcome: wrong ? 'invalid' : 'incomplete', end: bytes.length, body, trailers: [] };
  }
  if (hasInvalid(own)) {
    findings.add('trailer-malformed');
    return { outcome: 'invalid', end: bytes.length, body, trailers };
  }
  if (trailers.some(([name]) => NOT_IN_TRAILERS.has(name.toLowerCase()))) findings.add('trailer-forbidden');
  return { outcome: 'complete', end: end + 4, body, trailers };
}
