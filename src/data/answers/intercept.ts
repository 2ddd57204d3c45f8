/** An upstream's own error, in whose place a page of the operator's goes (nginx `proxy_intercept_errors`, Traefik `errors`): its status stays, nothing else of it that a client sees. */
import type { RespondPlan } from '../../snapshot/route-plans.ts';
import type { Exchange } from '../exchange.ts';
import { neverHeld } from '../transport/passing.ts';
import { OWN_ANSWER_BYTES_MAX } from '../transport/bounds.ts';
import type { UpstreamAnswer } from '../transport/transport.ts';
import { editLateRefusal } from './answer-edits.ts';
import { pageOfUpstream } from './pages.ts';

/** What a client needs to know to ask again (RFC 9110 §10.2.3, §11.6.1, §15.5.6). */
const KEPT = ['retry-after', 'www-authenticate', 'allow'];

/** Whether the route has answers of this status replaced. */
export function isIntercepted({ intercept }: RespondPlan, status: number): boolean {
  if (intercept === undefined) return false;
  for (let i = 0; i + 1 < intercept.length; i += 2)
    if (status >= (intercept[i] as number) && status <= (intercept[i + 1] as number)) return true;
  return false;
}

/** Whether the answer that is shown may be replaced: not one that a client reads by another protocol than a page's, and none without content. */
export function mayReplace(x: Exchange, plan: RespondPlan): boolean {
  const { wire } = x;
  const answer = wire.upstreamAnswer;
  if (!isIntercepted(plan, answer.status) || wire.method === 'HEAD' || wire.websocket || neverHeld(answer))
    return false;
  return wire.header('content-type')?.toLowerCase().startsWith('application/grpc') !== true;
}

/** Answers with the page. False: there is none for this status. */
export function replace(x: Exchange, plan: RespondPlan): boolean {
  const { wire } = x;
  const answer = wire.upstreamAnswer;
  const { status } = answer;
  const page = pageOfUpstream(x, status);
  if (page === null || page.body.length > OWN_ANSWER_BYTES_MAX) return false;
  for (const name of KEPT) if (answer.header(name) !== undefined) keepField(x, answer, name);
  editLateRefusal(x, plan);
  wire.setAnswerHeader('cache-control', 'no-store');
  x.detail = `${x.detail === '' ? '' : `${x.detail}; `}${x.endpoint?.identity ?? 'endpoint'}: ${status}, a page took its place`;
  wire.answer(status, page.contentType, page.body);
  return true;
}

/** All lines of it: each may name another way to log in (RFC 9110 §11.6.1). */
function keepField({ wire }: Exchange, answer: UpstreamAnswer, name: string): void {
  let again = false;
  for (let i = 0; i < answer.headerCount; i++) {
    if (answer.headerName(i) !== name) continue;
    if (again) wire.addAnswerHeader(name, answer.headerValue(i));
    else wire.setAnswerHeader(name, answer.headerValue(i));
    again = true;
  }
}
