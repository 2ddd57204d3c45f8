/** What a route does to the request on its way up and to the answer on its way down. */
import Type, { type Static } from 'typebox';
import { closed, HeaderEditsConfig, word } from './fields.ts';
import { StrictTransportConfig } from './strict-transport.ts';
import { DirectConfig, ErrorPagesConfig, FilesConfig, InterceptErrorsConfig } from './static.ts';

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
export type PathRegexConfig = Static<typeof PathRegexConfig>;

export const RedirectConfig = closed(
  {
    to: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 2048,
        description:
          '`https` or `https:<port>` keeps host, path and query and changes the scheme; else a literal location. Instead of it, the other fields say what changes of the address that the client asked for.',
        examples: ['https', 'https://new.example/start'],
      }),
    ),
    scheme: Type.Optional(word(['http', 'https'], 'Scheme.')),
    host: Type.Optional(
      Type.String({ maxLength: 255, description: 'Host, without port.', examples: ['www.example.com'] }),
    ),
    port: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 65_535,
        description: "Port. Unwritten: none when scheme or host change, else the client's.",
      }),
    ),
    stripPrefix: Type.Optional(Path('Prefix taken off the path; whole segments.', '/old')),
    replacePath: Type.Optional(Path('The whole path.', '/gone')),
    replacePathRegex: Type.Optional(PathRegexConfig),
    addPrefix: Type.Optional(Path('Prefix put before the path, after the others.', '/new')),
    stripQuery: Type.Optional(Type.Boolean({ description: 'The query is left out.' })),
    status: Type.Integer({ minimum: 301, maximum: 308, default: 308, description: '301, 302, 303, 307 or 308.' }),
  },
  'Answer with a redirect instead of forwarding. A request that it would lead to where it is already goes on.',
);
export type RedirectConfig = Static<typeof RedirectConfig>;

export const RespondConfig = closed(
  {
    redirect: Type.Optional(RedirectConfig),
    direct: Type.Optional(DirectConfig),
    files: Type.Optional(FilesConfig),
    errorPages: Type.Optional(ErrorPagesConfig),
    interceptErrors: Type.Optional(InterceptErrorsConfig),
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
    strictTransport: Type.Optional(StrictTransportConfig),
    securityHeaders: Type.Optional(
      Type.Boolean({
        description: 'Add HSTS (TLS only), X-Content-Type-Options, X-Frame-Options and Referrer-Policy.',
      }),
    ),
  },
  'What happens to the request on its way up and to the answer on its way down.',
);
export type RespondConfig = Static<typeof RespondConfig>;
