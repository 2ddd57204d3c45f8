/** Every bound of this transport, by name (docs/transport-uws.md gives the reasons). */

/**
 * What the process environment must hold before the first lane is made. uWebSockets.js reads it with getenv(3) when it is loaded, so neither a worker's
 * `env` option nor an assignment inside a worker reaches it: main assigns it. Without it a head may have 4 KiB.
 */
export const UWS_ENVIRONMENT: Readonly<Record<string, string>> = Object.freeze({ UWS_HTTP_MAX_HEADERS_SIZE: '65536' });

/** Period of the lane's deadline check, ms. Deadlines are late by up to this much, never early. */
export const TICK_MS = 250;
/** Longest that stages may take to decide, waits included, ms. */
export const DECIDE_MS = 30_000;
/** Longest that collecting a body may take, for inspection or to send it in one piece, ms. */
export const COLLECT_MS = 30_000;
/** A request body of a declared length up to this is sent in one piece, so that it can be sent again; bytes. */
export const WHOLE_BODY_BYTES_MAX = 16 * 1024;
/** Bytes of a request body that wait in the lane before the client is no longer read. The socket's own read (512 KiB) may come on top. */
export const BODY_QUEUE_BYTES_MAX = 64 * 1024;
/** Bytes of bodies that one lane holds for inspection at once; beyond it a request is refused as overloaded. */
export const INSPECT_LANE_BYTES_MAX = 64 * 1024 * 1024;
/** A refused request's remaining body up to this many bytes is read and dropped so that the connection can be used again. */
export const DISCARD_BYTES_MAX = 256 * 1024;

/** Header fields of a response. */
export const ANSWER_FIELDS_MAX = 256;
/** Bytes of a response head. */
export const ANSWER_HEAD_BYTES_MAX = 64 * 1024;

/** Requests that wait for a connection of one endpoint: at most this many per connection, and never fewer than the second. */
export const WAITING_PER_CONNECTION = 2;
export const WAITING_MIN = 64;
/** An upstream connection that was idle for this long is not used again, ms; below the 5 s after which common servers close theirs. */
export const UPSTREAM_IDLE_MS = 4_000;
/** The same, when the upstream names a longer time (`Keep-Alive: timeout=`). */
export const UPSTREAM_IDLE_HINT_MS_MAX = 60_000;
/** Free wires that are kept for use again. */
export const FREE_WIRES_MAX = 4_096;

/** Largest WebSocket message, bytes. */
export const WEBSOCKET_MESSAGE_BYTES_MAX = 1024 * 1024;
/** Bytes towards a WebSocket client that may wait before the upstream is no longer read. */
export const WEBSOCKET_DOWNSTREAM_BYTES_MAX = 256 * 1024;
/** Bytes towards a WebSocket upstream that may wait; uWebSockets.js cannot stop reading a WebSocket, so beyond it both sides are closed. */
export const WEBSOCKET_UPSTREAM_BYTES_MAX = 4 * 1024 * 1024;
/** A WebSocket without any frame for this long is closed, seconds; pings are sent before. */
export const WEBSOCKET_IDLE_SECONDS = 120;
