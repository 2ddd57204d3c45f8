/** Answers that need no endpoint: direct ones, and files of the bundle (RFC 9110 §13 conditions, §14 ranges). */
import type { DirectPlan, FileRow, FilesPlan, FileTable } from '../../snapshot/respond-plans.ts';
import { clientHasIt, rangeHolds } from '../cache/conditional.ts';
import { rangeOf } from '../cache/range.ts';
import type { Exchange } from '../exchange.ts';
import { REFUSALS, STATIC_STATUS } from '../refusal.ts';
import { Verdict } from '../verdict.ts';
import { wanted } from './accept.ts';
import { bodyOf } from './pages.ts';

const NOTHING = new Uint8Array(0);
/** Chars that mean the same escaped where files have their names; a client may write them so. */
const ESCAPED = /%(?:2[14678-9A-C]|3[ABD]|40)/g;

/** Bytes of files as a lane has read them out of shared memory: at most what a bundle may hold, for each snapshot that lives. */
const contents = new WeakMap<FileTable, (Uint8Array | undefined)[]>();

export function isStatic(x: Exchange): boolean {
  const respond = x.route?.respond;
  return respond !== undefined && (respond.direct !== null || respond.files !== null);
}

export function answerDirect(x: Exchange, plan: DirectPlan): Verdict {
  const { body } = plan;
  const files = x.revision.snapshot.files;
  x.wire.setAnswerHeader('x-request-id', x.id);
  if ('file' in body) {
    const bytes = files === undefined ? NOTHING : bytesOf(files, body.file);
    x.wire.answer(plan.status, plan.contentType, bytes);
  } else x.wire.answer(plan.status, plan.contentType, bodyOf(body.parts, body.kind, x));
  return Verdict.Handed;
}

/** What a request for a file gets, before the route's edits: they have the last word. */
export interface FileAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: Uint8Array;
  /** Flat. */
  readonly fields: readonly string[];
}

/** The file at this path, as the route leaves it; null after a refusal. */
export function fileAnswer(x: Exchange, plan: FilesPlan, path: string): FileAnswer | null {
  const { wire } = x;
  if (wire.method !== 'GET' && wire.method !== 'HEAD') {
    wire.setAnswerHeader('allow', 'GET, HEAD');
    x.refuse(REFUSALS.method_not_allowed, `${wire.method} of a file`);
    return null;
  }
  const table = x.revision.snapshot.files;
  const found = table === undefined ? -1 : placeOf(plan, path);
  if (found >= 0 && table !== undefined) return answerOf(x, plan, table, found);
  if (rowAt(plan, withIndex(plan, `${path}/`)) >= 0) {
    // Relative links of the page would lead elsewhere without the slash.
    const location = `${x.encodedPath}/${x.query === '' ? '' : `?${x.query}`}`;
    return { status: STATIC_STATUS.moved, contentType: '', body: NOTHING, fields: ['location', location] };
  }
  if (table !== undefined && plan.fallback >= 0 && takesPages(x, path)) return answerOf(x, plan, table, plan.fallback);
  x.refuse(REFUSALS.no_file, `there is no file for ${path}`);
  return null;
}

function placeOf(plan: FilesPlan, path: string): number {
  return rowAt(plan, path.endsWith('/') ? withIndex(plan, path) : path);
}

function withIndex(plan: FilesPlan, path: string): string {
  return path + plan.index;
}

function rowAt({ paths }: FilesPlan, path: string): number {
  if (Object.hasOwn(paths, path)) return paths[path] as number;
  if (!path.includes('%')) return -1;
  const plain = path.replace(ESCAPED, (escape) => String.fromCharCode(Number.parseInt(escape.slice(1), 16)));
  return Object.hasOwn(paths, plain) ? (paths[plain] as number) : -1;
}

/** A page may answer for this path: nobody gets one who asked for a script or a picture. */
function takesPages(x: Exchange, path: string): boolean {
  return !path.slice(path.lastIndexOf('/')).includes('.') && wanted(x.wire.header('accept'), 'text/html').quality > 0;
}

function answerOf(x: Exchange, plan: FilesPlan, table: FileTable, index: number): FileAnswer {
  const { wire } = x;
  const row = table.rows[index] as FileRow;
  const fields = [
    'etag',
    row.etag,
    'accept-ranges',
    'bytes',
    ...(plan.cacheControl === '' ? [] : ['cache-control', plan.cacheControl]),
  ];
  const conditions = { ifNoneMatch: wire.header('if-none-match'), ifModifiedSince: undefined };
  if (clientHasIt(conditions, fields, x.now, x.now))
    return { status: STATIC_STATUS.notModified, contentType: '', body: NOTHING, fields };
  const bytes = bytesOf(table, index);
  const { contentType, length } = row;
  const range = wire.method === 'GET' ? wire.header('range') : undefined;
  const part = range === undefined || !rangeHolds(wire.header('if-range'), fields) ? 'whole' : rangeOf(range, length);
  if (part === 'whole') return { status: STATIC_STATUS.ok, contentType, body: bytes, fields };
  if (part === 'unsatisfiable')
    return {
      status: STATIC_STATUS.unsatisfiable,
      contentType: '',
      body: NOTHING,
      fields: ['content-range', `bytes */${length}`],
    };
  return {
    status: STATIC_STATUS.part,
    contentType,
    body: bytes.subarray(part.from, part.to),
    fields: [...fields, 'content-range', `bytes ${part.from}-${part.to - 1}/${length}`],
  };
}

/** A copy outside of shared memory, made when a lane first sends the file. */
function bytesOf(table: FileTable, index: number): Uint8Array {
  let copies = contents.get(table);
  if (copies === undefined) contents.set(table, (copies = []));
  const known = copies[index];
  if (known !== undefined) return known;
  const row = table.rows[index];
  const copy = row === undefined ? NOTHING : new Uint8Array(table.bytes, row.from, row.length).slice();
  copies[index] = copy;
  return copy;
}
