/** The memory that the engine shares with us: native/transport/src/layout.rs says what each place means; a test compares the two. */

export const CHUNK_SLOTS = 64;
export const FIELDS_AT = 1024;
export const FIELDS_MAX = 128;
export const EDITS_AT = 2048;
export const HEAD_AT = 4096;
export const ANSWER_AT = 108 * 1024;
export const LONG_EDITS_BYTES = 64 * 1024;
export const LONG_EDITS_AT = ANSWER_AT - LONG_EDITS_BYTES;
export const ANSWER_FIELDS_AT = ANSWER_AT + 256;
export const ANSWER_HEAD_AT = ANSWER_FIELDS_AT + 2048;
export const SLOT_BYTES = 68 * 1024 + ANSWER_AT;
export const EVENT_WORDS = 8;
export const EVENTS_MAX = 1024;

/** Words of a slot's record. */
export const Word = {
  GENERATION: 0,
  METHOD: 1,
  FLAGS: 2,
  FAULT: 3,
  BODY_KIND: 4,
  BODY_LENGTH: 5,
  METHOD_AT: 8,
  PATH_AT: 10,
  QUERY_AT: 12,
  HOST_AT: 14,
  FIELD_COUNT: 16,
  FIELD_BYTES: 17,
  LISTENER: 18,
  PEER_PORT: 19,
  LOCAL_PORT: 20,
  PEER_BYTES: 21,
  PEER_ADDRESS: 22,
  CONNECTION: 26,
  REPEATED: 27,
  KNOWN: 32,
  VERDICT: 64,
  CHOICE: 65,
  TARGET_AT: 66,
  AUTHORITY_AT: 68,
  REQUEST_EDITS_AT: 70,
  ANSWER_EDITS_AT: 72,
  CONNECT_MS: 74,
  HEAD_MS: 75,
  IDLE_MS: 76,
  BODY_MAX: 77,
  ASKS: 79,
  TOTAL_MS: 80,
  HEDGE_MS: 81,
  COMPRESS: 88,
  COUNT: 96,
} as const;

/** Words from ANSWER_AT on. */
export const Answer = {
  STATUS: 0,
  FIELD_COUNT: 1,
  FIELD_BYTES: 2,
  REPEATED: 3,
  BODY_KIND: 4,
  BODY_LENGTH: 5,
  VERSION: 7,
  KNOWN: 8,
} as const;

/** Bits of `Word.FLAGS`. */
export const Flag = { SECURE: 1, HTTP10: 2, HTTP2: 4, WEBSOCKET: 8, GRPC: 16, BODY_HERE: 32 } as const;

/** Kinds of edits. */
export const Edit = { VOID: 0, SET: 1, ADD: 2, REMOVE: 3, ABSENT: 4, APPEND: 5 } as const;

/** What `Word.VERDICT` says. */
export const Decided = { NONE: 0, FORWARD: 1, REFUSE: 2, ANSWER: 3, PASS: 4, PAGE: 5, HEDGE: 6 } as const;

/** Kinds of events: word 0. */
export const Event = {
  BEGIN: 1,
  BODY: 2,
  FAILED: 3,
  HEAD: 4,
  REFUSED: 5,
  FINISHED: 6,
  ABORTED: 7,
  CHUNK: 8,
  ANSWER_BODY: 9,
  HEDGE: 10,
} as const;

/** `Fault` of layout.rs by number, as codes of refusal.ts; 0 = none. */
export const FAULTS = [
  null,
  'bad_request',
  'bad_framing',
  'bad_host',
  'bad_target',
  'bad_header',
  'request_timeout',
  'body_too_large',
  'target_too_long',
  'expectation_failed',
  'head_too_large',
  'version_not_supported',
  'overloaded',
  'draining',
  'method_not_implemented',
] as const;

/** Lower-case names of the known fields; a field's known id is its place here plus one, 0 = unknown. */
export const KNOWN_NAMES = [
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'content-type',
  'content-encoding',
  'authorization',
  'cookie',
  'user-agent',
  'accept',
  'accept-encoding',
  'accept-language',
  'expect',
  'upgrade',
  'te',
  'trailer',
  'via',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'forwarded',
  'x-request-id',
  'traceparent',
  'tracestate',
  'origin',
  'referer',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-protocol',
  'if-none-match',
  'cache-control',
] as const;
