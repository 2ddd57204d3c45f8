/**
 * respond: what the client gets to see and what the upstream is asked. It comes before the hand-over, since the answer may pass by without JavaScript: either a
 * redirect is given here, or path, Host and header fields of both directions are settled.
 */
import { present } from '../../base/assert.ts';
import type { HeaderEdits, RedirectPlan } from '../../snapshot/snapshot.ts';
import type { Exchange } from '../exchange.ts';
import { REFUSALS } from '../refusal.ts';
import type { Stage } from '../stage.ts';
import { redirects } from '../upstream/redirects.ts';
import { Verdict } from '../verdict.ts';

const HTTPS_PORT = 443;

export class Respond implements Stage {
  enter(x: Exchange): Verdict {
    // Another attempt asks the same of another endpoint: the wire still holds all edits, and adding them again would double them.
    if (x.attempts > 1) return Verdict.Next;
    const plan = present(x.route, 'route').respond;
    const { wire } = x;
    const { answer, request, strictTransport } = plan;
    for (let i = 0; i < answer.remove.length; i++) wire.removeAnswerHeader(answer.remove[i] as string);
    let ok = true;
    for (let i = 0; i + 1 < answer.set.length; i += 2) {
      ok = wire.setAnswerHeader(answer.set[i] as string, answer.set[i + 1] as string) && ok;
    }
    for (let i = 0; i + 1 < answer.add.length; i += 2) {
      ok = wire.addAnswerHeader(answer.add[i] as string, answer.add[i + 1] as string) && ok;
    }
    if (strictTransport !== '' && x.secure) {
      ok = wire.setAnswerHeader('strict-transport-security', strictTransport) && ok;
    }
    if (plan.redirect !== null && redirects(x)) return redirect(x, plan.redirect);

    if (!editRequest(x, request) || !ok)
      return x.refuse(REFUSALS.internal_error, 'a header edit of the route was refused');
    const path = rewritten(x.encodedPath, plan.stripPrefix, plan.addPrefix);
    x.plan.target = x.query === '' ? path : `${path}?${x.query}`;
    x.plan.authority = plan.host ?? wire.host;
    return Verdict.Next;
  }
}

function editRequest(x: Exchange, edits: HeaderEdits): boolean {
  const { wire } = x;
  let ok = true;
  for (let i = 0; i < edits.remove.length; i++) wire.removeUpstreamHeader(edits.remove[i] as string);
  for (let i = 0; i + 1 < edits.set.length; i += 2) {
    ok = wire.setUpstreamHeader(edits.set[i] as string, edits.set[i + 1] as string) && ok;
  }
  for (let i = 0; i + 1 < edits.add.length; i += 2) {
    ok = wire.addUpstreamHeader(edits.add[i] as string, edits.add[i + 1] as string) && ok;
  }
  return ok;
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
