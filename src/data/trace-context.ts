/** W3C Trace Context: which `traceparent` of a client's is one, and traces that begin here. */
import { hex8 } from '../base/hex.ts';
import { chance, draw, Salt } from './chance.ts';

/** Share of traces begun here that are sampled. */
export const TRACE_SAMPLE = 0.01;
const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)/;
const VERSION_0_LENGTH = 55;
const NO_TRACE = '0'.repeat(32);
const NO_PARENT = '0'.repeat(16);

/** W3C Trace Context §3.2: version, trace id, parent id, flags; later versions may be longer, `ff` is none, zeros alone are no id. */
export function isTraceparent(text: string): boolean {
  if (!TRACEPARENT.test(text) || text.startsWith('ff')) return false;
  if (text.startsWith('00') && text.length !== VERSION_0_LENGTH) return false;
  return text.slice(3, 35) !== NO_TRACE && text.slice(36, 52) !== NO_PARENT;
}

/** What is new in a trace that begins here, 32 bits each. Its id begins with the digits of the request id, so that either leads to the other. */
export interface NewTrace {
  /** The end of its id. */
  high: number;
  low: number;
  /** The parent: not zeros alone. */
  parentHigh: number;
  parentLow: number;
  sampled: boolean;
}
const begun: NewTrace = { high: 0, low: 0, parentHigh: 0, parentLow: 1, sampled: false };

/** A new trace out of an exchange's random number; good until the next one begins. */
export function beginTrace(random: number): NewTrace {
  // As signed numbers, which need no memory of their own.
  begun.high = draw(random, Salt.TraceA) | 0;
  begun.low = draw(random, Salt.TraceB) | 0;
  begun.parentHigh = draw(random, Salt.Span) | 0;
  // The lowest bit keeps the parent from being zeros alone.
  begun.parentLow = draw(random, Salt.SpanB) | 1;
  begun.sampled = chance(random, Salt.TraceSampled, TRACE_SAMPLE);
  return begun;
}

/** Its `traceparent`, for a request with this id. */
export function traceparentOf(id: string, trace: NewTrace): string {
  // `<6 digits>-<2>-<8>`, or longer once a lane has counted past 2^32: the newest digits are kept.
  const own = `${id.slice(0, 6)}${id.slice(7, 9)}${id.slice(-8)}`;
  const parent = hex8(trace.parentHigh) + hex8(trace.parentLow);
  return `00-${own}${hex8(trace.high)}${hex8(trace.low)}-${parent}-0${trace.sampled ? 1 : 0}`;
}
