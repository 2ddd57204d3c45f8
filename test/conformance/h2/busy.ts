/**
 * What busy clients do that looks like a flood and is none: bounds must not be felt by them. Each row is one connection that asks many requests, so many at a
 * time, or sends one long body; every answer must come, and the connection must stand at the end.
 */
import type { Verdict } from '../result.ts';
import { H2Connection, type H2Target, schemeOf, STALL_MS } from './connection.ts';
import {
  CANCEL,
  codeName,
  data,
  field,
  FLAG,
  frame,
  type Frame,
  headers,
  ping,
  priority,
  requestBlock,
  rstStream,
  TYPE,
  windowUpdate,
} from './frames.ts';

/** Longest that all of one row may take, milliseconds: only a stall or a broken build needs it. */
const ROW_TIMEOUT_MS = 30_000;

export interface Busy {
  readonly id: string;
  readonly title: string;
  readonly requests: number;
  /** Requests that are open at once. */
  readonly concurrent: number;
  /** Frames of the request on `stream`, the `n`th. */
  readonly ask: (stream: number, n: number, scheme: string) => Buffer;
  /** Sent when its answer has ended. */
  readonly answered?: (stream: number, n: number) => Buffer;
  /** No answer is waited for: the request takes itself back. */
  readonly withdrawn?: (n: number) => boolean;
}

const get = (stream: number, scheme: string): Buffer => headers(stream, requestBlock('GET', '/', scheme), true);
const PING_PAYLOAD = Buffer.from('how-far?', 'latin1');
/** Given to the peer first, so that no answer waits for the connection's window. */
const WINDOW_BYTES = 2 ** 30;
/** A message of gRPC: five bytes before it, and next to nothing in it. */
const MESSAGE = Buffer.alloc(7);
/** As long as what the upstream answers, about. */
const ANSWER_BYTES = 67;

function upload(stream: number, scheme: string, parts: number, part: Buffer): Buffer {
  const open = headers(stream, requestBlock('POST', '/', scheme), false);
  const body = Array.from({ length: parts }, () => data(stream, part, false));
  return Buffer.concat([open, ...body, data(stream, Buffer.alloc(0), true)]);
}

export const BUSY: readonly Busy[] = [
  {
    id: 'requests',
    title: 'thousands of requests, a hundred at a time',
    requests: 5_000,
    concurrent: 100,
    ask: (stream, _, scheme) => get(stream, scheme),
  },
  {
    id: 'windows',
    title: 'both windows given back after each small answer',
    requests: 2_000,
    concurrent: 20,
    ask: (stream, _, scheme) => get(stream, scheme),
    answered: () => windowUpdate(0, ANSWER_BYTES),
  },
  {
    id: 'pings',
    title: 'a PING beside each request, as those do who measure the way',
    requests: 2_000,
    concurrent: 10,
    ask: (stream, _, scheme) => Buffer.concat([get(stream, scheme), ping(PING_PAYLOAD)]),
  },
  {
    id: 'priorities',
    title: 'PRIORITY with each request, as older browsers do',
    requests: 2_000,
    concurrent: 50,
    ask: (stream, _, scheme) => Buffer.concat([get(stream, scheme), priority(stream, 0), priority(stream + 2, 0)]),
  },
  {
    id: 'cancels',
    title: 'every third request taken back, as those do whose user moves on',
    requests: 1_500,
    concurrent: 10,
    ask: (stream, n, scheme) =>
      n % 3 === 0 ? Buffer.concat([get(stream, scheme), rstStream(stream, CANCEL)]) : get(stream, scheme),
    withdrawn: (n) => n % 3 === 0,
  },
  {
    id: 'messages',
    title: 'one upload of many small messages, as gRPC streams are',
    requests: 1,
    concurrent: 1,
    ask: (stream, _, scheme) => upload(stream, scheme, 8_000, MESSAGE),
  },
  {
    id: 'uploads',
    title: 'many short uploads, each of a few small parts',
    requests: 1_000,
    concurrent: 20,
    ask: (stream, _, scheme) => upload(stream, scheme, 4, MESSAGE),
  },
  {
    id: 'parts',
    title: 'heads of several CONTINUATIONs',
    requests: 500,
    concurrent: 20,
    ask: (stream, _, scheme) =>
      Buffer.concat([
        frame(TYPE.headers, FLAG.endStream, stream, requestBlock('GET', '/', scheme)),
        ...Array.from({ length: 3 }, (_one, i) =>
          frame(TYPE.continuation, 0, stream, field(`x-${i}`, 'v'.repeat(500))),
        ),
        frame(TYPE.continuation, FLAG.endHeaders, stream, field('x-last', 'v')),
      ]),
  },
];

export async function runBusy(target: H2Target, row: Busy): Promise<Verdict> {
  const connection = await H2Connection.open(target);
  try {
    return await asked(connection, row, schemeOf(target));
  } finally {
    connection.destroy();
  }
}

async function asked(connection: H2Connection, row: Busy, scheme: string): Promise<Verdict> {
  const deadline = performance.now() + ROW_TIMEOUT_MS;
  const open = new Map<number, number>();
  let next = 0;
  let done = 0;
  const resets: Frame[] = [];
  connection.send(windowUpdate(0, WINDOW_BYTES));
  const settle = (): boolean => {
    const before = done;
    for (const one of connection.frames.splice(0)) {
      if (one.type === TYPE.goaway) connection.frames.push(one);
      if (one.type === TYPE.rstStream && open.has(one.stream)) resets.push(one);
      const n = open.get(one.stream);
      const ends = (one.type === TYPE.headers || one.type === TYPE.data) && (one.flags & FLAG.endStream) !== 0;
      if (n === undefined || !ends) continue;
      open.delete(one.stream);
      done += 1;
      const after = row.answered?.(one.stream, n);
      if (after !== undefined) connection.send(after);
    }
    return done > before || resets.length > 0 || connection.goaway !== undefined;
  };
  let moving = true;
  while (moving && done < row.requests && resets.length === 0 && connection.goaway === undefined) {
    const batch: Buffer[] = [];
    while (open.size < row.concurrent && next < row.requests) {
      const stream = 2 * next + 1;
      batch.push(row.ask(stream, next, scheme));
      if (row.withdrawn?.(next) === true) done += 1;
      else open.set(stream, next);
      next += 1;
    }
    connection.send(Buffer.concat(batch));
    if (done >= row.requests) break;
    moving = await connection.until(settle, Math.min(STALL_MS * 2, deadline - performance.now()));
  }
  const { goaway } = connection;
  const [reset] = resets;
  const fault =
    goaway !== undefined
      ? `GOAWAY ${codeName(H2Connection.codeOf(goaway))}`
      : reset !== undefined
        ? `RST_STREAM ${codeName(H2Connection.codeOf(reset))}`
        : connection.closed
          ? 'a close'
          : done < row.requests
            ? 'no further answer'
            : undefined;
  return {
    mark: fault === undefined ? 'pass' : 'fail',
    stall: fault === 'no further answer',
    expected: `${row.title}: all ${row.requests} are served on one connection`,
    got: fault === undefined ? 'all served' : `${fault} after ${done}`,
    outcome: fault === undefined ? 'served' : 'broken',
  };
}
