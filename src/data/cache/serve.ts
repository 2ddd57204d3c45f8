/** Answers a request from what is stored: the route's edits, Age and Cache-Status, and what the client asked for of it (a 304, a part). */
import { editSecure, editStored, isAdded, isEdited } from '../answers/answer-edits.ts';
import type { Exchange } from '../exchange.ts';
import { clientHasIt, notModifiedFields, rangeHolds } from './conditional.ts';
import type { FieldLines } from './fields.ts';
import { firstOf } from './fields.ts';
import { preparedOf } from './prepared.ts';
import { rangeOf, withinPart } from './range.ts';
import type { StoredAnswer } from './stored.ts';
import { ageOf } from './stored.ts';

const OK = 200;
const PARTIAL_CONTENT = 206;
const NOT_MODIFIED = 304;
const RANGE_NOT_SATISFIABLE = 416;

/** Whether a request for this Range can be answered from what is stored. `range`: '' = none was asked for. */
export function covers(stored: StoredAnswer, range: string): boolean {
  if (stored.part === null) return true;
  if (range === '') return false;
  return stored.part.asked === range || withinPart(range, stored.part.range, stored.body.length) !== null;
}

/** Writes the answer. False when a field of it could not be written, or its body is gone: then nothing may be sent. */
export function serve(x: Exchange, stored: StoredAnswer, cacheStatus: string): boolean {
  const { wire } = x;
  const get = wire.method === 'GET';
  const { body } = stored;
  let { status, fields } = stored;
  let from = 0;
  let to = body.length;
  const range = get && (status === OK || stored.part !== null) ? wire.header('range') : undefined;
  const conditions = {
    ifNoneMatch: wire.header('if-none-match'),
    ifModifiedSince: wire.header('if-modified-since'),
  };
  if ((status === OK || status === PARTIAL_CONTENT) && clientHasIt(conditions, fields, stored.cameAt, x.now)) {
    ({ status, fields } = { status: NOT_MODIFIED, fields: notModifiedFields(fields) });
    to = 0;
  } else if (range !== undefined && rangeHolds(wire.header('if-range'), fields)) {
    ({ status, fields, from, to } = partOf(stored, range));
  }
  let ok = fields === stored.fields ? writeWhole(x, fields) : write(x, fields);
  ok = wire.setAnswerHeader('age', String(Math.floor(ageOf(stored, x.now)))) && ok;
  ok = wire.addAnswerHeader('cache-status', cacheStatus) && ok;
  ok = wire.setAnswerHeader('x-request-id', x.id) && ok;
  return ok && body.answer(wire, status, status === NOT_MODIFIED ? '' : contentType(x, fields), from, to);
}

interface Sent {
  readonly status: number;
  readonly fields: FieldLines;
  /** Bytes of the stored body, from the first to one beyond the last. */
  readonly from: number;
  readonly to: number;
}

function partOf(stored: StoredAnswer, range: string): Sent {
  const { fields, body, part } = stored;
  if (part !== null) {
    const within = part.asked === range ? null : withinPart(range, part.range, body.length);
    if (within === null) return { status: PARTIAL_CONTENT, fields, from: 0, to: body.length };
    const first = part.range.first + within.from;
    const last = part.range.first + within.to - 1;
    return {
      status: PARTIAL_CONTENT,
      fields: withField(fields, 'content-range', `bytes ${first}-${last}/${part.range.total}`),
      from: within.from,
      to: within.to,
    };
  }
  const wanted = rangeOf(range, body.length);
  if (wanted === 'whole') return { status: stored.status, fields, from: 0, to: body.length };
  if (wanted === 'unsatisfiable') {
    return {
      status: RANGE_NOT_SATISFIABLE,
      fields: withField(notModifiedFields(fields), 'content-range', `bytes */${body.length}`),
      from: 0,
      to: 0,
    };
  }
  return {
    status: PARTIAL_CONTENT,
    fields: withField(fields, 'content-range', `bytes ${wanted.from}-${wanted.to - 1}/${body.length}`),
    from: wanted.from,
    to: wanted.to,
  };
}

function withField(fields: FieldLines, name: string, value: string): string[] {
  const rest: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== name) rest.push(fields[i] as string, fields[i + 1] as string);
  }
  return [...rest, name, value];
}

/** As they are stored, which is the usual case. */
function writeWhole(x: Exchange, fields: FieldLines): boolean {
  const respond = x.route?.respond;
  // After an attempt the wire holds the route's edits already.
  if (respond === undefined || x.attempts > 0) return write(x, fields);
  const { edits } = preparedOf(fields, respond);
  return edits === null ? write(x, fields) : x.wire.editAnswer(edits) && editSecure(x, respond);
}

/** The stored fields without those that the route removes or sets, then the route's own. */
function write(x: Exchange, fields: FieldLines): boolean {
  const { wire, route } = x;
  const respond = route?.respond;
  // After an attempt the wire holds the route's edits already: respond came before the hand-over.
  const again = x.attempts > 0;
  const seen = new Set<string>();
  let ok = true;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (name === 'content-type' || (respond !== undefined && isEdited(respond, name))) continue;
    const value = fields[i + 1] as string;
    // The first replaces what a stage before may have set by that name; the next belong to it.
    const beside = seen.has(name) || (again && respond !== undefined && isAdded(respond, name));
    ok = (beside ? wire.addAnswerHeader(name, value) : wire.setAnswerHeader(name, value)) && ok;
    seen.add(name);
  }
  return respond === undefined ? ok : editStored(x, respond, fields, again) && ok;
}

/** The transport writes it beside the length, unless the route edits it. */
function contentType(x: Exchange, fields: FieldLines): string {
  const respond = x.route?.respond;
  return respond !== undefined && isEdited(respond, 'content-type') ? '' : (firstOf(fields, 'content-type') ?? '');
}
