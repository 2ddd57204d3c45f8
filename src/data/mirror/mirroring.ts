/** One request and its copy: takes both answers, whichever comes first, and says how they compare. Lives as long as the longer of the two. */
import { hash } from 'node:crypto';
import type { MirrorDifference, MirrorOutcome, MirrorSide } from '../../snapshot/mirror.ts';
import type { MirrorPlan } from '../../snapshot/route-plans.ts';
import type { Exchange } from '../exchange.ts';
import { AnswerState, BodyKind, type UpstreamAnswer } from '../transport/transport.ts';
import type { MirrorAnswer } from '../transport/mirror-fetches.ts';
import { Verdict } from '../verdict.ts';

/** Characters of a text that are told of a difference. */
const TOLD_CHARS_MAX = 256;

/** Told once of every copy that was decided on. `difference`: when the two answers differ. */
export type MirrorTold = (route: string, outcome: MirrorOutcome, difference: MirrorDifference | null) => void;

/** Sends copies; false: it cannot now. */
export type MirrorSend = (x: Exchange, mirroring: Mirroring, body: Uint8Array | null) => boolean;

export class Mirroring {
  readonly plan: MirrorPlan;
  readonly #send: MirrorSend;
  readonly #told: MirrorTold;
  /** Of the request; null: it has none. */
  body: Uint8Array | null = null;
  #about: Omit<MirrorDifference, 'differs' | 'real' | 'mirror'> | null = null;
  #mirrorCell = '';
  #sent = false;
  #real: MirrorSide | null = null;
  #mirror: MirrorSide | null = null;
  #over = false;

  constructor(plan: MirrorPlan, send: MirrorSend, told: MirrorTold) {
    this.plan = plan;
    this.#send = send;
    this.#told = told;
  }

  /** The request goes upstream: its copy does too. Only the first attempt of one that is tried again. */
  forwarded(x: Exchange): void {
    if (this.#about !== null) return;
    this.#about = {
      id: x.id,
      at: x.now,
      route: x.route?.id ?? '',
      method: x.wire.method,
      path: x.path.slice(0, TOLD_CHARS_MAX),
      fields: this.plan.compareHeaders,
    };
    this.#mirrorCell = x.revision.snapshot.cells[this.plan.cell]?.id ?? '';
    this.#sent = this.#send(x, this, this.body);
    if (!this.#sent) this.#say('dropped');
    this.body = null;
  }

  /** The upstream's answer is here. `Wait`: for its body, where that is compared. */
  answered(x: Exchange): Verdict {
    if (!this.#sent || this.#over || this.#real !== null) return Verdict.Next;
    const answer = x.wire.upstreamAnswer;
    let digest = '';
    const limit = this.plan.compareBodyBytesMax;
    if (
      limit > 0 &&
      (answer.bodyKind === BodyKind.None || (answer.bodyKind === BodyKind.Length && answer.bodyLength <= limit))
    ) {
      const state = answer.bodyKind === BodyKind.None ? AnswerState.Complete : answer.inspectBody(limit);
      if (state === AnswerState.Pending) return Verdict.Wait;
      const body = answer.bodyKind === BodyKind.None ? new Uint8Array(0) : answer.body;
      if (state === AnswerState.Complete) digest = hash('sha256', body, 'hex');
    }
    this.#real = {
      cell: x.revision.snapshot.cells[x.cell]?.id ?? '',
      status: answer.status,
      headers: this.plan.compareHeaders.map((name) => valueOf(answer, name)),
      digest,
      ms: x.upstreamMs,
    };
    this.#compare();
    return Verdict.Next;
  }

  /** The mirror has answered, or not. */
  came(answer: MirrorAnswer | null): void {
    if (answer === null) this.#say('failed');
    else {
      this.#mirror = { ...answer, cell: this.#mirrorCell };
      this.#compare();
    }
  }

  /** It could not be sent after all. */
  dropped(): void {
    this.#say('dropped');
  }

  /** The exchange is over: no answer of it comes any more. */
  ended(): void {
    if (this.#sent && this.#real === null) this.#say('alone');
  }

  #compare(): void {
    const real = this.#real;
    const mirror = this.#mirror;
    if (real === null || mirror === null) return;
    const wanted = this.plan.compareBodyBytesMax > 0;
    if (real.status !== mirror.status) this.#say('status');
    else if (real.headers.some((value, i) => value !== mirror.headers[i])) this.#say('headers');
    else if (wanted && (real.digest === '' || mirror.digest === '')) this.#say('partly');
    else this.#say(real.digest === mirror.digest ? 'same' : 'body');
  }

  #say(outcome: MirrorOutcome): void {
    if (this.#over) return;
    this.#over = true;
    const about = this.#about;
    const real = this.#real;
    const mirror = this.#mirror;
    const differs = outcome === 'status' || outcome === 'headers' || outcome === 'body';
    const difference =
      differs && about !== null && real !== null && mirror !== null
        ? { ...about, differs: outcome, real: cut(real), mirror: cut(mirror) }
        : null;
    this.#told(about?.route ?? '', outcome, difference);
  }
}

function valueOf(answer: UpstreamAnswer, name: string): string {
  if (!answer.repeats(name)) return answer.header(name) ?? '';
  const values: string[] = [];
  for (let i = 0; i < answer.headerCount; i++) if (answer.headerName(i) === name) values.push(answer.headerValue(i));
  return values.join(', ');
}

function cut(side: MirrorSide): MirrorSide {
  return { ...side, headers: side.headers.map((value) => value.slice(0, TOLD_CHARS_MAX)) };
}
