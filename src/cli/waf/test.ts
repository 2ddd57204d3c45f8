/** `cnx waf test`: one request (and its answer) through the engine, told as a person wants to read it. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { exclusionsOf } from '../../admin/waf-exclusion.ts';
import type { RouteWaf, WafExclusion } from '../../config/waf-tuning.ts';
import { native } from '../../native.ts';
import { packRequest, packResponse, type WafResponse, type WafTrace } from '../../native/waf.ts';
import type { WafRoutePlan } from '../../snapshot/route-plans.ts';
import { command, UsageError } from '../command.ts';
import type { Command } from '../io.ts';
import { MESSAGE_BYTES_MAX, MessageError, parseRequest, parseResponse, type RawRequest } from './raw-message.ts';
import { openRules, type RuleSet } from './rule-set.ts';
import { matchedOf, tellTrace } from './tell.ts';

const HELP = `cnx waf test <bundle directory | rules…> --request FILE [--response FILE] [--route ID] [--paranoia N] [--json]

Runs one HTTP request, as it stands in a file (- for standard input), through the rules and tells what matched, where and why, what would happen, and what to
paste when it should have passed. Rules are those of a bundle directory, a Core Rule Set (a directory with rules/), or files (.conf and .data) in their order.

  --response  the answer, as it stands in a file: its phases are run too
  --route     as this route of the bundle sees it; without it the route that takes the request (host, path, method and header fields), or if none does waf.yaml alone
  --paranoia  at this paranoia level, 1 to 4
  --mode      off, detect or block, whatever is written
  --client    address of the client; 192.0.2.1 unless told
  --all       tell rules that only set variables, too
  --json      the engine's trace as JSON

Exit code 0: it passes; 3: it is refused, or would be in block mode; 1: it could not be run; 2: wrong usage.
`;

/** It would be refused. */
const REFUSED = 3;
const MODES = ['off', 'detect', 'block'] as const;
/** Room for what a packed message holds besides its file. */
const PACKED_BYTES = 64 * 1024;

export const run: Command = command({
  name: 'waf test',
  help: HELP,
  options: {
    request: { type: 'string' },
    response: { type: 'string' },
    route: { type: 'string' },
    paranoia: { type: 'string' },
    mode: { type: 'string' },
    client: { type: 'string', default: '192.0.2.1' },
    all: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
  failures: [MessageError],
  act: async ({ values, positionals, io }) => {
    if (values.request === undefined) throw new UsageError('--request FILE is missing');
    const paranoia = values.paranoia === undefined ? undefined : Number(values.paranoia);
    if (paranoia !== undefined && ![1, 2, 3, 4].includes(paranoia)) throw new UsageError('--paranoia is 1, 2, 3 or 4');
    const mode = MODES.find((m) => m === values.mode);
    if (values.mode !== undefined && mode === undefined) throw new UsageError(`--mode is ${MODES.join(', ')}`);
    const request = parseRequest(contentOf(values.request));
    const response = values.response === undefined ? null : parseResponse(contentOf(values.response));
    const rules = await openRules(positionals, io.env['PATH']);
    try {
      const id = values.route ?? rules.routeOf(request);
      const written: RouteWaf = (id === undefined ? undefined : rules.route(id)) ?? { exclude: [] };
      const route: RouteWaf = {
        ...written,
        ...(paranoia === undefined ? {} : { paranoiaLevel: paranoia, detectionParanoiaLevel: paranoia }),
        mode: mode ?? written.mode ?? rules.mode,
        ...(response === null ? {} : { responses: { ...written.responses, inspect: true } }),
      };
      // Rules of a route where nothing is asked are run all the same: that is why somebody asks.
      const words: RouteWaf = route.mode === 'off' ? { ...route, mode: 'detect' } : route;
      const plan = rules.plan(words, id);
      const exchange = { request, response, client: values.client };
      const trace = traceOf(rules, plan, exchange);
      if (values.json) io.stdout(`${JSON.stringify(trace, null, 2)}\n`);
      else {
        const exclusions = exclusionsOf(trace.matches.filter((m) => m.logged).map(matchedOf));
        // That they work is tried, not promised.
        const lifted =
          exclusions.length === 0 ? null : traceOf(rules, rules.plan(withPasted(words, exclusions), id), exchange);
        io.stdout(
          tellTrace({
            trace,
            plan,
            mode: route.mode ?? 'block',
            request,
            exclusions,
            lifted,
            all: values.all,
            ...(id === undefined ? {} : { route: id }),
            found: values.route === undefined && rules.hasRoutes,
          }),
        );
      }
      return trace.verdict === 'block' || trace.wouldBlock || trace.verdict === 'budget-exceeded' ? REFUSED : 0;
    } finally {
      rules.release();
    }
  },
});

interface ExchangeGiven {
  readonly request: RawRequest;
  readonly response: (WafResponse & { readonly body: Uint8Array }) | null;
  readonly client: string;
}

function contentOf(file: string): Uint8Array {
  return readFileSync(file === '-' ? 0 : file);
}

/** What the engine says of it, under the bounds of the plan. */
function traceOf(rules: RuleSet, plan: WafRoutePlan, { request, response, client }: ExchangeGiven): WafTrace {
  const buffer = Buffer.alloc(MESSAGE_BYTES_MAX + PACKED_BYTES);
  const length = packRequest(buffer, {
    ...request,
    client,
    body: request.body.subarray(0, plan.bodyBytes),
    bodyTruncated: plan.bodyBytes > 0 && request.body.length > plan.bodyBytes,
  });
  if (length < 0) throw new MessageError('the request cannot be packed: too many fields, or a field that is too long');
  const answer = Buffer.alloc(response === null ? 0 : MESSAGE_BYTES_MAX + PACKED_BYTES);
  const answerBytes = plan.answer?.bodyBytes ?? 0;
  const answerLength =
    response === null
      ? 0
      : packResponse(answer, {
          ...response,
          body: response.body.subarray(0, answerBytes),
          bodyTruncated: response.body.length > answerBytes,
        });
  if (answerLength < 0)
    throw new MessageError('the answer cannot be packed: too many fields, or a field that is too long');
  const text = native().wafTrace(
    rules.program,
    plan.profile,
    buffer.subarray(0, length),
    response === null ? null : answer.subarray(0, answerLength),
  );
  return JSON.parse(text) as WafTrace;
}

/** The words of a route with exclusions pasted. */
function withPasted(words: RouteWaf, exclusions: readonly string[]): RouteWaf {
  return { ...words, exclude: [...words.exclude, ...exclusions.map((text) => parse(text) as WafExclusion)] };
}
