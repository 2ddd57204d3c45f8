/**
 * Reads gzipped tar archives: the `bundle.tar.gz` of `opa build`, releases of rule sets (ustar, POSIX.1-1988; the records that pax and GNU add are passed over). Only
 * regular files that are asked for are returned; nothing is written anywhere, so paths, links and devices in the archive can do no harm.
 */
import { gunzipSync } from 'node:zlib';

/** Largest archive after decompression. Unit: bytes. */
export const ARCHIVE_BYTES_MAX = 64 * 1024 * 1024;
/** Most members. */
export const ARCHIVE_MEMBERS_MAX = 8_192;
const BLOCK = 512;

export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';
}

/** Contents of the regular files whose name, without leading slashes, is wanted. Throws ArchiveError. */
export function readTarGz(bytes: Uint8Array, wanted: readonly string[]): ReadonlyMap<string, Uint8Array<ArrayBuffer>> {
  return selectFromTarGz(bytes, (name) => wanted.includes(name));
}

/** The same for names that `wants` says yes to; it hears the names of all regular files. */
export function selectFromTarGz(
  bytes: Uint8Array,
  wants: (name: string) => boolean,
): ReadonlyMap<string, Uint8Array<ArrayBuffer>> {
  const tar = inflate(bytes);
  const found = new Map<string, Uint8Array<ArrayBuffer>>();
  let members = 0;
  for (let at = 0; at + BLOCK <= tar.length; ) {
    const head = tar.subarray(at, at + BLOCK);
    if (head.every((b) => b === 0)) return found;
    if (++members > ARCHIVE_MEMBERS_MAX) throw new ArchiveError(`more than ${ARCHIVE_MEMBERS_MAX} members`);
    checkSum(head);
    const size = octal(head, 124, 12);
    const from = at + BLOCK;
    if (size > tar.length - from) throw new ArchiveError('a member is longer than the archive');
    const name = text(head, 0, 100).replace(/^(?:\.?\/)+/, '');
    const type = head[156];
    if ((type === 0 || type === 0x30) && text(head, 345, 155) === '' && wants(name)) {
      if (found.has(name)) throw new ArchiveError(`${name} is in the archive twice`);
      found.set(name, new Uint8Array(tar.subarray(from, from + size)));
    }
    at = from + Math.ceil(size / BLOCK) * BLOCK;
  }
  throw new ArchiveError('the archive has no end');
}

function inflate(bytes: Uint8Array): Buffer {
  try {
    return gunzipSync(bytes, { maxOutputLength: ARCHIVE_BYTES_MAX });
  } catch (error) {
    throw new ArchiveError(
      `not a gzip of at most ${ARCHIVE_BYTES_MAX} bytes (${error instanceof Error ? error.message : String(error)})`,
    );
  }
}

/** Sum of the header's bytes, its own field taken as spaces. */
function checkSum(head: Buffer): void {
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 0x20 : (head[i] as number);
  if (sum !== octal(head, 148, 8)) throw new ArchiveError('the checksum of a member is wrong');
}

function octal(head: Buffer, at: number, length: number): number {
  const digits = text(head, at, length).trim();
  if (!/^[0-7]{1,11}$/.test(digits)) throw new ArchiveError('a number of a member is malformed');
  return Number.parseInt(digits, 8);
}

function text(head: Buffer, at: number, length: number): string {
  const end = head.indexOf(0, at);
  return head.toString('utf8', at, end < 0 || end > at + length ? at + length : end);
}
