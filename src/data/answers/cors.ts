/**
 * The CORS protocol (Fetch standard §3.2): what pages of other origins may do. The fields are set as soon as the route is known, so that a refusal is readable to them as well, and once
 * more behind the route's edits, which take the upstream's own away.
 */
import type { CorsPlan } from '../../snapshot/respond-plans.ts';
import type { Exchange } from '../exchange.ts';
import { METHODS } from '../exchange.ts';
import { PREFLIGHT_STATUS } from '../refusal.ts';

const OPTIONS = METHODS.indexOf('OPTIONS');
/** Longest origin that is compared, characters. */
const ORIGIN_LENGTH_MAX = 512;
/** What stands for `*.` in an origin: one or more labels. */
const LABELS = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;
/** Names that a preflight may ask for (Fetch standard, Access-Control-Request-Headers): what is reflected must be nothing else. */
const NAMES = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:,[\t ]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*$/;
const NAMES_LENGTH_MAX = 2_048;

/** The method that a preflight asks for; `''`: the request is none. */
export function preflightMethod(x: Exchange): string {
  if (x.methodCode !== OPTIONS || x.wire.header('origin') === undefined) return '';
  return x.wire.header('access-control-request-method') ?? '';
}

/** Says in the answer whether the page that asks may read it. Nothing is said to an origin that is not allowed. */
export function allowOrigin(x: Exchange, plan: CorsPlan): void {
  const { wire } = x;
  if (plan.any) wire.setAnswerHeader('access-control-allow-origin', '*');
  else {
    const origin = wire.header('origin');
    if (origin === undefined || !isAllowed(plan, origin)) return;
    wire.setAnswerHeader('access-control-allow-origin', origin);
    if (plan.credentials) wire.setAnswerHeader('access-control-allow-credentials', 'true');
  }
  if (plan.exposed !== '') wire.setAnswerHeader('access-control-expose-headers', plan.exposed);
}

/** The same for an answer that no edit of the route reaches: caches are told as well. */
export function allowOriginOfRefusal(x: Exchange, plan: CorsPlan): void {
  allowOrigin(x, plan);
  if (plan.varies) x.wire.addAnswerHeader('vary', 'Origin');
}

/** Answers a preflight. */
export function answerPreflight(x: Exchange, plan: CorsPlan): void {
  const { wire } = x;
  const origin = wire.header('origin') ?? '';
  const allowed = plan.any || isAllowed(plan, origin);
  x.detail = allowed ? 'a preflight' : 'a preflight of an origin that is not allowed';
  if (allowed) {
    wire.setAnswerHeader('access-control-allow-methods', plan.methods);
    const headers = plan.headers === '*' ? namesOf(wire.header('access-control-request-headers')) : plan.headers;
    if (headers !== '') wire.setAnswerHeader('access-control-allow-headers', headers);
    wire.setAnswerHeader('access-control-max-age', plan.maxAge);
    if (plan.privateNetwork && wire.header('access-control-request-private-network') === 'true')
      wire.setAnswerHeader('access-control-allow-private-network', 'true');
  }
  if (plan.headers === '*') wire.addAnswerHeader('vary', 'Access-Control-Request-Headers');
  wire.setAnswerHeader('x-request-id', x.id);
  wire.answer(PREFLIGHT_STATUS, '', '');
}

function namesOf(asked: string | undefined): string {
  return asked === undefined || asked.length > NAMES_LENGTH_MAX || !NAMES.test(asked) ? '' : asked;
}

/** Browsers write origins in one form: lower case, without the usual port. */
export function isAllowed(plan: CorsPlan, origin: string): boolean {
  if (plan.origins.includes(origin)) return true;
  if (origin.length > ORIGIN_LENGTH_MAX) return false;
  const { within } = plan;
  for (let i = 0; i < within.length; i += 2) {
    const scheme = within[i] as string;
    const suffix = within[i + 1] as string;
    if (!origin.startsWith(scheme) || !origin.endsWith(suffix) || origin.length <= scheme.length + suffix.length)
      continue;
    if (LABELS.test(origin.slice(scheme.length, -suffix.length))) return true;
  }
  return false;
}
