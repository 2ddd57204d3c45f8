/** The fields that tell a request apart from others, in the form that the engine reads: all but their digits is made once for a lane. */
import { writeHex8 } from '../../../base/hex.ts';
import { SEQ_DIGITS, SEQ_MAX } from '../../request-id.ts';
import type { NewTrace } from '../../trace-context.ts';
import { type Edits, type Form, formOf } from './edits.ts';

/** Digits that are written anew. */
const NUMBER = '0'.repeat(SEQ_DIGITS);
/** Within `traceparent` (W3C Trace Context §3.2): the number of the request id, the rest of the trace id, the parent, the last flag. */
const TRACE_NUMBER = 11;
const TRACE_REST = 19;
const TRACE_PARENT = 36;
const TRACE_SAMPLED = 54;
const DIGIT_0 = 0x30;

export class Identity {
  readonly #id: Form;
  readonly #traced: Form;
  /** Where the number of the request id is, and where `traceparent` begins; counted from a form's place. */
  readonly #numberAt: number;
  readonly #traceAt: number;

  /** `prefix`: what the ids of the lane begin with (`requestIdPrefix`). */
  constructor(prefix: string) {
    const trace = `00-${prefix.replaceAll('-', '')}${NUMBER}${NUMBER}${NUMBER}-${NUMBER}${NUMBER}-00`;
    const id = ['x-request-id', prefix + NUMBER] as const;
    this.#id = formOf([id]);
    this.#traced = formOf([id, ['traceparent', trace]]);
    const [idAt = 0, traceAt = 0] = this.#traced.places;
    this.#numberAt = idAt + prefix.length;
    this.#traceAt = traceAt;
  }

  /** Sets the fields in a list of edits whose memory `view` is. False: the number has more digits, or one of the names was edited before; or there is no room. */
  write(edits: Edits, view: DataView, seq: number, trace: NewTrace | null): boolean {
    const at = seq > SEQ_MAX ? -1 : edits.place(trace === null ? this.#id : this.#traced);
    if (at < 0) return false;
    writeHex8(view, at + this.#numberAt, seq);
    if (trace === null) return true;
    const from = at + this.#traceAt;
    writeHex8(view, from + TRACE_NUMBER, seq);
    writeHex8(view, from + TRACE_REST, trace.high);
    writeHex8(view, from + TRACE_REST + SEQ_DIGITS, trace.low);
    writeHex8(view, from + TRACE_PARENT, trace.parentHigh);
    writeHex8(view, from + TRACE_PARENT + SEQ_DIGITS, trace.parentLow);
    view.setUint8(from + TRACE_SAMPLED, DIGIT_0 + (trace.sampled ? 1 : 0));
    return true;
  }
}
