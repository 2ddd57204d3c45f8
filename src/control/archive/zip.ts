/**
 * Reads ZIP archives by their central directory (APPNOTE 6.3, stored and deflated members; no encryption, no ZIP64, one disk). Only files that are asked for are
 * returned; nothing is written anywhere.
 */
import { crc32, inflateRawSync } from 'node:zlib';
import { ARCHIVE_BYTES_MAX, ARCHIVE_MEMBERS_MAX, ArchiveError } from './tar.ts';

const END = 0x06054b50;
const END_BYTES = 22;
const COMMENT_BYTES_MAX = 0xffff;
const ENTRY = 0x02014b50;
const ENTRY_BYTES = 46;
const LOCAL = 0x04034b50;
const LOCAL_BYTES = 30;
const ENCRYPTED = 1;
const STORED = 0;
const DEFLATED = 8;

/** Contents of the files that `wants` says yes to; it hears the names of all files. Throws ArchiveError. */
export function selectFromZip(
  bytes: Uint8Array,
  wants: (name: string) => boolean,
): ReadonlyMap<string, Uint8Array<ArrayBuffer>> {
  const zip = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = endOf(zip);
  const count = zip.readUInt16LE(end + 10);
  if (count > ARCHIVE_MEMBERS_MAX) throw new ArchiveError(`more than ${ARCHIVE_MEMBERS_MAX} members`);
  const found = new Map<string, Uint8Array<ArrayBuffer>>();
  let room = ARCHIVE_BYTES_MAX;
  let at = zip.readUInt32LE(end + 16);
  for (let i = 0; i < count; i++) {
    if (at + ENTRY_BYTES > end || zip.readUInt32LE(at) !== ENTRY)
      throw new ArchiveError('the directory of the archive is malformed');
    const nameBytes = zip.readUInt16LE(at + 28);
    const next = at + ENTRY_BYTES + nameBytes + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
    if (next > end) throw new ArchiveError('the directory of the archive is malformed');
    const name = zip.toString('utf8', at + ENTRY_BYTES, at + ENTRY_BYTES + nameBytes).replace(/^(?:\.?\/)+/, '');
    if (!name.endsWith('/') && wants(name)) {
      if (found.has(name)) throw new ArchiveError(`${name} is in the archive twice`);
      const content = contentOf(zip, at, name, room);
      room -= content.length;
      found.set(name, content);
    }
    at = next;
  }
  return found;
}

/** Where the end of the central directory stands: the last place that looks like one and is followed by as long a comment as it says. */
function endOf(zip: Buffer): number {
  const first = Math.max(0, zip.length - END_BYTES - COMMENT_BYTES_MAX);
  for (let at = zip.length - END_BYTES; at >= first; at--)
    if (zip.readUInt32LE(at) === END && at + END_BYTES + zip.readUInt16LE(at + 20) === zip.length) return at;
  throw new ArchiveError('not a ZIP archive, or a torn one');
}

function contentOf(zip: Buffer, entry: number, name: string, room: number): Uint8Array<ArrayBuffer> {
  const packed = zip.readUInt32LE(entry + 20);
  const size = zip.readUInt32LE(entry + 24);
  const local = zip.readUInt32LE(entry + 42);
  const method = zip.readUInt16LE(entry + 10);
  if ((zip.readUInt16LE(entry + 8) & ENCRYPTED) !== 0) throw new ArchiveError(`${name} is encrypted`);
  if (size > room) throw new ArchiveError(`more than ${ARCHIVE_BYTES_MAX} bytes`);
  if (local + LOCAL_BYTES > zip.length || zip.readUInt32LE(local) !== LOCAL)
    throw new ArchiveError(`${name} is not where the directory says`);
  const from = local + LOCAL_BYTES + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
  if (from + packed > zip.length) throw new ArchiveError(`${name} is longer than the archive`);
  const content = unpacked(zip.subarray(from, from + packed), method, size, name);
  if (content.length !== size || crc32(content) !== zip.readUInt32LE(entry + 16))
    throw new ArchiveError(`${name} is damaged`);
  return content;
}

function unpacked(packed: Buffer, method: number, size: number, name: string): Uint8Array<ArrayBuffer> {
  if (method === STORED) return new Uint8Array(packed);
  if (method !== DEFLATED) throw new ArchiveError(`${name} is packed by method ${method}; 0 and 8 are read`);
  try {
    return new Uint8Array(inflateRawSync(packed, { maxOutputLength: Math.max(1, size) }));
  } catch (error) {
    throw new ArchiveError(`${name} is damaged (${error instanceof Error ? error.message : String(error)})`);
  }
}
