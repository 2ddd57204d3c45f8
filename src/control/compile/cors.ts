/** CORS of a route: origins as they are compared, field values as they are sent. */
import type { CorsConfig } from '../../config/cors.ts';
import type { CorsPlan } from '../../snapshot/respond-plans.ts';
import type { Part } from '../../config/bundle.ts';
import type { CompiledEdits } from './header-edits.ts';
import type { Report } from './report.ts';

/** Fields by which an answer tells what other origins may do. */
export const CORS_ANSWER_FIELDS: readonly string[] = [
  'access-control-allow-origin',
  'access-control-allow-credentials',
  'access-control-expose-headers',
  'access-control-allow-methods',
  'access-control-allow-headers',
  'access-control-max-age',
  'access-control-allow-private-network',
];
/** Edits of an answer that CORS needs. */
export const CORS_EDITS_MAX = 2 * CORS_ANSWER_FIELDS.length + 2;
/** What a route that takes all methods lets pages use. */
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
/** An origin as browsers serialise it, with a leading `*.` perhaps. */
const ORIGIN =
  /^([a-z][a-z0-9+.-]*:\/\/)(\*\.)?([a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?|\[[0-9a-f:.]+\])((?::[1-9][0-9]{0,4})?)$/;

export interface CorsInput {
  readonly report: Report;
  /** Methods of the route; empty = all. */
  readonly methods?: readonly string[];
}

/** `path`: JSON Pointer, in `defaults` when it begins so. `edited`: fields of the answer that the route edits. */
export function compileCors(
  config: CorsConfig,
  path: string,
  edited: Pick<CompiledEdits, 'named' | 'replaced'>,
  input: CorsInput,
): CorsPlan {
  const part: Part = path.startsWith('/cors') ? 'defaults' : 'routes';
  const report = (below: string, message: string): void => input.report(part, `${path}${below}`, message);
  const any = config.allowOrigins.includes('*');
  if (any && config.allowOrigins.length > 1)
    report('/allowOrigins', '`*` is every origin already; leave out the others');
  if (any && config.allowCredentials)
    report(
      '/allowCredentials',
      'with `*` every site could read with the cookies of whoever visits it; list the origins',
    );
  if (config.allowCredentials && config.allowOrigins.some((origin) => origin.toLowerCase() === 'null'))
    report(
      '/allowCredentials',
      'with `null` every site could read with the cookies of whoever visits it: any page can make a sandboxed frame, whose origin it is; list the origins',
    );
  for (const name of edited.named)
    if (CORS_ANSWER_FIELDS.includes(name))
      report('', `\`answerHeaders\` edits ${name}, which \`cors\` says; keep one of them`);
  if (!any && edited.replaced.has('vary'))
    report('', 'answers differ by Origin, which `answerHeaders` would take out of Vary; take `append` or `add` for it');
  const origins: string[] = [];
  const within: string[] = [];
  for (const [i, written] of config.allowOrigins.entries()) {
    const origin = written.toLowerCase();
    if (origin === '*') continue;
    const found = ORIGIN.exec(origin);
    if (origin === 'null') origins.push(origin);
    else if (found === null)
      report(
        `/allowOrigins/${i}`,
        `"${written}" is no origin; scheme and host are expected, without a path or a slash at the end: https://app.example.com`,
      );
    else if (isUsualPort(found[1] ?? '', found[4] ?? ''))
      report(
        `/allowOrigins/${i}`,
        `browsers leave out the usual port; write ${written.slice(0, -(found[4] ?? '').length)}`,
      );
    else if (found[2] === undefined) origins.push(origin);
    else within.push(found[1] ?? '', `.${found[3] ?? ''}${found[4] ?? ''}`);
  }
  const wanted = config.allowMethods.length > 0 ? config.allowMethods : (input.methods ?? []);
  return {
    any,
    origins,
    within,
    varies: !any,
    methods: (wanted.length > 0 ? wanted : METHODS).join(', '),
    headers: config.allowHeaders.includes('*') ? '*' : config.allowHeaders.join(', '),
    exposed: config.exposeHeaders.join(', '),
    maxAge: String(config.maxAgeSeconds),
    credentials: config.allowCredentials,
    privateNetwork: config.allowPrivateNetwork,
  };
}

function isUsualPort(scheme: string, port: string): boolean {
  return (scheme === 'https://' && port === ':443') || (scheme === 'http://' && port === ':80');
}
