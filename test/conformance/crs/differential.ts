/**
 * The engine beside libmodsecurity 3 on the same exchanges with the same rules: which rules logged. What differs must be of a class that is explained here.
 */
import type { WafFile, WafRequest } from '../../../src/native/waf.ts';
import { Engine } from './engine.ts';
import { type Exchange, Oracle } from './oracle.ts';

export interface Difference {
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
  /** Classes that explain it. */
  readonly classes: readonly string[];
  /** Rules that no class explains: `+` only ours, `-` only theirs. */
  readonly unexplained: readonly string[];
  readonly exchange: Exchange;
}

interface Explained {
  readonly class: string;
  readonly reason: string;
  readonly applies: (exchange: Exchange, rule: number, side: 'ours' | 'theirs', rules: RuleTexts) => boolean;
}

/** The text of each rule with its chain, by id. */
export type RuleTexts = ReadonlyMap<number, string>;

const FORM = /^application\/x-www-form-urlencoded/i;

/** Read from top to bottom; the first that applies counts. */
export const EXPLAINED: readonly Explained[] = [
  {
    class: 'scores',
    reason: 'rules that compare the sums of others’ scores follow the differences of those',
    applies: (_, rule, __, rules) => /^SecRule TX:|^SecAction/.test(rules.get(rule) ?? ''),
  },
  {
    class: 'request-body',
    reason:
      'libmodsecurity 3 fills REQUEST_BODY for every media type; ModSecurity 2, Coraza and this engine for forms, or where a rule forces it: what a body processor takes apart is seen in its parts',
    applies: ({ request }, rule, side, rules) =>
      side === 'theirs' &&
      !FORM.test(field(request, 'content-type')) &&
      /REQUEST_BODY[|" ]/.test(rules.get(rule) ?? ''),
  },
  {
    class: 'chain-head',
    reason: 'libmodsecurity 3 logs the head of a chain whose links do not match, where it has multiMatch',
    applies: (_, rule, __, rules) => /multiMatch/.test(rules.get(rule) ?? '') && /chain/.test(rules.get(rule) ?? ''),
  },
  {
    class: 'broken-body',
    reason:
      'of JSON, XML and multipart bodies that are not well-formed, libmodsecurity 3 keeps little or nothing; this engine keeps what it has read, so more rules see it (and in parts of multipart without a name, fewer)',
    applies: ({ request }) =>
      (request.body?.length ?? 0) > 0 && /json|xml|multipart/i.test(field(request, 'content-type')),
  },
  {
    class: 'target',
    reason:
      'libmodsecurity 3 decodes the target before it looks for the query and cuts it at `#`, so that an encoded `?` moves the query, a fragment is not seen and REQUEST_URI is decoded; this engine decodes the path alone. An absolute target keeps its authority there',
    applies: ({ request }) => /^[^/]|%3f|#|%[0-9a-f]{2}[^?]*(?:\?|$)|[^?]*%/i.test(request.target),
  },
  {
    class: 'phrases',
    reason: 'libmodsecurity 3’s @pm misses a phrase that begins within the failed attempt at another one',
    applies: (_, rule, side, rules) => side === 'ours' && /@pm/i.test(rules.get(rule) ?? ''),
  },
  {
    class: 'cookie-exclusions',
    reason:
      'libmodsecurity 3 does not leave out cookies by expression (SecRuleUpdateTargetById "!REQUEST_COOKIES:/…/")',
    applies: ({ request }, _, side) => side === 'theirs' && field(request, 'cookie') !== '',
  },
];

/** Runs both over the exchanges; only what differs is told. */
export async function differences(files: readonly WafFile[], exchanges: readonly Exchange[]): Promise<Difference[]> {
  const oracle = new Oracle(files);
  const engine = new Engine(files, {}, true);
  const rules = ruleTexts(files);
  try {
    const theirs = await oracle.run(exchanges);
    return exchanges.flatMap((exchange, i) => {
      const matches = engine.trace(exchange.request, exchange.response).matches.filter((match) => match.logged);
      const a = new Set(matches.map((match) => match.ruleId));
      const b = new Set(theirs[i] ?? []);
      // libmodsecurity 3 takes noauditlog for nolog.
      const compared = (id: number): boolean => !/\bnoauditlog\b/.test(rules.get(id) ?? '');
      const ours = [...a].filter((id) => !b.has(id) && compared(id));
      const only = [...b].filter((id) => !a.has(id) && compared(id));
      if (ours.length + only.length === 0) return [];
      const classes = new Set<string>();
      const unexplained: string[] = [];
      for (const [list, side] of [
        [ours, 'ours'],
        [only, 'theirs'],
      ] as const)
        for (const id of list) {
          const row = EXPLAINED.find((one) => one.applies(exchange, id, side, rules));
          if (row === undefined) unexplained.push(`${side === 'ours' ? '+' : '-'}${id}`);
          else classes.add(row.class);
        }
      return [{ ours, theirs: only, classes: [...classes], unexplained, exchange }];
    });
  } finally {
    engine.release();
    oracle.remove();
  }
}

function ruleTexts(files: readonly WafFile[]): RuleTexts {
  const out = new Map<number, string>();
  for (const { name, bytes } of files) {
    if (!/\.conf/.test(name)) continue;
    let head: number | undefined;
    const text = Buffer.from(bytes)
      .toString('utf8')
      .replaceAll(/^\s*#.*$/gm, '')
      .replaceAll('\\\n', ' ');
    for (const line of text.split('\n').filter((one) => /^\s*Sec(Rule|Action) /.test(one))) {
      const id = /\bid:(\d+)/.exec(line)?.[1];
      if (id !== undefined) head = Number(id);
      if (head !== undefined) out.set(head, `${out.get(head) ?? ''}${line.trim()}\n`);
    }
  }
  return out;
}

function field(request: WafRequest, name: string): string {
  return (request.headers ?? []).find(([n]) => n.toLowerCase() === name)?.[1] ?? '';
}
