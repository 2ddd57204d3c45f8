/** WAF expressions: rules for people who do not speak SecLang. What they say is checked when the rules are compiled; `docs/waf-expressions.md` has the language. */
import Type, { type Static } from 'typebox';
import { closed, word } from './fields.ts';

/** Severities by their numbers. */
export const SEVERITIES = ['emergency', 'alert', 'critical', 'error', 'warning', 'notice', 'info', 'debug'] as const;

export const WafExpression = closed(
  {
    id: Type.Optional(
      Type.Integer({
        minimum: 90_000_000,
        maximum: 90_099_999,
        description: 'Rule id. Unwritten: one from 90100000 on that follows from name or expression.',
      }),
    ),
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 128, description: 'What the rule is called.' })),
    when: Type.String({
      minLength: 1,
      maxLength: 16_384,
      description: 'The expression, as docs/waf-expressions.md describes them.',
      examples: ['http.request.path starts_with "/admin" and not ip.src in $office'],
    }),
    action: word(
      ['block', 'log', 'score', 'skip'],
      'block = refuse; log = report; score = report and add points to the anomaly score; skip = skip the rules that follow, or those with one of the tags.',
    ),
    points: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1_000, description: 'What score adds to the anomaly score.' }),
    ),
    tags: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 128, description: 'Tag.', examples: ['attack-sqli'] }), {
        minItems: 1,
        maxItems: 64,
        description: 'What skip skips: rules with one of these whole tags.',
      }),
    ),
    message: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 200,
        description: 'What the record of a match says. Unwritten: name or expression.',
      }),
    ),
    severity: Type.Optional(
      word([...SEVERITIES], 'Severity. Unwritten: critical for block, warning for score, notice for log.'),
    ),
  },
  'An expression with what it does.',
);
export type WafExpression = Static<typeof WafExpression>;

/** An item of `rules`: the path of a SecLang file in the bundle directory, or an expression. */
export const WafRuleItem = Type.Unsafe<string | WafExpression>({
  ...WafExpression,
  type: ['string', 'object'],
  pattern: '^[A-Za-z0-9_./-]+\\.conf$',
  maxLength: 255,
  description: 'SecLang file, or an expression with `when` and `action`.',
  examples: ['waf/sql.conf'],
});

/** Lists by their names, which expressions write with `$`. */
export const WafLists = Type.Record(
  Type.String(),
  Type.Array(
    Type.Unsafe<string | number>({
      type: ['string', 'integer'],
      minimum: Number.MIN_SAFE_INTEGER,
      maximum: Number.MAX_SAFE_INTEGER,
      minLength: 1,
      maxLength: 4_096,
      description: 'Address, network, range of addresses (192.0.2.1..192.0.2.9), string or whole number.',
      examples: ['10.0.0.0/8'],
    }),
    { minItems: 1, maxItems: 100_000, description: 'Entries, all strings or all whole numbers.' },
  ),
  {
    default: {},
    maxProperties: 256,
    description: 'Lists for expressions, by the names that they write with `$`: `ip.src in $office`.',
  },
);

/** Name of a list. */
const LIST_NAME = /^[a-z][a-z0-9_]{0,62}$/;

/** What the declarations cannot say of expressions. `path` is that of their list. */
export function expressionProblems(
  items: readonly (string | WafExpression)[],
  path: string,
  at: (path: string, message: string) => void,
): void {
  for (const [i, item] of items.entries()) {
    if (typeof item === 'string') continue;
    const { action, points, tags } = item;
    const here = `${path}/${i}`;
    if (action === 'score' && points === undefined) at(`${here}/action`, 'score needs `points`: say how many');
    if (action !== 'score' && points !== undefined)
      at(`${here}/points`, `belongs to \`action: score\`, not to ${action}`);
    if (action !== 'skip' && tags !== undefined) at(`${here}/tags`, `belongs to \`action: skip\`, not to ${action}`);
  }
}

/** What the declarations cannot say of lists. */
export function listProblems(lists: Static<typeof WafLists>, at: (path: string, message: string) => void): void {
  for (const [name, entries] of Object.entries(lists)) {
    const here = `/lists/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    if (!LIST_NAME.test(name))
      at(here, `"${name}" is no name of a list; write it of small letters, digits and _, beginning with a letter`);
    const numbers = entries.filter((e) => typeof e === 'number').length;
    if (numbers > 0 && numbers < entries.length) at(here, 'holds strings and numbers; write one kind');
  }
}
