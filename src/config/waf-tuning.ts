/** What may be tuned of the WAF, in the same words for a whole bundle (`waf.yaml`) and for one route (`routes[].waf`), where it wins. */
import Type, { type Static } from 'typebox';
import { closed, word } from './fields.ts';
import { CRS_SETTINGS } from './waf-crs.ts';
import { WafExpression } from './waf-expression.ts';

const PARANOIA = { minimum: 1, maximum: 4 } as const;
const THRESHOLD = { minimum: 1, maximum: 10_000 } as const;

/** Text that goes into a rule: no quotes, no line breaks, no backslash at its end. */
export const RULE_TEXT = '^[^"\\u0000-\\u001f\\u007f]*[^"\\\\\\u0000-\\u001f\\u007f]$';

export const WafExclusion = closed(
  {
    rule: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 4_294_967_295, description: 'One rule by its id.', examples: [942100] }),
    ),
    rules: Type.Optional(
      Type.String({
        pattern: '^[0-9]{1,10}(-[0-9]{1,10})?([, ]+[0-9]{1,10}(-[0-9]{1,10})?)*$',
        maxLength: 1_024,
        description: 'Rules by ids and ranges.',
        examples: ['942100-942199, 941100'],
      }),
    ),
    tag: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description: 'Rules with this whole tag.',
        examples: ['attack-sqli'],
      }),
    ),
    message: Type.Optional(
      Type.String({ minLength: 1, maxLength: 512, description: 'Rules with this whole message, as rules write it.' }),
    ),
    target: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z_]+(:.+)?$',
        maxLength: 1_024,
        description:
          'Only this target of theirs: a collection, one member, or members by an expression. Without it the rules are left out whole.',
        examples: ['ARGS:password', 'REQUEST_COOKIES', 'REQUEST_COOKIES:/^_ga/'],
      }),
    ),
    reason: Type.Optional(
      Type.String({ minLength: 1, maxLength: 512, description: 'Why; for whoever reads it a year later.' }),
    ),
  },
  'Rules that are not run, or not on one target: exactly one of rule, rules, tag, message.',
);
export type WafExclusion = Static<typeof WafExclusion>;

/** Media types of answers whose bodies are inspected unless something else is written. */
export const ANSWER_TYPES: readonly string[] = ['text/plain', 'text/html', 'text/xml', 'application/json'];
/** How much of an answer is inspected unless something else is written. Unit: bytes. */
export const ANSWER_BODY_BYTES = 524_288;

export const WafAnswers = closed(
  {
    inspect: Type.Optional(
      Type.Boolean({
        description:
          'Answers are inspected: their heads, and the begin of their bodies (phases 3 and 4). Unwritten: false.',
      }),
    ),
    bodyBytes: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 16_777_216,
        description:
          'How much of an answer is held back and inspected; 0 = the head only. Unwritten: 524288. Unit: bytes.',
      }),
    ),
    beyond: Type.Optional(
      word(
        ['pass', 'refuse'],
        'A longer answer is passed after its beginning was inspected, or refused. Unwritten: pass.',
      ),
    ),
    coded: Type.Optional(
      word(
        ['decode', 'refuse', 'pass'],
        'A body with Content-Encoding, which the upstream is asked not to send: decoded for inspection in the worker pool (gzip, deflate, br, zstd; another is refused, in detect mode passed) and passed as it came; refused; or passed with only the head inspected. Unwritten: decode.',
      ),
    ),
    types: Type.Optional(
      Type.Array(
        Type.String({
          pattern: '^[a-z0-9!#$&^_.+-]+/([a-z0-9!#$&^_.+-]+|\\*)$',
          maxLength: 128,
          description: 'Media type in lower case, or all of a kind.',
          examples: ['text/html', 'text/*'],
        }),
        {
          maxItems: 64,
          description:
            'Media types whose bodies are inspected. Other answers, event streams and WebSockets are never held back. Unwritten: text/plain, text/html, text/xml, application/json.',
        },
      ),
    ),
  },
  'Inspection of answers.',
);
export type WafAnswers = Static<typeof WafAnswers>;

