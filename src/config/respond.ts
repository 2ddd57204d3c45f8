/** What a route does to the request on its way up and to the answer on its way down. */
import Type, { type Static } from 'typebox';
import { closed, HeaderEditsConfig } from './fields.ts';

const Path = (description: string, example: string) =>
  Type.String({ maxLength: 1024, description, examples: [example] });

export const PathRegexConfig = closed(
  {
    regex: Type.String({
      minLength: 1,
      maxLength: 1024,
      description:
        'Regular expression over the path, decoded (linear time; no look-around, no back-references). Not anchored unless it says `^` and `$`.',
      examples: ['^/v1/users/([0-9]+)$'],
    }),
    replacement: Type.String({
      maxLength: 1024,
      description: 'What takes the place of each match, decoded: `$1`, `${name}` are groups, `$$` is the sign.',
      examples: ['/users/$1'],
    }),
  },
  'Every match is replaced; a path without one stays as it is.',
);

export const RedirectConfig = closed(
  {
    to: Type.String({
      minLength: 1,
      maxLength: 2048,
      description: '`https` keeps host, path and query and changes the scheme; else a literal location.',
    }),
    status: Type.Integer({ minimum: 301, maximum: 308, default: 308, description: '301, 302, 303, 307 or 308.' }),
  },
  'Answer with a redirect instead of forwarding.',
);

export const RespondConfig = closed(
  {
    redirect: Type.Optional(RedirectConfig),
    stripPrefix: Type.String({
      default: '',
      maxLength: 1024,
      description:
        'Prefix taken off the path before it goes upstream, which is told of it in X-Forwarded-Prefix. Whole segments; another path stays as it is.',
      examples: ['/api'],
    }),
    replacePath: Type.Optional(Path('The path that is asked for upstream, whatever the client asked for.', '/hook')),
    replacePathRegex: Type.Optional(PathRegexConfig),
    addPrefix: Type.String({
      default: '',
      maxLength: 1024,
      description: 'Prefix put before the path, after the others.',
      examples: ['/v2'],
    }),
    host: Type.Optional(
      Type.String({
        maxLength: 1024,
        description:
          "Host of the upstream request, with variables (answers.md): `${endpoint}` is the endpoint's own. Without it the client's is kept.",
        examples: ['orders.internal', '${tenant}.internal'],
      }),
    ),
    requestHeaders: Type.Optional(HeaderEditsConfig),
    answerHeaders: Type.Optional(HeaderEditsConfig),
    securityHeaders: Type.Optional(
      Type.Boolean({
        description: 'Add HSTS (TLS only), X-Content-Type-Options, X-Frame-Options and Referrer-Policy.',
      }),
    ),
  },
  'What happens to the request on its way up and to the answer on its way down.',
);
export type RespondConfig = Static<typeof RespondConfig>;
