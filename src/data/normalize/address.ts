/** IP addresses: text to bytes, bytes to canonical text (RFC 5952), networks, and the client's address behind trusted proxies. */

/** Members of X-Forwarded-For that are read, from the right. */
export const FORWARDED_HOPS_MAX = 32;

/** Bytes of an address in text, 4 or 16, or null. No zone, no port, no leading zeros in IPv4. Never throws. */
export function parseAddress(text: string): Uint8Array | null {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

const IPV4 = /^(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})$/;

function parseIpv4(text: string): Uint8Array | null {
  const match = IPV4.exec(text);
  if (match === null) return null;
  const bytes = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    const value = Number(match[i + 1]);
    if (value > 255) return null;
    bytes[i] = value;
  }
  return bytes;
}

const GROUP = /^[0-9A-Fa-f]{1,4}$/;

function parseIpv6(text: string): Uint8Array | null {
  if (text.length > 45) return null;
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const left = groups(halves[0] ?? '', halves.length === 1);
  const right = halves.length === 2 ? groups(halves[1] ?? '', true) : [];
  if (left === null || right === null) return null;
  const missing = 16 - left.length - right.length;
  // `::` stands for at least one group.
  if (halves.length === 1 ? missing !== 0 : missing < 2) return null;
  const bytes = new Uint8Array(16);
  bytes.set(left, 0);
  bytes.set(right, 16 - right.length);
  return bytes;
}

/** Bytes of groups between colons; the last may be an IPv4 address when it ends the text. */
function groups(text: string, ends: boolean): number[] | null {
  if (text === '') return [];
  const parts = text.split(':');
  if (parts.length > 8) return null;
  const bytes: number[] = [];
  for (const [i, part] of parts.entries()) {
    if (GROUP.test(part)) {
      const value = Number.parseInt(part, 16);
      bytes.push(value >> 8, value & 0xff);
    } else {
      const tail = ends && i === parts.length - 1 ? parseIpv4(part) : null;
      if (tail === null) return null;
      bytes.push(...tail);
    }
  }
  return bytes;
}

/** True for `::ffff:a.b.c.d`, which is the IPv4 address. */
function mapped(bytes: Uint8Array): boolean {
  if (bytes.length !== 16 || bytes[10] !== 0xff || bytes[11] !== 0xff) return false;
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** The address with IPv4-mapped ones as IPv4. */
export function unmapped(bytes: Uint8Array): Uint8Array {
  return mapped(bytes) ? bytes.subarray(12) : bytes;
}

/** Canonical text of 4 or 16 bytes; IPv4-mapped ones as IPv4. `unknown` for anything else. */
export function formatAddress(bytes: Uint8Array): string {
  const plain = unmapped(bytes);
  if (plain.length === 4) return `${plain[0]}.${plain[1]}.${plain[2]}.${plain[3]}`;
  return plain.length === 16 ? formatIpv6(plain) : 'unknown';
}

/** RFC 5952 §4: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as `::`. */
export function formatIpv6(bytes: Uint8Array): string {
  let bestFrom = -1;
  let bestLength = 1;
  for (let from = 0; from < 8; from++) {
    let length = 0;
    while (from + length < 8 && groupAt(bytes, from + length) === 0) length++;
    if (length > bestLength) {
      bestFrom = from;
      bestLength = length;
    }
    if (length > 0) from += length - 1;
  }
  let text = '';
  for (let i = 0; i < 8; i++) {
    if (i === bestFrom) {
      text += '::';
      i += bestLength - 1;
      continue;
    }
    if (text !== '' && !text.endsWith(':')) text += ':';
    text += groupAt(bytes, i).toString(16);
  }
  return text;
}

/** Bytes of an IPv6 address that its holder does not choose (RFC 6177): one customer has all the others. */
const NETWORK_BYTES = 8;

/** By what an address counts as one client: an IPv6 address by its /64, as limits do; anything else by itself. */
export function clientKey(address: string): string {
  if (!address.includes(':')) return address;
  const bytes = parseIpv6(address);
  return bytes === null ? address : formatIpv6(bytes.fill(0, NETWORK_BYTES));
}

function groupAt(bytes: Uint8Array, group: number): number {
  return ((bytes[group * 2] ?? 0) << 8) | (bytes[group * 2 + 1] ?? 0);
}

/** A network: address and number of leading bits. */
interface Network {
  readonly bytes: Uint8Array;
  readonly bits: number;
}

/** Networks, asked for every request: few, so a list. */
export class Networks {
  readonly #list: readonly Network[];

  /** `cidrs` were checked when they were compiled; what cannot be read matches nothing. */
  constructor(cidrs: readonly string[]) {
    this.#list = cidrs.map(parseNetwork).filter((network) => network !== null);
  }

  get size(): number {
    return this.#list.length;
  }

  has(address: Uint8Array): boolean {
    for (const network of this.#list) if (within(address, network)) return true;
    return false;
  }
}

function parseNetwork(cidr: string): Network | null {
  const slash = cidr.indexOf('/');
  const parsed = parseAddress(slash < 0 ? cidr : cidr.slice(0, slash));
  if (parsed === null) return null;
  const bytes = unmapped(parsed);
  const cut = parsed.length - bytes.length;
  const bits = slash < 0 ? bytes.length * 8 : Number(cidr.slice(slash + 1)) - cut * 8;
  return Number.isInteger(bits) && bits >= 0 && bits <= bytes.length * 8 ? { bytes, bits } : null;
}

function within(address: Uint8Array, network: Network): boolean {
  if (address.length !== network.bytes.length) return false;
  const whole = network.bits >> 3;
  for (let i = 0; i < whole; i++) if (address[i] !== network.bytes[i]) return false;
  const rest = network.bits & 7;
  if (rest === 0) return true;
  const mask = (0xff << (8 - rest)) & 0xff;
  return ((address[whole] ?? 0) & mask) === ((network.bytes[whole] ?? 0) & mask);
}

/**
 * The client behind trusted proxies: X-Forwarded-For is read from the right, each member being the peer that the one to its right saw. The first that is
 * not trusted is the client; what stands to its left is anybody's claim. A member that is no address ends the walk at the last good one.
 * `lists`: the values of all X-Forwarded-For fields, in wire order.
 */
export function clientBehind(peer: Uint8Array, lists: readonly string[], trusted: Networks): Uint8Array {
  let client = unmapped(peer);
  let hops = 0;
  for (let i = lists.length - 1; i >= 0; i--) {
    const list = lists[i] ?? '';
    let to = list.length;
    while (to >= 0) {
      if (!trusted.has(client) || ++hops > FORWARDED_HOPS_MAX) return client;
      const comma = to === 0 ? -1 : list.lastIndexOf(',', to - 1);
      const next = parseAddress(bare(list.slice(comma + 1, to).trim()));
      if (next === null) return client;
      client = unmapped(next);
      to = comma;
    }
  }
  return client;
}

/** Some proxies write `1.2.3.4:567` and `[::1]:567`. */
function bare(member: string): string {
  if (member.startsWith('[')) {
    const end = member.indexOf(']');
    return end < 0 ? member : member.slice(1, end);
  }
  const colon = member.indexOf(':');
  return colon >= 0 && colon === member.lastIndexOf(':') ? member.slice(0, colon) : member;
}
