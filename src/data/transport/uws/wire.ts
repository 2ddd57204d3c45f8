/** One request of a uWebSockets.js connection: the `Wire` that stages see, and what carries its bytes. Pooled by the lane's transport. */
import type { HttpRequest, HttpResponse, us_socket_context_t as SocketContext } from 'uWebSockets.js';
import type { EndpointPlan } from '../../../snapshot/cell-plans.ts';
import type { ListenerPlan } from '../../../snapshot/listener-plans.ts';
import type { Exchange } from '../../exchange.ts';
import { type RefusalRow, REFUSALS } from '../../refusal.ts';
import type { BodyState, Ending, ForwardPlan, OwnPage, UpstreamAnswer, Wire } from '../transport.ts';
import { ownWords } from '../own-words.ts';
import { BodyKind, FailReason } from '../transport.ts';
import { AnswerFields, FIRST_FIELD, requestFields, sendable } from './answer-head.ts';
import { Attempt, type AttemptOwner } from './attempt.ts';
import { type BodyOwner, RequestBody } from './body.ts';
import { OWN_ANSWER_BYTES_MAX } from '../bounds.ts';
import { COLLECT_MS, DECIDE_MS, DISCARD_BYTES_MAX, TICK_MS, WHOLE_BODY_BYTES_MAX } from './bounds.ts';
import type { DownstreamOwner } from './downstream.ts';
import { AnswerBody, Downstream } from './downstream.ts';
import type { AnswerHeaders, HeldOwner } from './held-answer.ts';
import { HeldAnswer } from './held-answer.ts';
import { WireHead } from './wire-head.ts';
import type { OwnAnswer, WireHost } from './wire-states.ts';
import { hasNoBody, mayBeSentAgain, News, Phase } from './wire-states.ts';
import type { HandshakeInProgress } from './websocket.ts';

export class UwsWire extends WireHead implements Wire, BodyOwner, DownstreamOwner, AttemptOwner, HeldOwner {
  readonly #host: WireHost;
  readonly #inbound: RequestBody;
  readonly #outbound: Downstream;
  readonly #fields = new AnswerFields();
  readonly #ending: Ending = { status: 0, bytesIn: 0, bytesOut: 0 };
  readonly #onAborted = (): void => this.#clientLeft();

  #phase: Phase = Phase.Free;
  #context: SocketContext | null = null;
  #exchange: Exchange | null = null;
  #attempt: Attempt | null = null;
  #relay: HandshakeInProgress | null = null;
  #plan: ForwardPlan | null = null;
  #shown: HeldAnswer | null = null;
  /** An answer of our own that waits for the next turn. */
  #held: OwnAnswer | null = null;
  #news: News = News.None;
  #newsReason: FailReason = FailReason.Connect;
  #newsReplayable = false;
  #newsRow: RefusalRow = REFUSALS.internal_error;
  #upstreamFault = false;
  /** Ticket of the wait for the body; -1 while nobody waits. */
  #ticket = -1;
  /** Waits within `begin`, where the exchange is not known yet. */
  #ticketUnknown = false;
  /** Grows with every use: callbacks of an earlier use are known by it. */
  #use = 0;
  /** Monotonic ms at which the present phase has taken too long. */
  #deadline = 0;
  /** Place in the lane's list of open wires. */
  place = -1;

  constructor(host: WireHost) {
    super();
    this.#host = host;
    this.#inbound = new RequestBody(this, host.store);
    this.#outbound = new Downstream(this, this.#inbound);
  }

  // ——— what uWebSockets.js calls ———

