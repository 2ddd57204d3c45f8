/** What a test expects beside what was found: each difference as a line. */
import type { OwnTestConfig } from '../../config/own-tests.ts';
import type { Rehearsed } from '../../snapshot/rehearsal.ts';

type Expected = OwnTestConfig['expect'];

/** Longest value in a line. */
const SHOWN_MAX = 200;
/** Fields that a line tells of one message. */
const SEVERAL = ', ';

/** Differences; none when the test passes. */
export function differences(expect: Expected, found: Rehearsed): string[] {
  const lines: string[] = [];
  const { outcome, route, refusal, status, cell, tenant, policy, waf, rules, upstream, answer } = expect;
  const plain = { outcome, route, refusal, status, cell, tenant, policy, waf };
  for (const [name, wanted] of Object.entries(plain)) {
    const is = found[name as keyof typeof plain];
    if (wanted !== undefined && wanted !== is) lines.push(line(name, wanted, is));
  }
  const missing = (rules ?? []).filter((rule) => !found.rules.includes(rule));
  if (missing.length > 0) lines.push(line('rules', missing.join(SEVERAL), found.rules.join(SEVERAL)));
  if (upstream !== undefined && found.upstream === null) lines.push(line('outcome', 'forwarded', found.outcome));
  else if (upstream !== undefined && found.upstream !== null) {
    const { host, target, headers } = found.upstream;
    if (upstream.host !== undefined && upstream.host !== host) lines.push(line('upstream.host', upstream.host, host));
    if (upstream.target !== undefined && upstream.target !== target)
      lines.push(line('upstream.target', upstream.target, target));
    fields('upstream', upstream, headers, lines);
  }
  if (answer !== undefined) {
    fields('answer', answer, found.answer.headers, lines);
    if (answer.body !== undefined && answer.body !== found.answer.body)
      lines.push(line('answer.body', answer.body, found.answer.body));
  }
  return lines;
}

function fields(
  of: 'upstream' | 'answer',
  wanted: { readonly headers: Readonly<Record<string, string>>; readonly without: readonly string[] },
  flat: readonly string[],
  lines: string[],
): void {
  const found = new Map<string, string>();
  for (let i = 0; i + 1 < flat.length; i += 2) found.set(flat[i] ?? '', flat[i + 1] ?? '');
  for (const [name, value] of Object.entries(wanted.headers)) {
    const is = found.get(name.toLowerCase());
    if (is !== value) lines.push(line(`${of}.headers.${name}`, value, is));
  }
  for (const name of wanted.without) {
    const is = found.get(name.toLowerCase());
    if (is !== undefined) lines.push(`${of}.headers.${name}: expected none, found ${shown(is)}`);
  }
}

function line(what: string, wanted: string | number, is: string | number | undefined): string {
  return `${what}: expected ${shown(wanted)}, found ${is === undefined || is === '' || is === 0 ? 'none' : shown(is)}`;
}

function shown(value: string | number): string {
  const text = JSON.stringify(value);
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
}
