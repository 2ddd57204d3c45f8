/**
 * From what happened to a verdict. Four of the five sets say of a case only that it is to be served, refused, or is ambiguous; here that
 * wish meets what RFC 9112 says of the bytes (findings.ts), what the client saw, and what reached the upstream.
 */
import type { Verdict } from '../result.ts';
import { type Finding, isInvalid } from './findings.ts';
import { finalResponse, type StepSeen } from './observe.ts';
import type { Message } from './reference.ts';
import type { UpstreamRecord } from './recording-upstream.ts';
import { fieldOf } from './responses.ts';

/**
 * `serve`, `refuse`: as they say. `either`: only safety is asked. `ambiguous`: refuse, or serve one clean request and close.
 */
export type Wish = 'serve' | 'refuse' | 'either' | 'ambiguous';

export interface Seen {
  readonly steps: readonly StepSeen[];
  /** What reached the upstream for this case, in order. */
  readonly records: readonly UpstreamRecord[];
}

/** What happened, in one word. */
export type Outcome =
  | 'served'
  | 'refused'
  | 'answered'
  | 'waiting'
  | 'stalled'
  | 'smuggled'
  | 'malformed'
  | 'altered'
  | 'dropped'
  | 'garbled';

export interface Happened {
  readonly outcome: Outcome;
  readonly text: string;
}

/** Requests that the upstream may see of these bytes: the well-formed ones before the first that is not; of a flawed one, itself repaired. */
export function requestsAllowed(messages: readonly Message[]): number {
  return Math.max(1, messages.filter((message) => message.outcome === 'complete').length);
}

/** Breaches of the one rule for all sets: what reaches the upstream is exactly the well-formed requests that were sent, or fewer. */
export function breachOf(seen: Seen): Happened | undefined {
  const malformed = seen.records.find((record) => record.outcome === 'malformed');
  if (malformed !== undefined) {
    return {
      outcome: 'malformed',
      text: `upstream got a malformed request (${malformed.faults.join(', ') || 'bytes after its end'}): ${quote(malformed.excerpt)}`,
    };
  }
  const complete = seen.records.filter((record) => record.outcome === 'complete');
  const messages = seen.steps.flatMap((one) => one.messages);
  const allowed = seen.steps.reduce((sum, one) => sum + (one.executed ? requestsAllowed(one.messages) : 0), 0);
  if (complete.length > allowed) {
    return {
      outcome: 'smuggled',
      text: `upstream got ${complete.length} requests where at most ${allowed} were sent: ${complete.map((record) => `${record.message.method} ${record.message.target}`).join(', ')}`,
    };
  }
  return alteredOf(complete, messages);
}

/** The requests that arrived are those that were sent, in their order, though not necessarily all of them. */
function alteredOf(complete: readonly UpstreamRecord[], messages: readonly Message[]): Happened | undefined {
  // What was made of a flawed message cannot be compared with it.
  if (messages.some((message) => message.outcome === 'invalid')) return undefined;
  let next = 0;
  for (const { message } of complete) {
    const from = next;
    while (next < messages.length && !sameRequest(messages[next], message)) next += 1;
    const sent = messages[from];
    if (next === messages.length && sent !== undefined) {
      const told = (one: Message): string => `${one.method} with ${one.body.length} bytes of content`;
      return { outcome: 'altered', text: `${told(sent)} reached the upstream as ${told(message)}` };
    }
    next += 1;
  }
  return undefined;
}

function sameRequest(sent: Message | undefined, arrived: Message): boolean {
  return sent !== undefined && sent.method === arrived.method && sent.body.equals(arrived.body);
}

/** What happened in a case of one step. */
export function happened(seen: Seen): Happened {
  const breach = breachOf(seen);
  if (breach !== undefined) return breach;
  const [one] = seen.steps;
  if (one === undefined) return { outcome: 'stalled', text: 'nothing was sent' };
  const complete = seen.records.filter((record) => record.outcome === 'complete');
  const response = finalResponse(one);
  const status = response === undefined ? 'no status' : String(response.status);
  const ending = one.ending === 'open' ? 'open' : one.ending === 'reset' ? 'reset' : 'closed';
  const text = `${status}, ${ending}, ${complete.length} request${complete.length === 1 ? '' : 's'} upstream`;
  if (one.stalled) return { outcome: 'stalled', text: `no byte and no close, ${complete.length} upstream` };
  // Bytes without a status line are an answer to HTTP/0.9, which has none; to anything else they are not HTTP.
  if (one.garbage && response === undefined && one.messages[0]?.version !== '')
    return { outcome: 'garbled', text: `the answer is not HTTP: ${text}` };
  if (complete.length > 0) {
    if (response === undefined || response.status < 200)
      return { outcome: 'dropped', text: `the request was forwarded, its answer never came: ${text}` };
    if (!response.complete) return { outcome: 'dropped', text: `the answer was cut short: ${text}` };
    return { outcome: 'served', text };
  }
  if (response === undefined)
    return ending === 'open' && !one.garbage ? { outcome: 'waiting', text } : { outcome: 'refused', text };
  return response.status >= 400 ? { outcome: 'refused', text } : { outcome: 'answered', text };
}

