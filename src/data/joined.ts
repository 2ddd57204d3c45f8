/** Fields that a client may send in several lines. */
import type { Wire } from './transport/transport.ts';

/** What stands between two lines that become one: a comma (RFC 9110 §5.3) would be part of a cookie's value (RFC 9113 §8.2.3, RFC 6265 §4.2.1). */
export function between(name: string): string {
  return name === 'cookie' ? '; ' : ', ';
}

/** All lines of a request field, joined; undefined when there is none. `name` in lower case. */
export function joined(wire: Wire, name: string): string | undefined {
  if (!wire.repeats(name)) return wire.header(name);
  const comma = between(name);
  let value: string | undefined;
  for (let i = 0; i < wire.headerCount; i++) {
    if (wire.headerName(i) === name)
      value = value === undefined ? wire.headerValue(i) : `${value}${comma}${wire.headerValue(i)}`;
  }
  return value;
}
