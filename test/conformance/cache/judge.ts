/**
 * What a test's requests have shown, by the rules of the suite: the client's side after each answer, the origin's side at the end. The first thing that is not as it must be ends the
 * test; in a step that only prepares it says that the test could not be made.
 */
import type { Heard } from './client.ts';
import { type CacheRequest, type HeaderLine, valueOf } from './definition.ts';
import type { Running } from './origin.ts';

/** Something is not as it must be. */
export class CheckError extends Error {
  /** It belongs to the preparation. */
  readonly setup: boolean;

  constructor(setup: boolean, message: string) {
    super(message);
    this.setup = setup;
  }
}

function check(setup: boolean, holds: boolean, message: string): void {
  if (!holds) throw new CheckError(setup, message);
}

const NO_BODY: ReadonlySet<number> = new Set([204, 304]);
const NOT_MODIFIED = 304;
/** What the gateway may write anew. */
const NOT_COMPARED: ReadonlySet<string> = new Set(['date']);

function prepares(plan: CacheRequest, what: string): boolean {
  return plan.setup === true || plan.setup_tests?.includes(what) === true;
}

/** The client's side. `number`: of the request, from 1. */
export function judgeAnswer(plan: CacheRequest, number: number, heard: Heard, token: string): void {
  const numbers = heard.headers.get('request-numbers')?.split(' ') ?? [];
  check(
    true,
    new Set(numbers).size === numbers.length,
    `request ${number}: sent upstream more than once (${numbers.join(' ')})`,
  );
  judgeType(plan, number, heard);
  judgeStatus(plan, number, heard);
  judgeHeaders(plan, number, heard);
  judgeInterim(plan, number, heard);
  judgeBody(plan, number, heard, token);
}

function judgeType(plan: CacheRequest, number: number, heard: Heard): void {
  const count = Number(heard.headers.get('server-request-count') ?? NaN);
  const setup = prepares(plan, 'expected_type');
  if (plan.expected_type === 'cached' && !(heard.status === NOT_MODIFIED && Number.isNaN(count)))
    check(setup, count < number, `response ${number} does not come from the cache`);
  if (plan.expected_type === 'not_cached') check(setup, count === number, `response ${number} comes from the cache`);
}

function judgeStatus(plan: CacheRequest, number: number, heard: Heard): void {
  const told = (wanted: number): string => `response ${number} has status ${heard.status}, not ${wanted}`;
  if (plan.expected_status !== undefined) {
    const wanted = plan.expected_status;
    if (wanted !== null) check(prepares(plan, 'expected_status'), heard.status === wanted, told(wanted));
  } else if (plan.response_status !== undefined) {
    check(true, heard.status === plan.response_status[0], told(plan.response_status[0]));
  } else if (plan.expected_type?.endsWith('validated') === true) {
    check(prepares(plan, 'expected_type'), heard.status === 200, told(200));
  } else check(true, heard.status === 200, told(200));
}

function judgeHeaders(plan: CacheRequest, number: number, heard: Heard): void {
  const { headers } = heard;
  const here = prepares(plan, 'expected_response_headers');
  for (const wanted of plan.expected_response_headers ?? []) {
    const line: HeaderLine = typeof wanted === 'string' ? [wanted] : wanted;
    const name = line[0].toLowerCase();
    const value = headers.get(name);
    const told = `response ${number}: ${name} is ${value === undefined ? 'absent' : `"${value}"`}`;
    if (line.length === 1) check(here, value !== undefined, told);
    else if (line.length > 2 && line[1] === '>')
      check(here, Number.parseInt(value ?? '', 10) > Number(line[2]), `${told}, not above ${line[2]}`);
    else if (line.length > 2 && line[1] === '=')
      check(
        here,
        value !== undefined && value === headers.get(String(line[2]).toLowerCase()),
        `${told}, not as ${line[2]}`,
      );
    else {
      const expected = valueOf(line, plan, Number(headers.get('server-now')), headers.get('server-base-url') ?? '');
      check(here, value === expected, `${told}, not "${expected}"`);
    }
  }
  const gone = prepares(plan, 'expected_response_headers_missing');
  for (const unwanted of plan.expected_response_headers_missing ?? []) {
    const [name, part] = typeof unwanted === 'string' ? [unwanted] : unwanted;
    const value = headers.get(name.toLowerCase());
    const there = part === undefined ? value !== undefined : value?.includes(String(part)) === true;
    check(gone, !there, `response ${number}: ${name} is "${value}"`);
  }
}