/** Fields that mean the same in `waf.yaml` and on a route, and have no value unless somebody writes one. */
export const TUNING = {
  paranoiaLevel: Type.Optional(
    Type.Integer({
      ...PARANOIA,
      description:
        'Rules up to this CRS paranoia level count towards blocking. Unwritten: what the rules say (CRS: 1).',
    }),
  ),
  detectionParanoiaLevel: Type.Optional(
    Type.Integer({
      ...PARANOIA,
      description:
        'Rules up to this level are run and recorded; those above `paranoiaLevel` do not count towards blocking. Unwritten: the same as `paranoiaLevel`.',
    }),
  ),
  threshold: Type.Optional(
    Type.Integer({
      ...THRESHOLD,
      description: 'Inbound anomaly score at which a request is blocked. Unwritten: what the rules say (CRS: 5).',
    }),
  ),
  outboundThreshold: Type.Optional(
    Type.Integer({
      ...THRESHOLD,
      description: 'Outbound anomaly score at which an answer is blocked. Unwritten: what the rules say (CRS: 4).',
    }),
  ),
  earlyBlocking: Type.Optional(
    Type.Boolean({ description: 'The score is looked at after the head already (CRS early blocking).' }),
  ),
  samplingPercentage: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 100,
      description:
        'Share of requests that the CRS looks at, in percent; the others pass uninspected by it. For bringing it up on a busy site.',
    }),
  ),
  exclude: Type.Array(WafExclusion, {
    default: [],
    maxItems: 1_024,
    description: 'Rules that are not run, whole or on a target. Those of `waf.yaml` and of the route add up.',
  }),
  beyond: Type.Optional(
    word(
      ['refuse', 'partial'],
      'A longer body is refused (413), or its beginning is inspected and the rest passed. Unwritten: refuse; partial in detect mode.',
    ),
  ),
  coded: Type.Optional(
    word(
      ['refuse', 'decode', 'pass'],
      'A body with Content-Encoding: refused; decoded for inspection in the worker pool (gzip, deflate, br, zstd; once decoded `bodyBytes` and `beyond` count) and forwarded as it came; or passed with only the head inspected. Unwritten: refuse; pass in detect mode.',
    ),
  ),
  workMax: Type.Optional(
    Type.Integer({
      minimum: 10_000,
      maximum: 1_000_000_000,
      description:
        'Work budget of one request, roughly bytes that transformations and expressions look at; 16777216 unless written.',
    }),
  ),
  exhausted: Type.Optional(
    word(
      ['block', 'log'],
      'A request that passes its budget before all rules have run is refused, or passed and recorded. Unwritten: block; log in detect mode.',
    ),
  ),
  queueFull: Type.Optional(
    word(
      ['refuse', 'lane'],
      'When no more requests can wait for the worker pool: refused (503), or matched in the lane, which holds up its other requests for as long. Unwritten: refuse.',
    ),
  ),
  detectSample: Type.Optional(
    Type.Number({
      minimum: 0,
      maximum: 1,
      description:
        'Share of the requests found in detect mode whose matches are recorded and logged; all are counted. Unwritten: 1.',
    }),
  ),
  responses: Type.Optional(WafAnswers),
};

export const RouteWaf = closed(
  {
    mode: Type.Optional(word(['off', 'detect', 'block'], 'off = not asked; detect = logged only; block = refused.')),
    bodyBytes: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 16_777_216,
        description: 'How much of the body is inspected; 0 = the head only. Unit: bytes.',
      }),
    ),
    ...TUNING,
    rules: Type.Optional(
      Type.Array(WafExpression, {
        maxItems: 128,
        description:
          'Expressions that run on this route alone, before the rules of the bundle (docs/waf-expressions.md).',
      }),
    ),
    crs: Type.Optional(closed(CRS_SETTINGS, 'Settings of the Core Rule Set; what is absent comes from `waf.yaml`.')),
  },
  'The WAF on this route; what is absent comes from `waf.yaml`.',
);
export type RouteWaf = Static<typeof RouteWaf>;
