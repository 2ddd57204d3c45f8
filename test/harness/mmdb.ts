/** Writes small MaxMind DB files for tests (MMDB 2.0): networks to countries, in any of the three record sizes. */

export interface MmdbOptions {
  readonly recordBits?: 24 | 28 | 32;
  readonly ipVersion?: 4 | 6;
  /** Member of the record that holds the country. */
  readonly member?: 'country' | 'registered_country';
}

type Tree = [Tree | number, Tree | number];
const NONE = -1;

/** `networks`: CIDR → country code. */
export function mmdbOf(networks: Readonly<Record<string, string>>, options: MmdbOptions = {}): Buffer {
  const { recordBits = 28, ipVersion = 6, member = 'country' } = options;
  const root: Tree = [NONE, NONE];
  const codes = [...new Set(Object.values(networks))];
  for (const [cidr, code] of Object.entries(networks)) put(root, bitsOf(cidr, ipVersion), codes.indexOf(code));
  const nodes: Tree[] = [];
  const numbers = new Map<Tree, number>();
  const number = (node: Tree): void => {
    numbers.set(node, nodes.length);
    nodes.push(node);
    for (const child of node) if (typeof child !== 'number') number(child);
  };
  number(root);
  const values: Buffer[] = [];
  const offsets: number[] = [];
  // The names stand once; later records point to them.
  const names = Buffer.concat([text(member), text('iso_code')]);
  const [outer, inner] = [0, text(member).length];
  let at = names.length;
  for (const code of codes) {
    const value = Buffer.concat([map(1), pointer(outer), map(1), pointer(inner), text(code)]);
    offsets.push(at);
    values.push(value);
    at += value.length;
  }
  const record = (child: Tree | number): number =>
    typeof child !== 'number'
      ? (numbers.get(child) ?? 0)
      : child === NONE
        ? nodes.length
        : nodes.length + 16 + (offsets[child] ?? 0);
  const tree = Buffer.concat(nodes.map(([left, right]) => nodeOf(record(left), record(right), recordBits)));
  const metadata = Buffer.concat([
    map(6),
    text('node_count'),
    uint(6, nodes.length),
    text('record_size'),
    uint(5, recordBits),
    text('ip_version'),
    uint(5, ipVersion),
    text('database_type'),
    text('Test-Country'),
    text('binary_format_major_version'),
    uint(5, 2),
    text('build_epoch'),
    uint(9, 1_790_000_000),
  ]);
  return Buffer.concat([
    tree,
    Buffer.alloc(16),
    names,
    ...values,
    Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1'),
    metadata,
  ]);
}

function put(root: Tree, bits: readonly number[], leaf: number): void {
  let node = root;
  for (const [i, bit] of bits.entries()) {
    if (i === bits.length - 1) {
      node[bit] = leaf;
      return;
    }
    const next = node[bit];
    if (typeof next === 'number' || next === undefined) {
      const made: Tree = [next ?? NONE, next ?? NONE];
      node[bit] = made;
      node = made;
    } else node = next;
  }
}

function bitsOf(cidr: string, ipVersion: number): number[] {
  const [address = '', length = '0'] = cidr.split('/');
  const four = !address.includes(':');
  const bytes = four ? address.split('.').map(Number) : ipv6Bytes(address);
  const all = bytes.flatMap((byte) => Array.from({ length: 8 }, (_, i) => (byte >> (7 - i)) & 1));
  const own = all.slice(0, Number(length));
  return four && ipVersion === 6 ? [...Array.from({ length: 96 }, () => 0), ...own] : own;
}

function ipv6Bytes(address: string): number[] {
  const [left = '', right = ''] = address.split('::');
  const words = (part: string): number[] => (part === '' ? [] : part.split(':').map((w) => Number.parseInt(w, 16)));
  const [head, tail] = [words(left), words(right)];
  const all = [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail];
  return all.flatMap((word) => [word >> 8, word & 0xff]);
}

function nodeOf(left: number, right: number, bits: number): Buffer {
  const bytes = Buffer.alloc(bits / 4);
  if (bits === 28) {
    bytes.writeUIntBE(left % 0x100_0000, 0, 3);
    bytes.writeUIntBE(right % 0x100_0000, 4, 3);
    bytes[3] = (Math.floor(left / 0x100_0000) << 4) | Math.floor(right / 0x100_0000);
  } else {
    bytes.writeUIntBE(left, 0, bits / 8);
    bytes.writeUIntBE(right, bits / 8, bits / 8);
  }
  return bytes;
}

function text(value: string): Buffer {
  return Buffer.concat([
    Buffer.from(value.length < 29 ? [0x40 | value.length] : [0x40 | 29, value.length - 29]),
    Buffer.from(value),
  ]);
}

function map(members: number): Buffer {
  return Buffer.from([0xe0 | members]);
}

function pointer(to: number): Buffer {
  return Buffer.from([0x20 | ((to >> 8) & 7), to & 0xff]);
}

function uint(type: number, value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 0x100)) bytes.unshift(rest % 0x100);
  return Buffer.from([...(type < 8 ? [(type << 5) | bytes.length] : [bytes.length, type - 7]), ...bytes]);
}