function judgeInterim(plan: CacheRequest, number: number, heard: Heard): void {
  const wanted = plan.expected_interim_responses;
  if (wanted === undefined) return;
  const setup = prepares(plan, 'expected_interim_responses');
  const statuses = heard.interim.map((one) => one.status).join(' ');
  check(
    setup,
    statuses === wanted.map(([status]) => status).join(' '),
    `response ${number}: interim responses "${statuses}"`,
  );
  for (const [i, [, headers = []]] of wanted.entries()) {
    for (const [name, value] of headers) {
      const got = heard.interim[i]?.headers.get(name.toLowerCase());
      check(setup, got === String(value), `response ${number}: interim ${name} is "${got}", not "${value}"`);
    }
  }
}

function judgeBody(plan: CacheRequest, number: number, heard: Heard, token: string): void {
  if (plan.check_body === false) return;
  const told = (wanted: string): string => `response ${number} has the body "${heard.body}", not "${wanted}"`;
  if (plan.expected_response_text !== undefined) {
    const wanted = plan.expected_response_text;
    if (wanted !== null) check(prepares(plan, 'expected_response_text'), heard.body === wanted, told(wanted));
  } else if (plan.response_body !== undefined && plan.response_body !== null) {
    check(true, heard.body === plan.response_body, told(plan.response_body));
  } else if (!NO_BODY.has(heard.status) && plan.request_method !== 'HEAD')
    check(true, heard.body === token, told(token));
}

/** The origin's side, when all requests are over. */
export function judgeOrigin(plans: readonly CacheRequest[], heard: readonly Heard[], running: Running): void {
  let at = 0;
  for (const [i, plan] of plans.entries()) {
    const number = i + 1;
    // The origin does not see it.
    if (plan.expected_type === 'cached') continue;
    const seen = running.seen[at];
    const setup = prepares(plan, 'expected_type');
    if (plan.expected_type === 'not_cached')
      check(
        setup,
        seen?.number === number,
        `response ${number} comes from the cache (the origin saw request ${seen?.number ?? 'none'})`,
      );
    at++;
    const validator =
      plan.expected_type === 'etag_validated'
        ? 'if-none-match'
        : plan.expected_type === 'lm_validated'
          ? 'if-modified-since'
          : null;
    if (validator !== null) {
      check(setup, seen !== undefined, `request ${number} did not reach the origin`);
      check(setup, seen?.headers[validator] !== undefined, `request ${number} has no ${validator}`);
    }
    const header = (name: string): string | undefined => seen?.headers[name.toLowerCase()]?.toString();
    for (const wanted of plan.expected_request_headers ?? []) {
      const [name, value] = typeof wanted === 'string' ? [wanted] : wanted;
      const got = header(name);
      const holds = value === undefined ? got !== undefined : got === String(value);
      check(
        prepares(plan, 'expected_request_headers'),
        holds,
        `request ${number}: ${name} is "${got}", not "${value ?? 'there'}"`,
      );
    }
    for (const unwanted of plan.expected_request_headers_missing ?? []) {
      const [name, value] = typeof unwanted === 'string' ? [unwanted] : unwanted;
      const got = header(name);
      const holds = value === undefined ? got === undefined : got !== String(value);
      check(prepares(plan, 'expected_request_headers_missing'), holds, `request ${number}: ${name} is "${got}"`);
    }
    for (const [name, value] of seen?.mustArrive ?? []) {
      if (NOT_COMPARED.has(name)) continue;
      const got = heard[i]?.headers.get(name);
      check(true, got === value, `response ${number}: ${name} is "${got}", not "${value}"`);
    }
    if (plan.expected_method !== undefined)
      check(
        prepares(plan, 'expected_method'),
        seen?.method === plan.expected_method,
        `request ${number} has method ${seen?.method}`,
      );
  }
}
