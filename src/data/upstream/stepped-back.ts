/** What a mode other than normal refuses of requests that would go upstream. Redirects, direct answers and what is stored never get here. */
import { Mode, type ModeWord } from '../../snapshot/mode.ts';
import type { Exchange } from '../exchange.ts';
import { REFUSALS } from '../refusal.ts';
import { Verdict } from '../verdict.ts';

/** Safe methods (RFC 9110 §9.2.1) ask for nothing to be changed. */
function isSafe(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS' || method === 'TRACE';
}

/** Seconds after which a client may try again, unless the bundle says. */
const RETRY_SECONDS = 10;

/** `Next`: it may go upstream. */
export function steppedBack(x: Exchange, mode: ModeWord): Verdict {
  const now = mode.now;
  if (now < Mode.Limited) return Verdict.Next;
  if (now === Mode.Limited && isSafe(x.wire.method)) return Verdict.Next;
  x.retryAfterS = x.revision.snapshot.degradation?.retryAfterSeconds ?? RETRY_SECONDS;
  return now === Mode.Limited
    ? x.refuse(REFUSALS.read_only, 'limited: dependencies are down, and only safe methods go upstream')
    : x.refuse(REFUSALS.static_only, 'survival: a critical dependency is down, and nothing goes upstream');
}
