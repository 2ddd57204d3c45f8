/**
 * respond: what the client gets to see and what the upstream is asked. It comes before the hand-over, since the answer may pass by without JavaScript: either a
 * redirect is given here, or path, Host and header fields of both directions are settled.
 */
import { present } from '../../base/assert.ts';
import type { RedirectPlan } from '../../snapshot/snapshot.ts';
import type { Exchange } from '../exchange.ts';
import { REFUSALS } from '../refusal.ts';
import type { Stage } from '../stage.ts';
import { redirects } from '../upstream/redirects.ts';
import { Verdict } from '../verdict.ts';
import type { WafAnswers } from './waf-answer.ts';

const HTTPS_PORT = 443;
/** `x.phase` of an answer that the WAF has let pass; it uses those below. */
const JUDGED = 8;

export class Respond implements Stage {
  readonly #answers: WafAnswers | null;

  /** `answers`: whoever inspects those of requests of which something was kept. */
  constructor(answers: WafAnswers | null = null) {
    this.#answers = answers;
  }

  answered(x: Exchange): Verdict {
    // What the WAF lets pass may be stored; after that it is not asked again.
    if (x.kept !== null && this.#answers !== null && x.phase !== JUDGED) {
      const verdict = this.#answers.judge(x, x.kept);
      if (verdict !== Verdict.Next) return verdict;
      x.phase = JUDGED;
    }
    return x.caching === null ? Verdict.Next : x.caching.answered(x);
  }

  enter(x: Exchange): Verdict {
    // Another attempt asks the same of another endpoint: the wire still holds all edits, and adding them again would double them.
    if (x.attempts > 1) return Verdict.Next;
    const plan = present(x.route, 'route').respond;
    const { wire } = x;
    const { answer, request, strictTransport } = plan;
    let ok = wire.editAnswer(answer);
    if (strictTransport !== '' && x.secure) {
      ok = wire.setAnswerHeader('strict-transport-security', strictTransport) && ok;
    }
    if (plan.redirect !== null && redirects(x)) return redirect(x, plan.redirect);

    if (!wire.editRequest(request) || !ok)
      return x.refuse(REFUSALS.internal_error, 'a header edit of the route was refused');
    const path = rewritten(x.encodedPath, plan.stripPrefix, plan.addPrefix);
    x.plan.target = x.query === '' ? path : `${path}?${x.query}`;
    x.plan.authority = plan.host ?? wire.host;
    return Verdict.Next;
  }
}

/** The path with `strip` taken off whole segments and `add` put before it. A path that does not begin with `strip` keeps all of it. */
export function rewritten(path: string, strip: string, add: string): string {
  let rest = path;
  if (strip !== '' && path.startsWith(strip)) {
    // `/api` is a prefix of `/api` and `/api/x`, not of `/apix`.
    if (path.length === strip.length) rest = '/';
    else if (path.charCodeAt(strip.length) === 0x2f) rest = path.slice(strip.length);
  }
  if (add === '') return rest;
  // `/v2` before `/` is `/v2`: a slash at the end would name something else.
  return rest === '/' ? add : add + rest;
}

function redirect(x: Exchange, plan: RedirectPlan): Verdict {
  const location = plan.to === 'https' ? httpsLocation(x, plan.httpsPort) : plan.to.location;
  if (!x.wire.setAnswerHeader('location', location)) {
    return x.refuse(REFUSALS.bad_target, 'the location would hold bytes that a field cannot');
  }
  x.wire.setAnswerHeader('x-request-id', x.id);
  x.wire.answer(plan.status, 'text/plain', '');
  return Verdict.Handed;
}

function httpsLocation(x: Exchange, port: number): string {
  const authority = port === HTTPS_PORT ? x.host : `${x.host}:${port}`;
  const path = x.query === '' ? x.encodedPath : `${x.encodedPath}?${x.query}`;
  return `https://${authority}${path}`;
}
