/** What the schema of a bundle's own tests cannot say: that what they name is there. */
import { isIP } from 'node:net';
import { pointerPart } from './document.ts';
import { suggestion } from './nearest.ts';
import type { OwnTestConfig, OwnTestsConfig } from './own-tests.ts';
import { REFUSAL_CODES } from './refusal-codes.ts';

/** Names that tests may say. */
export interface TestedNames {
  readonly route: readonly string[];
  readonly cell: readonly string[];
  readonly issuer: readonly string[];
}

type Note = (path: string, message: string) => void;

const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;

export function ownTestProblems({ tests }: OwnTestsConfig, known: TestedNames, note: Note): void {
  const names = new Map<string, number>();
  for (const [i, test] of tests.entries()) {
    const path = `/tests/${i}`;
    const first = names.get(test.name);
    if (first === undefined) names.set(test.name, i);
    else note(`${path}/name`, `"${test.name}" is already the name of /tests/${first}`);
    requestProblems(test, path, known, note);
    expectProblems(test, `${path}/expect`, known, note);
  }
}

function requestProblems({ request }: OwnTestConfig, path: string, known: TestedNames, note: Note): void {
  fieldNames(Object.keys(request.headers), `${path}/request/headers`, note);
  for (const name of Object.keys(request.headers)) {
    const lower = name.toLowerCase();
    const at = `${path}/request/headers/${pointerPart(name)}`;
    if (lower === 'authorization' && request.token !== undefined)
      note(at, '`token` says the Authorization field already; keep one of them');
    if (lower === 'content-encoding') note(at, 'bodies of tests are inspected as they are written; leave it out');
  }
  if (isIP(request.address) === 0) note(`${path}/request/address`, `"${request.address}" is no IP address`);
  const { token } = request;
  if (token === undefined) return;
  const { issuer } = token;
  if (issuer !== undefined) absent(known.issuer, 'issuer', issuer, `${path}/request/token/issuer`, note);
  else if (known.issuer.length !== 1)
    note(`${path}/request/token`, `say \`issuer\`: the bundle has ${known.issuer.length} of them`);
}

function expectProblems({ expect }: OwnTestConfig, path: string, known: TestedNames, note: Note): void {
  const { route, cell, refusal, outcome, upstream, answer } = expect;
  if (route !== undefined) absent(known.route, 'route', route, `${path}/route`, note);
  if (cell !== undefined) absent(known.cell, 'cell', cell, `${path}/cell`, note);
  if (refusal !== undefined) absent(REFUSAL_CODES, 'refusal', refusal, `${path}/refusal`, note);
  if (refusal !== undefined && outcome !== undefined && outcome !== 'refused')
    note(`${path}/refusal`, `what is ${outcome} is not refused; keep one of them`);
  if (upstream !== undefined && (refusal !== undefined || (outcome !== undefined && outcome !== 'forwarded')))
    note(`${path}/upstream`, 'only what is forwarded has a request upstream');
  for (const [part, fields] of Object.entries({ upstream, answer })) {
    fieldNames(Object.keys(fields?.headers ?? {}), `${path}/${part}/headers`, note);
    for (const [i, name] of (fields?.without ?? []).entries())
      if (!FIELD_NAME.test(name)) note(`${path}/${part}/without/${i}`, `"${name}" is no name of a header field`);
  }
}

function fieldNames(names: readonly string[], path: string, note: Note): void {
  const seen = new Set<string>();
  for (const name of names) {
    const at = `${path}/${pointerPart(name)}`;
    if (!FIELD_NAME.test(name)) note(at, `"${name}" is no name of a header field`);
    if (seen.has(name.toLowerCase())) note(at, `"${name}" stands there twice, for case does not count`);
    seen.add(name.toLowerCase());
  }
}

function absent(names: readonly string[], kind: string, name: string, path: string, note: Note): void {
  if (!names.includes(name))
    note(
      path,
      `there is no ${kind} "${name}"${suggestion(
        name,
        names.filter((n) => n !== ''),
      )}`,
    );
}
