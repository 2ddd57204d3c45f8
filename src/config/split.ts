/** Splits: one route's requests among several cells, such as two versions of what it serves. */
import Type, { type Static } from 'typebox';
import { closed, HeaderName, Id, word } from './fields.ts';

const CookieName = Type.String({
  pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$",
  description: 'Name of a cookie.',
  examples: ['canary'],
});

export const SplitMatch = closed(
  {
    header: Type.Optional(HeaderName),
    cookie: Type.Optional(CookieName),
    country: Type.Optional(
      Type.Array(Type.String({ pattern: '^[A-Z]{2}$', description: 'ISO 3166-1 alpha-2 code.', examples: ['DE'] }), {
        minItems: 1,
        maxItems: 256,
        description: "Countries of the client's address, by the database that the bootstrap names (`countryFile`).",
      }),
    ),
    value: Type.Optional(
      Type.String({ maxLength: 1024, description: 'Exact value; without it the presence is enough.' }),
    ),
  },
  "A header field, a cookie, or the client's country: exactly one.",
);

export const SplitCell = closed(
  {
    cell: Id('A cell of `cells.yaml`.'),
    weight: Type.Integer({
      minimum: 0,
      maximum: 10_000,
      default: 0,
      description: 'Its share of the requests, beside the weights of the others. 0: only those that match.',
    }),
    when: Type.Array(SplitMatch, {
      default: [],
      maxItems: 8,
      description: 'Requests that go here whatever the weights say: any of these is enough.',
    }),
  },
  'A cell that gets a share.',
);

export const SplitConfig = closed(
  {
    by: Type.Array(
      Type.String({
        pattern: "^(tenant|address|cookie:[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}|header:[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128})$",
        description: 'tenant, address, cookie:<name> or header:<name>.',
        examples: ['tenant', 'cookie:session'],
      }),
      {
        default: ['tenant', 'address'],
        minItems: 1,
        maxItems: 4,
        description: 'Whose requests stay together: the first of these that a request has is hashed.',
      },
    ),
    key: Type.String({
      default: '',
      maxLength: 128,
      description:
        "Key of the hash. Routes with the same key send the same client to the same place on the scale; the route's id unless said.",
    }),
    prefer: word(
      ['weight', 'latency'],
      'latency: of the cells that have a weight only those share by it whose time to the response head lies within `tolerancePercent` of the least; one request in a hundred goes by weight all the same, to know the others.',
      'weight',
    ),
    tolerancePercent: Type.Integer({
      minimum: 0,
      maximum: 1_000,
      default: 25,
      description: 'How much longer than the quickest a cell may take and still share. With `prefer: latency`.',
    }),
    cells: Type.Array(SplitCell, { minItems: 1, maxItems: 16, description: 'Cells, in the order of the scale.' }),
  },
  "A route's requests among several cells, sticky by a keyed hash, so that one client sees one version.",
);
export type SplitConfig = Static<typeof SplitConfig>;