export interface Wanted {
  readonly wish: Wish;
  /** Why the suite's own wish does not hold: the class of exception. Empty when it holds. */
  readonly because: readonly Finding[];
  readonly note: string;
}

/** Overrules a suite's wish where RFC 9112 lets a strict gateway do otherwise. */
export function wantedOf(wish: Wish, messages: readonly Message[]): Wanted {
  const [first] = messages;
  if (first === undefined) return { wish: 'either', because: [], note: 'no bytes' };
  const findings = [...first.findings];
  const invalid = findings.filter((finding) => isInvalid(finding));
  if (wish === 'serve') {
    if (first.outcome === 'incomplete') return { wish: 'either', because: [], note: 'the message is not whole' };
    if (findings.length > 0)
      return { wish: 'either', because: findings, note: `suite: accepts; RFC: ${findings.join(', ')}` };
  }
  if ((wish === 'refuse' || wish === 'ambiguous') && invalid.length === 0 && first.outcome === 'complete') {
    return {
      wish: 'either',
      because: findings,
      note: `suite: rejects; RFC: well-formed${findings.length > 0 ? ` (${findings.join(', ')})` : ''}`,
    };
  }
  return { wish, because: [], note: '' };
}

const EXPECTED: Record<Wish, string> = {
  serve: 'served: one clean request upstream and its answer',
  refuse: 'refused: an error status or a close, nothing upstream',
  either: 'refused, or one clean request upstream',
  ambiguous: 'refused, or one clean request upstream and a close',
};

/** The verdict on a case of one step. */
export function judge(wish: Wish, seen: Seen): Verdict {
  const one = seen.steps[0];
  const wanted = wantedOf(wish, one?.messages ?? []);
  const what = happened(seen);
  const expected = `${EXPECTED[wanted.wish]}${wanted.note === '' ? '' : ` (${wanted.note})`}`;
  const verdict = (mark: Verdict['mark']): Verdict => ({
    mark,
    stall: what.outcome === 'stalled',
    expected,
    got: `${what.outcome}: ${what.text}`,
    outcome: what.outcome,
  });
  const flawed = one?.messages[0]?.outcome === 'invalid';
  switch (what.outcome) {
    case 'stalled':
    case 'smuggled':
    case 'malformed':
    case 'altered':
    case 'dropped':
    case 'garbled':
      return verdict('fail');
    case 'waiting':
      // Nothing was due: the message is not whole. To wait for the rest is right, whatever the suite's parser says at the end of its input.
      return verdict('pass');
    case 'refused':
      return verdict(wanted.wish === 'serve' ? 'fail' : 'pass');
    case 'answered':
      // An answer of the gateway's own that is no error: fine where nobody else was to answer.
      return verdict(wanted.wish === 'refuse' ? 'fail' : wanted.wish === 'serve' ? 'fail' : 'pass');
    case 'served':
      if (wanted.wish === 'refuse') return verdict('fail');
      if (wanted.wish === 'ambiguous') return verdict(one?.ending === 'open' ? 'fail' : 'warn');
      // A flawed message that reached the upstream clean was repaired in silence: safe, and not what a strict gateway does.
      return verdict(flawed ? 'warn' : servedByUpstream(seen) ? 'pass' : 'fail');
  }
}

/** The answer that the client got is the one that the upstream gave to the request that it got. */
function servedByUpstream(seen: Seen): boolean {
  const response = seen.steps[0] === undefined ? undefined : finalResponse(seen.steps[0]);
  const first = seen.records.find((record) => record.outcome === 'complete');
  return response !== undefined && first !== undefined && fieldOf(response, 'x-recorded') === String(first.id);
}

export function quote(text: string): string {
  return JSON.stringify(text.length > 160 ? `${text.slice(0, 160)}…` : text);
}
