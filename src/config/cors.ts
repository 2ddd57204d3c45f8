/** What pages of other origins may do: the CORS protocol (Fetch standard §3.2), answered by the gateway. */
import Type, { type Static } from 'typebox';
import { closed, HeaderName } from './fields.ts';

const HeaderOrAny = Type.String({
  pattern: "^(\\*|[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128})$",
  description: 'Header field name, or `*`.',
  examples: ['authorization', 'content-type'],
});

export const CorsConfig = closed(
  {
    allowOrigins: Type.Array(
      Type.String({
        minLength: 1,
        maxLength: 255,
        description: 'Origin as browsers send it: scheme, host, port unless it is the usual one.',
        examples: ['https://app.example.com', 'https://*.example.com', '*'],
      }),
      {
        maxItems: 256,
        description:
          'Origins that may read answers: exact, `https://*.example.com` (one or more labels), `*` for all, `null` for pages without one. Empty: none.',
      },
    ),
    allowMethods: Type.Array(
      Type.String({ pattern: '^[A-Z][A-Z-]{0,31}$', description: 'Method, in capitals.', examples: ['GET', 'PUT'] }),
      {
        default: [],
        maxItems: 32,
        description: "Methods that may be used; empty: the route's own, or GET, HEAD, POST, PUT, PATCH, DELETE.",
      },
    ),
    allowHeaders: Type.Array(HeaderOrAny, {
      default: [],
      maxItems: 64,
      description: 'Request fields that may be sent beyond the safe ones; `*` = whatever is asked for.',
    }),
    exposeHeaders: Type.Array(HeaderName, {
      default: [],
      maxItems: 64,
      description: 'Fields of answers that may be read beyond the safe ones.',
    }),
    allowCredentials: Type.Boolean({
      default: false,
      description: 'Cookies and credentials may be sent. Not with the origins `*` and `null`, which any page can have.',
    }),
    allowPrivateNetwork: Type.Boolean({
      default: false,
      description: 'Pages of public networks may ask (Access-Control-Request-Private-Network).',
    }),
    maxAgeSeconds: Type.Integer({
      minimum: 0,
      maximum: 86_400,
      default: 600,
      description:
        'How long browsers may keep the answer to a preflight; they cap it themselves (Chromium: 7,200). Unit: seconds.',
    }),
  },
  'What pages of other origins may do. Preflights are answered by the gateway, after `admit`; what the upstream says of it does not pass.',
);
export type CorsConfig = Static<typeof CorsConfig>;
