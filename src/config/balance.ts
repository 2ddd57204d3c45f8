/** How the endpoints of a cell share its requests. */
import Type, { type Static } from 'typebox';
import { closed, HeaderName, Ms, SecretName, word } from './fields.ts';

const CookieName = Type.String({
  pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$",
  description: 'Name of the cookie.',
  examples: ['cnx-endpoint'],
});

export const BalanceHashConfig = closed(
  {
    header: Type.Optional(HeaderName),
    cookie: Type.Optional(CookieName),
    of: Type.Optional(word(['address', 'path', 'tenant'], "The client's address, the path, or the tenant.")),
    secret: Type.Optional(SecretName),
  },
  'What of a request is hashed: exactly one of header, cookie, of. Requests without it go anywhere. `secret`: key of the hash, so that nobody can choose his endpoint; the same on every gateway.',
);

export const StickyConfig = closed(
  {
    cookie: CookieName,
    secret: SecretName,
    maxAgeSeconds: Type.Integer({
      minimum: 0,
      maximum: 34_560_000,
      default: 0,
      description: 'Max-Age of the cookie; 0 = until the browser is closed. Unit: seconds.',
    }),
    path: Type.String({
      pattern: '^/[!-:<-~]*$',
      maxLength: 256,
      default: '/',
      description: 'Path of the cookie.',
    }),
    sameSite: word(['Lax', 'Strict', 'None'], 'SameSite of the cookie.', 'Lax'),
    secure: Type.Boolean({ default: true, description: 'The cookie is for TLS only.' }),
  },
  'Clients stay with their endpoint by a cookie that cannot be forged: its value is an HMAC with the secret. HttpOnly always.',
);

export const BalanceConfig = closed(
  {
    algorithm: word(
      ['health', 'round-robin', 'least-request', 'p2c', 'ring-hash'],
      'health = greatest health × free capacity; round-robin = by weight in turn; least-request = fewest requests in flight by weight; p2c = the less busy of two drawn by weight; ring-hash = consistent hash of `hash`.',
      'health',
    ),
    hash: Type.Optional(BalanceHashConfig),
    hashBalanceFactor: Type.Integer({
      minimum: 0,
      maximum: 10_000,
      default: 0,
      description:
        'With ring-hash: most requests in flight on one endpoint, before the next on the ring gets them, at least 100; 0 = any. Unit: percent of the mean.',
    }),
    slowStartMs: Ms(
      'Time in which an endpoint that came, or came back after failed probes or as an outlier, gets from a tenth to all of its share; 0 = all at once.',
      0,
      3_600_000,
      10_000,
    ),
    panicThreshold: Type.Integer({
      minimum: 0,
      maximum: 100,
      default: 50,
      description:
        'When fewer endpoints than this are healthy, those that were only ejected are used as well; 0 = never, as in a cell with a standby. Unit: percent.',
    }),
    sticky: Type.Optional(StickyConfig),
  },
  'How endpoints share the requests of the cell.',
);
export type BalanceConfig = Static<typeof BalanceConfig>;

/** What the schema cannot say. */
export function balanceProblems(b: BalanceConfig, note: (path: string, message: string) => void): void {
  if (b.algorithm === 'ring-hash' && b.hash === undefined)
    note('/algorithm', 'ring-hash needs `hash`: what of a request is hashed');
  if (b.algorithm !== 'ring-hash' && b.hash !== undefined) note('/hash', 'only algorithm: ring-hash hashes');
  if (b.hash !== undefined) {
    const given = (['header', 'cookie', 'of'] as const).filter((name) => b.hash?.[name] !== undefined);
    if (given.length !== 1)
      note(
        '/hash',
        `exactly one of header, cookie, of is expected, got ${given.length === 0 ? 'none' : given.join(' and ')}`,
      );
  }
  if (b.hashBalanceFactor > 0 && b.hashBalanceFactor < 100)
    note('/hashBalanceFactor', 'must be 0, or at least 100 percent of the mean');
  if (b.sticky?.sameSite === 'None' && !b.sticky.secure)
    note('/sticky/secure', 'browsers take SameSite=None only with Secure');
}
