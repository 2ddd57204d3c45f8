/** Looks whether an audit log is what a gateway wrote: all of it, unchanged, in its order. */
import type { KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { readBounded } from '../oci/files.ts';
import { CHECKPOINT, GENESIS, hashOf, isSigned, isSignedHead, lineOf, parseEntry, parseHead } from './chain.ts';
import { headPath, logFiles } from './files.ts';
import { linesOf } from './log.ts';

/** Faults that are told; one of them is enough to believe nothing after it. */
export const FAULTS_MAX = 20;
/** Entries that may stand after the signed end, each signed by itself: of a gateway that ended in between. */
const UNSIGNED_MAX = 3;
const HEAD_BYTES_MAX = 4_096;

export interface AuditVerdict {
  readonly entries: number;
  readonly first: number;
  readonly last: number;
  /** Hash of the last line. */
  readonly hash: string;
  /** Where and what, as sentences; empty: nothing was changed, cut or moved. */
  readonly faults: readonly string[];
}

/** @param key public half of the key that signed. @param wanted an entry that was noted elsewhere. */
export async function verifyAudit(
  directory: string,
  key: KeyObject,
  wanted?: { readonly n: number; readonly hash: string },
): Promise<AuditVerdict> {
  const faults: string[] = [];
  const fault = (where: string, what: string): void => {
    if (faults.length < FAULTS_MAX) faults.push(`${where}: ${what}`);
  };
  let entries = 0;
  let first = 0;
  let last = 0;
  let hash = GENESIS;
  for (const name of await logFiles(directory)) {
    for (const [i, line] of (await linesOf(join(directory, name))).entries()) {
      const where = `${name} line ${i + 1}`;
      const entry = parseEntry(line);
      if (entry === undefined) {
        fault(where, 'is no entry');
        hash = hashOf(line);
        continue;
      }
      if (entries === 0) {
        first = entry.n;
        // What came before was rotated away; then it begins with a signature over what came before.
        if (entry.n !== 1) {
          if (entry.kind !== CHECKPOINT) fault(where, `begins with entry ${entry.n}, which is no checkpoint`);
        } else if (entry.prev !== GENESIS) fault(where, 'does not begin at the beginning');
      } else {
        if (entry.n !== last + 1) fault(where, `is entry ${entry.n}, and ${last + 1} was to come`);
        if (entry.prev !== hash) fault(where, `does not follow the line before it, which was changed, moved or cut`);
      }
      if (!isSigned(entry, key) || lineOf(entry) !== line) fault(where, 'is not what was signed');
      entries++;
      last = entry.n;
      hash = hashOf(line);
      if (entry.n === wanted?.n && hash !== wanted.hash) fault(where, 'is another entry than the one that was noted');
    }
  }
  if (wanted !== undefined && wanted.n > last) fault('the end', `entry ${wanted.n}, which was noted, is missing`);
  await verifyHead(directory, key, { entries, first, last, hash }, fault);
  return { entries, first, last, hash, faults };
}

async function verifyHead(
  directory: string,
  key: KeyObject,
  found: { readonly entries: number; readonly first: number; readonly last: number; readonly hash: string },
  fault: (where: string, what: string) => void,
): Promise<void> {
  const read = await readBounded(headPath(directory), HEAD_BYTES_MAX);
  const head = read.state === 'read' ? parseHead(Buffer.from(read.bytes).toString('utf8')) : undefined;
  if (head === undefined) {
    if (found.entries > 0 || read.state !== 'absent') fault('head.json', 'is missing or not whole');
    return;
  }
  if (!isSignedHead(head, key)) {
    fault('head.json', 'is not signed by this key');
    return;
  }
  if (found.last < head.n) fault('the end', `${head.n - found.last} entries are missing after ${found.last}`);
  else if (found.last === head.n ? found.hash !== head.hash : found.last > head.n + UNSIGNED_MAX)
    fault('the end', 'is not what was signed');
  if (found.first > head.first) fault('the beginning', `entries ${head.first} to ${found.first - 1} are missing`);
}
