/**
 * respond: what the client gets to see and what the upstream is asked. It comes before the hand-over, since the answer may pass by without JavaScript: either a
 * redirect is given here, or path, Host and header fields of both directions are settled.
 */
import { present } from '../../base/assert.ts';
import type { FilesPlan } from '../../snapshot/respond-plans.ts';
import type { RedirectPlan, RespondPlan } from '../../snapshot/route-plans.ts';
import { editAnswer } from '../answers/answer-edits.ts';
import { mayReplace, replace } from '../answers/intercept.ts';
import { makeRequestEdits, remakeRequestEdits } from '../answers/made-edits.ts';
import { redirectOf } from '../answers/redirect.ts';
import { answerDirect, fileAnswer } from '../answers/static.ts';
import { hasPrefix, hostUpstream, PREFIX_FIELD, type UpstreamPaths } from '../answers/upstream-target.ts';
import type { Exchange } from '../exchange.ts';
import { REFUSALS } from '../refusal.ts';
import type { Stage } from '../stage.ts';
import { Verdict } from '../verdict.ts';
import type { WafAnswers } from './waf-answer.ts';

/** `x.phase` of an answer that the WAF has let pass; it uses those below. */
const JUDGED = 8;

export class Respond implements Stage {
  readonly #paths: UpstreamPaths;
  readonly #answers: WafAnswers | null;

  /** `answers`: whoever inspects those of requests of which something was kept. */
  constructor(paths: UpstreamPaths, answers: WafAnswers | null = null) {
    this.#paths = paths;
    this.#answers = answers;
  }

  answered(x: Exchange): Verdict {
    // What the WAF lets pass may be stored; after that it is not asked again.
    if (x.kept !== null && this.#answers !== null && x.phase !== JUDGED) {
      const verdict = this.#answers.judge(x, x.kept);
      if (verdict !== Verdict.Next) return verdict;
      x.phase = JUDGED;
    }
    if (x.mirror !== null && x.mirror.answered(x) === Verdict.Wait) return Verdict.Wait;
    const plan = x.route?.respond;
    if (plan?.intercept !== undefined && mayReplace(x, plan)) return intercepted(x, plan);
    return x.caching === null ? Verdict.Next : x.caching.answered(x);
  }

  enter(x: Exchange): Verdict {
    const plan = present(x.route, 'route').respond;
    // Another attempt asks the same of another endpoint: the wire still holds all edits, and adding them again would double them.
    if (x.attempts > 1) return this.#again(x, plan);
    if (plan.files !== null) return this.#file(x, plan, plan.files);
    if (!editAnswer(x, plan)) return refusedEdit(x);
    if (plan.direct !== null) return answerDirect(x, plan.direct);
    const location = redirectOf(x, this.#paths);
    if (plan.redirect !== null && location !== '') return redirect(x, plan.redirect, location);

    if (!x.wire.editRequest(plan.request)) return refusedEdit(x);
    if (plan.requestMade !== null && !makeRequestEdits(x, plan.requestMade))
      return x.refuse(REFUSALS.head_too_large, 'header values that the route makes of the request find no room');
    const path = this.#paths.of(x);
    if (path === null) return refusedPath(x);
    if (plan.stripPrefix !== '' && hasPrefix(x.encodedPath, plan.stripPrefix))
      x.wire.setUpstreamHeader(PREFIX_FIELD, plan.stripPrefix);
    x.plan.target = x.query === '' ? path : `${path}?${x.query}`;
    return this.#toHost(x, plan, path);
  }

  /** The file's fields first: the route's edits have the last word. */
  #file(x: Exchange, plan: RespondPlan, files: FilesPlan): Verdict {
    const path = this.#paths.of(x);
    if (path === null) return refusedPath(x);
    const answer = fileAnswer(x, files, path);
    if (answer === null) return Verdict.Refuse;
    const { wire } = x;
    let ok = true;
    for (let i = 0; i < answer.fields.length; i += 2)
      ok = wire.setAnswerHeader(answer.fields[i] as string, answer.fields[i + 1] as string) && ok;
    ok = wire.setAnswerHeader('x-request-id', x.id) && ok;
    if (!editAnswer(x, plan) || !ok) return refusedEdit(x);
    wire.answer(answer.status, answer.contentType, answer.body);
    return Verdict.Handed;
  }

  hedge(x: Exchange): Verdict {
    return this.#again(x, present(x.route, 'route').respond);
  }

  #again(x: Exchange, plan: RespondPlan): Verdict {
    if (plan.requestMade !== null && !remakeRequestEdits(x, plan.requestMade)) return refusedEdit(x);
    // One that is written down is the same for every endpoint.
    return typeof plan.host === 'string' ? Verdict.Next : this.#toHost(x, plan, '');
  }

  #toHost(x: Exchange, plan: RespondPlan, path: string): Verdict {
    const host = hostUpstream(x, plan);
    if (host === null) return x.refuse(REFUSALS.not_rewritable, 'what the route makes of Host is no host');
    x.plan.authority = host;
    // For the record; nothing is made where nothing was changed.
    if (path !== '' && (path !== x.encodedPath || plan.host !== null)) x.rewritten = host + path;
    return Verdict.Next;
  }
}

/** Something stale is better than a page, and what a page replaces is not stored. */
function intercepted(x: Exchange, plan: RespondPlan): Verdict {
  if (x.caching?.replaced(x) === true) return Verdict.Handed;
  return replace(x, plan) ? Verdict.Handed : Verdict.Next;
}

function refusedPath(x: Exchange): Verdict {
  return x.refuse(REFUSALS.not_rewritable, 'what the route makes of the path has no canonical form');
}

function refusedEdit(x: Exchange): Verdict {
  return x.refuse(REFUSALS.internal_error, 'a header edit of the route was refused');
}

function redirect(x: Exchange, plan: RedirectPlan, location: string): Verdict {
  if (!x.wire.setAnswerHeader('location', location)) {
    return x.refuse(REFUSALS.bad_target, 'the location would hold bytes that a field cannot');
  }
  x.rewritten = location;
  x.wire.setAnswerHeader('x-request-id', x.id);
  x.wire.answer(plan.status, 'text/plain', '');
  return Verdict.Handed;
}
