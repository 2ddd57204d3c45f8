/** Fields that a client may send in several lines. */
import type { Wire } from './transport/transport.ts';

/** All lines of a request field, joined (RFC 9110 §5.3); undefined when there is none. */
export function joined(wire: Wire, name: string): string | undefined {
  if (!wire.repeats(name)) return wire.header(name);
  let value: string | undefined;
  for (let i = 0; i < wire.headerCount; i++) {
    if (wire.headerName(i) === name)
      value = value === undefined ? wire.headerValue(i) : `${value}, ${wire.headerValue(i)}`;
  }
  return value;
}
