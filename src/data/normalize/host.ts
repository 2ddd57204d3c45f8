/**
 * The Host of a request made canonical (RFC 9110 §4.2.3, RFC 3986 §3.2.2): lower case, without port, without the dot that ends an absolute name.
 * Names are LDH labels with `_` (seen in the wild); an internationalised name comes as A-labels, raw 8-bit is refused.
 */

import { formatIpv6, parseAddress } from './address.ts';

/** Longest host with its port, bytes. */
export const HOST_BYTES_MAX = 262;
const NAME_BYTES_MAX = 253;
const LABEL_BYTES_MAX = 63;
const PORT_MAX = 65_535;

/** Lower-case name or IPv4 address, no port, no final dot: returned as it is. */
const PLAIN = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/;
const PORT = /^[0-9]{1,5}$/;
const IPV6 = /^[0-9a-f:.]{2,45}$/;

/** The canonical host, or null when it is malformed: userinfo, path, list, bad port, bad label, zone. Never throws. */
export function readHost(raw: string): string | null {
  if (raw.length === 0 || raw.length > HOST_BYTES_MAX) return null;
  let name = raw;
  if (raw.charCodeAt(0) === 0x5b) {
    const end = raw.indexOf(']');
    if (end < 0 || !portFollows(raw, end + 1)) return null;
    const literal = raw.slice(1, end).toLowerCase();
    return IPV6.test(literal) ? canonicalIpv6Host(literal) : null;
  }
  const colon = raw.indexOf(':');
  if (colon >= 0) {
    if (!portFollows(raw, colon)) return null;
    name = raw.slice(0, colon);
  }
  if (PLAIN.test(name) && short(name)) return name;
  const lower = name.toLowerCase();
  const bare = lower.endsWith('.') ? lower.slice(0, -1) : lower;
  return PLAIN.test(bare) && short(bare) ? bare : null;
}

function portFollows(raw: string, at: number): boolean {
  if (at === raw.length) return true;
  if (raw.charCodeAt(at) !== 0x3a) return false;
  const port = raw.slice(at + 1);
  // An empty port is allowed by the grammar.
  return port === '' || (PORT.test(port) && Number(port) <= PORT_MAX && Number(port) > 0);
}

function short(name: string): boolean {
  if (name.length <= LABEL_BYTES_MAX) return true;
  if (name.length > NAME_BYTES_MAX) return false;
  let from = 0;
  for (;;) {
    const dot = name.indexOf('.', from);
    if ((dot < 0 ? name.length : dot) - from > LABEL_BYTES_MAX) return false;
    if (dot < 0) return true;
    from = dot + 1;
  }
}

function canonicalIpv6Host(literal: string): string | null {
  const bytes = parseAddress(literal);
  return bytes === null || bytes.length !== 16 ? null : `[${formatIpv6(bytes)}]`;
}
