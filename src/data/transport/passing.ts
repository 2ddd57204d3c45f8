/** Answers whose bodies are never held back, whatever a route says: to hold them would break what they are for. */
import type { UpstreamAnswer } from './transport.ts';

/** A part of something else, which rules over a whole cannot judge, and which downloads are made of (RFC 9110 §15.3.7). */
const PARTIAL_CONTENT = 206;
/** Streams whose parts are meant to be seen as they come. */
const STREAMS: readonly string[] = ['text/event-stream', 'multipart/x-mixed-replace', 'multipart/byteranges'];
/** Calls may stream in both directions; with any suffix. */
const GRPC = 'application/grpc';

/** True when nothing of the body may wait for its rest. `part`: whoever asks knows what to do with a range. */
export function neverHeld(answer: UpstreamAnswer, part = false): boolean {
  if (answer.status === PARTIAL_CONTENT && !part) return true;
  const type = mediaType(answer.header('content-type') ?? '');
  return type.startsWith(GRPC) || STREAMS.includes(type);
}

/** Type and subtype of a Content-Type in lower case, without parameters (RFC 9110 §8.3.1). */
export function mediaType(contentType: string): string {
  const end = contentType.indexOf(';');
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}