  /** A request has arrived: runs the stages. */
  arrive(
    response: HttpResponse,
    request: HttpRequest,
    context: SocketContext | null,
    listener: ListenerPlan,
    port: number,
  ): void {
    const head = this.head;
    head.read(request, context !== null);
    this.#phase = Phase.Deciding;
    this.response = response;
    this.#context = context;
    this.listener = listener;
    this.secure = listener.tls !== null;
    this.localPort = port;
    this.#use++;
    this.#deadline = this.#host.tickNow + DECIDE_MS + TICK_MS;
    this.#outbound.begin(response, head.closesItself);
    // Without an abort handler uWebSockets.js ends the process when the callback returns unanswered.
    response.onAborted(this.#onAborted);
    const chunked = head.bodyKind === BodyKind.Chunked;
    this.#inbound.begin(response, chunked ? Number.POSITIVE_INFINITY : head.bodyLength);
    if (head.bodyKind !== BodyKind.None) {
      const use = this.#use;
      // Bytes may come after the answer, when this wire serves another request: hence a closure of its own.
      response.onData((chunk, last) => {
        if (use === this.#use) this.#inbound.take(chunk, last);
      });
    }
    const exchange = this.#host.events.begin(this);
    this.#outbound.inCallback = false;
    this.#exchange = exchange;
    if (exchange !== null && this.#ticketUnknown) this.#ticket = exchange.ticket;
    this.#ticketUnknown = false;
  }

  /** Sends an answer that had to wait for the next turn. */
  sendNow(use: number): void {
    const held = this.#held;
    if (use !== this.#use || held === null) return;
    this.#held = null;
    if (this.response !== null) this.#sendOwn(held.status, held.contentType, held.body, held.close);
  }

  get use(): number {
    return this.#use;
  }

  /** Tells what happened within a call that has now returned. */
  settle(): void {
    const news = this.#news;
    this.#news = News.None;
    const exchange = this.#exchange;
    if (exchange === null) {
      // Turned away before it became an exchange.
      if (news === News.Finished || news === News.Aborted) this.#release();
      return;
    }
    const events = this.#host.events;
    switch (news) {
      case News.None:
        break;
      case News.Finished:
        events.finished(exchange, this.#end());
        this.#release();
        break;
      case News.Aborted:
        events.aborted(exchange, this.#end(), this.#upstreamFault);
        this.#release();
        break;
      case News.Failed:
        events.failed(exchange, this.#newsReason, this.#newsReplayable);
        break;
      case News.Refused:
        events.refused(exchange, this.#newsRow);
        break;
      case News.Wake: {
        const ticket = this.#ticket;
        this.#ticket = -1;
        events.wake(exchange, ticket);
        break;
      }
    }
  }

  /** Looks at the deadlines; once a tick. */
  tick(now: number): void {
    if (this.#phase === Phase.Relaying || this.#phase === Phase.Over) return;
    if (this.#outbound.moved) {
      this.#outbound.moved = false;
      if (this.#phase === Phase.Answering) this.#answerDeadline();
    }
    if (now < this.#deadline) return;
    switch (this.#phase) {
      case Phase.Deciding:
        if (this.#inbound.awaited) this.#tellRefused(REFUSALS.request_timeout);
        else this.#tellRefused(REFUSALS.overloaded);
        break;
      case Phase.Forwarding:
        this.#forwardingTimedOut();
        break;
      case Phase.Judging:
        if (this.#shown?.awaited === true) this.#attempt?.fail(FailReason.Timeout);
        else this.#tellRefused(REFUSALS.overloaded);
        break;
      case Phase.Answering:
        // A client that takes nothing is closed by uWebSockets.js; only the upstream's silence counts here.
        if (this.#attempt === null || this.#outbound.blocked) this.#answerDeadline();
        else this.#attempt.fail(FailReason.Timeout);
        break;
      case Phase.Free:
        break;
    }
  }

  // ——— Wire: the body ———

  inspectBody(limit: number): BodyState {
    const state = this.#inbound.inspect(limit);
    if (this.#inbound.awaited) {
      this.#deadline = this.#host.tickNow + COLLECT_MS + TICK_MS;
      if (this.#exchange === null) this.#ticketUnknown = true;
      else this.#ticket = this.#exchange.ticket;
    }
    return state;
  }

  get body(): Uint8Array {
    return this.#inbound.shown;
  }

  bodyReady(): void {
    if (this.#phase === Phase.Forwarding) this.#dispatch();
    else if (this.#ticket >= 0) this.#tell(News.Wake);
  }

  bodyTooLarge(): void {
    this.#letAttemptGo();
    if (this.#outbound.headSent) this.#abandon(false);
    else this.#tellRefused(REFUSALS.body_too_large);
  }

  bodyNoRoom(): void {
    this.#tellRefused(REFUSALS.overloaded);
  }

  bodyMoved(): void {
    // The upstream may answer only after the body: its time runs anew with every piece that it takes.
    if (this.#phase === Phase.Forwarding && this.#plan !== null) {
      this.#deadline = this.#host.tickNow + this.#plan.headTimeoutMs + TICK_MS;
    }
  }

  // ——— Wire: the ways out ———

  forward(plan: ForwardPlan): void {
    if (this.#phase !== Phase.Deciding || this.response === null) return;
    this.#phase = Phase.Forwarding;
    this.#plan = plan;
    if (this.head.fault !== null || !sendable(plan.target, plan.authority)) {
      this.#tellRefused(this.head.fault ?? REFUSALS.internal_error);
      return;
    }
    if (this.head.websocket) {
      this.#handshake(plan.endpoint, plan);
      return;
    }
    if (Math.max(this.head.bodyLength, this.#inbound.received) > plan.bodyBytesMax) {
      this.#tellRefused(REFUSALS.body_too_large);
      return;
    }
    this.#inbound.limit = plan.bodyBytesMax;
    const small = this.head.bodyKind === BodyKind.Length && this.head.bodyLength <= WHOLE_BODY_BYTES_MAX;
    if (small && !this.#inbound.collect()) {
      this.#deadline = this.#host.tickNow + COLLECT_MS + TICK_MS;
      return;
    }
    this.#dispatch();
  }

  refuse(row: RefusalRow, requestId: string, page: OwnPage | null = null): void {
    if (this.#phase === Phase.Over || this.response === null || this.#outbound.headSent) return;
    this.#letAttemptGo();
    this.#letRelayGo();
    this.setAnswerHeader('x-request-id', requestId);
    this.setAnswerHeader('cache-control', 'no-store');
    const { contentType, body } = ownWords(row, requestId, page);
    this.#own(row.status, contentType, body, row.close);
  }

  answer(status: number, contentType: string, body: string | Uint8Array): void {
    if ((this.#phase !== Phase.Deciding && this.#phase !== Phase.Judging) || this.response === null) return;
    this.#letAttemptGo();
    if (body.length > OWN_ANSWER_BYTES_MAX) {
      this.#tellRefused(REFUSALS.internal_error);
      return;
    }
    this.#own(status, contentType, body, false);
  }

  get upstreamAnswer(): UpstreamAnswer {
    return (this.#shown ??= new HeldAnswer(this, this.#host.store));
  }

  pass(): void {
    const shown = this.#shown;
    if (this.#phase !== Phase.Judging || shown === null) return;
    // Edits make no field that cannot go out: the head was readable.
    this.#sendHead(shown.status, shown.headers);
    shown.release((chunk) => this.attemptData(chunk));
    if (shown.ended) this.#outbound.end();
    else if (!this.#outbound.blocked) this.#attempt?.resume();
  }

  answerAwaited(): void {
    const idle = this.#plan?.idleTimeoutMs ?? 0;
    this.#deadline = this.#host.tickNow + (idle === 0 ? COLLECT_MS : Math.min(idle, COLLECT_MS)) + TICK_MS;
    this.#ticket = this.#exchange?.ticket ?? -1;
    this.#attempt?.resume();
  }

  answerReady(): void {
    this.#attempt?.pause();
    this.#deadline = this.#host.tickNow + DECIDE_MS + TICK_MS;
    if (this.#ticket >= 0) this.#tell(News.Wake);
  }

  // ——— the attempt ———

  attemptStarted(): void {
    // Connected and written: from here on the head's time runs.
    if (this.#plan !== null) this.#deadline = this.#host.tickNow + this.#plan.headTimeoutMs + TICK_MS;
  }

  attemptHead(status: number, headers: AnswerHeaders): boolean {
    const exchange = this.#exchange;
    if (exchange === null || status > 599) return false;
    this.#host.events.head(exchange, status);
    if (this.#plan?.showAnswer !== true) return this.#sendHead(status, headers);
    // What cannot be passed on is not shown either.
    if (!this.#readable(status, headers)) return false;
    this.#phase = Phase.Judging;
    this.#deadline = this.#host.tickNow + DECIDE_MS + TICK_MS;
    this.#attempt?.pause();
    const shown = (this.#shown ??= new HeldAnswer(this, this.#host.store));
    shown.begin(status, headers, hasNoBody(this.head.method, status), this.#fields.length);
    this.#host.events.shown(exchange);
    return true;
  }

  /** Reads the fields as they will go out; false when they cannot. */
  #readable(status: number, headers: AnswerHeaders): boolean {
    return this.#fields.read(headers, this.answerEdits, hasNoBody(this.head.method, status) && status !== 204);
  }

  #sendHead(status: number, headers: AnswerHeaders): boolean {
    const fields = this.#fields;
    const close = this.#mustClose();
    if (!this.#readable(status, headers)) return false;
    const bodiless = hasNoBody(this.head.method, status);
    this.#phase = Phase.Answering;
    this.#answerDeadline();
    const kind = bodiless ? AnswerBody.None : fields.length >= 0 ? AnswerBody.Length : AnswerBody.Stream;
    this.#outbound.head(status, FIRST_FIELD, fields.text, kind, fields.length, close);
    return true;
  }

  attemptData(chunk: Buffer): void {
    if (this.#phase === Phase.Judging) this.#shown?.take(chunk);
    else this.#outbound.data(chunk);
    this.#outbound.moved = true;
  }

  attemptEnded(): void {
    this.#attempt = null;
    if (this.#phase === Phase.Judging) this.#shown?.end();
    else this.#outbound.end();
  }

  attemptFailed(reason: FailReason): void {
    const attempt = this.#attempt;
    this.#attempt = null;
    if (attempt === null) return;
    if (this.#outbound.headSent) {
      this.#abandon(true);
      return;
    }
    this.#newsReplayable = !this.#inbound.consumed && mayBeSentAgain(attempt, this.head.method, reason);
    this.#tellFailed(reason);
  }

  // ——— the answer ———

  answered(): void {
    this.response = null;
    this.#attempt?.forget();
    this.#attempt = null;
    this.#tell(News.Finished);
  }

  writable(): void {
    this.#attempt?.resume();
  }

  congested(): void {
    this.#attempt?.pause();
  }

  // ——— WebSockets ———

  /** The relay has answered the handshake by itself. */
  #handshake(endpoint: EndpointPlan, plan: ForwardPlan): void {
    const response = this.response;
    const context = this.#context;
    if (response === null || context === null) return;
    this.#deadline = this.#host.tickNow + plan.connectTimeoutMs + plan.headTimeoutMs + TICK_MS;
    this.#relay = this.#host.relays.open({
      endpoint,
      plan,
      head: this.head,
      edits: this.upstreamEdits,
      response,
      context,
      opened: (): void => {
        this.#relay = null;
        this.#phase = Phase.Relaying;
        this.response = null;
        if (this.#exchange !== null) this.#host.events.head(this.#exchange, 101);
      },
      refused: (status, headers, body): void => this.#handshakeRefused(status, headers, body),
      failed: (reason): void => {
        this.#relay = null;
        this.#newsReplayable = reason === FailReason.Connect;
        this.#tellFailed(reason);
      },
      closed: (bytesIn, bytesOut, upstreamFault): void => {
        this.#inbound.received = bytesIn;
        this.#outbound.bytesOut = bytesOut;
        this.#outbound.status = 101;
        this.#upstreamFault = upstreamFault;
        this.#tell(upstreamFault ? News.Aborted : News.Finished);
      },
    });
  }

  #handshakeRefused(
    status: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
    body: Buffer,
  ): void {
    if (this.#exchange === null || this.response === null) return;
    this.#host.events.head(this.#exchange, status);
    const bodiless = status === 204 || status === 304;
    if (status < 200 || status > 599 || !this.#fields.read(headers, this.answerEdits, status === 304)) {
      this.#newsReplayable = false;
      this.#tellFailed(FailReason.Invalid);
      return;
    }
    this.#relay = null;
    this.#phase = Phase.Answering;
    const kind = bodiless ? AnswerBody.None : AnswerBody.Length;
    const length = bodiless ? this.#fields.length : body.length;
    this.#outbound.head(status, FIRST_FIELD, this.#fields.text, kind, length, false);
    if (!bodiless && length > 0) this.#outbound.data(body);
    else this.#outbound.end();
  }

  // ——— within ———

  #dispatch(): void {
    const plan = this.#plan;
    if (plan === null) return;
    const pool = this.#host.pools.of(plan.endpoint);
    if (pool.full) {
      this.#newsReplayable = !this.#inbound.consumed;
      this.#tellFailed(FailReason.Busy);
      return;
    }
    const attempt = new Attempt(this, pool);
    this.#attempt = attempt;
    this.#deadline = this.#host.tickNow + plan.connectTimeoutMs + plan.headTimeoutMs + TICK_MS;
    const whole = this.#inbound.ended && !this.#inbound.consumed;
    const streamed = !whole && this.head.bodyKind === BodyKind.Length ? this.head.bodyLength : -1;
    const body = !whole ? this.#inbound.stream() : this.head.bodyKind === BodyKind.None ? null : this.#inbound.bytes();
    pool.dispatch(
      {
        path: plan.target,
        method: this.head.method,
        headers: requestFields(this.head, this.upstreamEdits, plan.authority, streamed),
        body,
      },
      plan.connectTimeoutMs,
      attempt,
    );
  }

  /** An answer of our own. */
  #own(status: number, contentType: string, body: string | Uint8Array, close: boolean): void {
    this.#phase = Phase.Answering;
    this.#deadline = Number.MAX_SAFE_INTEGER;
    this.#inbound.drop();
    if (!this.#outbound.inCallback) {
      this.#sendOwn(status, contentType, body, close);
      return;
    }
    // Answered within its callback, the next bytes of the connection would be parsed at once, even after a close, and even when
    // they are a body that a front proxy saw and uWebSockets.js did not. A turn later they find the request unanswered, and the connection is cut.
    this.#held = { status, contentType, body, close };
    this.#host.nextTurn(this);
  }

  #sendOwn(status: number, contentType: string, body: string | Uint8Array, close: boolean): void {
    const head = this.head;
    const closing = close || this.#mustClose();
    // A client that is still sending a long body gets time to read the answer before the connection is cut; one whose framing is in doubt does not.
    const linger = head.fault === null && this.#inbound.rest > DISCARD_BYTES_MAX;
    if (linger) this.#inbound.endConnection();
    const bytes = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
    const bodiless = head.method === 'HEAD';
    this.#fields.own(contentType, this.answerEdits, linger, bodiless ? bytes : -1);
    const out = this.#outbound;
    const kind = bodiless ? AnswerBody.None : AnswerBody.Whole;
    out.head(status, FIRST_FIELD, this.#fields.text, kind, bytes, closing && !linger);
    out.whole(typeof body === 'string' && bytes === body.length ? body : Buffer.from(body));
    out.send();
  }

  /** True when nothing may follow this exchange on its connection. */
  #mustClose(): boolean {
    // After a chunked body uWebSockets.js takes trailers for a request (docs/transport-uws.md).
    const { head } = this;
    return head.close || head.bodyKind === BodyKind.Chunked || head.fault !== null || this.#host.draining;
  }

  /** Whose fault it is decides what is told: a slow client must not spoil an endpoint's health. */
  #forwardingTimedOut(): void {
    const attempt = this.#attempt;
    if (this.#relay !== null) {
      this.#newsReplayable = false;
      this.#tellFailed(FailReason.Timeout);
    } else if (attempt === null || this.#inbound.starved) this.#tellRefused(REFUSALS.request_timeout);
    // Not even begun: it waited for a connection of our own pool.
    else attempt.fail(attempt.started ? FailReason.Timeout : FailReason.Busy);
  }

  #answerDeadline(): void {
    const idle = this.#plan?.idleTimeoutMs ?? 0;
    this.#deadline = idle === 0 ? Number.MAX_SAFE_INTEGER : this.#host.tickNow + idle + TICK_MS;
  }

  #clientLeft(): void {
    if (this.#phase === Phase.Free || this.response === null) return;
    this.response = null;
    this.#outbound.clear();
    this.#inbound.drop();
    this.#letAttemptGo();
    this.#letRelayGo();
    this.#tell(News.Aborted);
  }

  /** The answer was begun and cannot be finished: the client must see that it is incomplete. */
  #abandon(upstreamFault: boolean): void {
    this.#upstreamFault = upstreamFault;
    this.#letAttemptGo();
    // Runs the abort handler.
    this.#outbound.cut();
  }

  #letAttemptGo(): void {
    this.#shown?.clear();
    const attempt = this.#attempt;
    this.#attempt = null;
    attempt?.letGo();
  }

  /** A handshake that ends later finds nobody: the response may be over, the wire in another use. */
  #letRelayGo(): void {
    const relay = this.#relay;
    this.#relay = null;
    relay?.cancel();
  }

  #tellFailed(reason: FailReason): void {
    this.#shown?.clear();
    this.#letRelayGo();
    this.#phase = Phase.Deciding;
    this.#deadline = this.#host.tickNow + DECIDE_MS + TICK_MS;
    this.#newsReason = reason;
    this.#tell(News.Failed);
  }

  #tellRefused(row: RefusalRow): void {
    this.#letAttemptGo();
    this.#letRelayGo();
    this.#phase = Phase.Deciding;
    this.#deadline = this.#host.tickNow + DECIDE_MS + TICK_MS;
    this.#newsRow = row;
    this.#tell(News.Refused);
  }

  #tell(news: News): void {
    if (this.#phase === Phase.Over) return;
    // The end outweighs what was to be told before it.
    if (news === News.Finished || news === News.Aborted) this.#phase = Phase.Over;
    const queued = this.#news !== News.None;
    this.#news = news;
    if (!queued) this.#host.later(this);
  }

  #end(): Ending {
    this.#ending.status = this.#outbound.headSent || this.#outbound.status === 101 ? this.#outbound.status : 0;
    this.#ending.bytesIn = this.#inbound.received;
    this.#ending.bytesOut = this.#outbound.bytesOut;
    return this.#ending;
  }

  #release(): void {
    this.#phase = Phase.Free;
    this.#use++;
    this.#context = null;
    this.#exchange = null;
    this.#plan = null;
    this.#held = null;
    this.#relay = null;
    this.#upstreamFault = false;
    this.#ticket = -1;
    this.#shown?.clear();
    this.clearHead();
    this.#inbound.clear();
    this.#outbound.clear();
    this.#host.free(this);
  }
}
