/** One cookie of a request (RFC 6265 §5.4), without taking the field apart. */
import type { Wire } from './transport/transport.ts';

/** Value of the first cookie of this name, as sent; undefined when there is none. HTTP/2 may send the field in several lines (RFC 9113 §8.2.3). */
export function cookieOf(wire: Wire, name: string): string | undefined {
  const line = wire.header('cookie');
  if (line === undefined) return undefined;
  const found = cookieIn(line, name);
  if (found !== undefined || !wire.repeats('cookie')) return found;
  for (let i = 0; i < wire.headerCount; i++) {
    if (wire.headerName(i) !== 'cookie') continue;
    const value = cookieIn(wire.headerValue(i), name);
    if (value !== undefined) return value;
  }
  return undefined;
}

const SEMICOLON = 0x3b;
const SPACE = 0x20;
const EQUALS = 0x3d;

/** Value of a cookie in one line; linear in its length. */
export function cookieIn(line: string, name: string): string | undefined {
  let from = 0;
  while (from < line.length) {
    while (from < line.length && line.charCodeAt(from) === SPACE) from++;
    let to = line.indexOf(';', from);
    if (to < 0) to = line.length;
    if (line.charCodeAt(from + name.length) === EQUALS && line.startsWith(name, from)) {
      const value = line.slice(from + name.length + 1, to);
      return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
    }
    from = to;
    if (line.charCodeAt(from) === SEMICOLON) from++;
  }
  return undefined;
}
