/** A bundle's own tests: requests, and what the gateway is to decide about them. They run when a bundle is built and again before it serves. */
import Type, { type Static } from 'typebox';
import { closed, HeaderValue, Id, word } from './fields.ts';

/** Tests of one bundle. */
export const TESTS_MAX = 500;
/** Fields that one test sends, or asks about. */
const FIELDS_MAX = 64;

const Fields = (description: string) =>
  Type.Record(Type.String(), HeaderValue, { default: {}, maxProperties: FIELDS_MAX, description });

const TestRequest = closed(
  {
    method: Type.String({
      pattern: '^[!-~]{1,32}$',
      default: 'GET',
      description: 'Method, as it is sent.',
      examples: ['POST'],
    }),
    url: Type.String({
      pattern: '^https?://[^/?#\\x00-\\x20]{1,255}(/[^#\\x00-\\x20]*)?$',
      maxLength: 8_192,
      description: 'Scheme, host, path and query, as they are sent: nothing is made canonical here.',
      examples: ['https://shop.example/orders/7?full=1'],
    }),
    headers: Fields('Header fields. Host and Content-Length are added where they are missing.'),
    body: Type.Optional(Type.String({ maxLength: 65_536, description: 'Body, sent as UTF-8.' })),
    address: Type.String({
      pattern: '^[0-9A-Fa-f.:]{2,45}$',
      default: '192.0.2.1',
      description: 'Address of the peer.',
      examples: ['192.0.2.1', '2001:db8::1'],
    }),
    token: Type.Optional(
      closed(
        {
          issuer: Type.Optional(Id('The issuer; unwritten: the only one that the bundle has.')),
          claims: Type.Record(Type.String(), Type.Unknown({ description: 'Value of the claim.' }), {
            default: {},
            maxProperties: FIELDS_MAX,
            description:
              'Claims. `iss`, `aud`, `iat` and `exp` are what the issuer asks for, unless they are written here.',
          }),
        },
        'A bearer token with these claims, signed so that it verifies: by a key made for the test, in the place of the issuer’s.',
      ),
    ),
    clientCertificate: Type.Optional(
      closed(
        {
          subject: Type.String({
            maxLength: 1_024,
            default: '',
            description: 'Subject, RFC 4514.',
            examples: ['CN=alice'],
          }),
          sans: Type.Array(Type.String({ maxLength: 255, description: 'Alternative name with its kind.' }), {
            maxItems: 16,
            default: [],
            description: 'Alternative names: `DNS:…`, `IP:…`, `email:…`, `URI:…`.',
          }),
        },
        'The verified certificate of the client.',
      ),
    ),
    websocket: Type.Boolean({ default: false, description: 'The client asks for a WebSocket.' }),
  },
  'What comes in.',
);

const TestUpstream = closed(
  {
    host: Type.Optional(Type.String({ maxLength: 255, description: 'Host that the upstream is asked for.' })),
    target: Type.Optional(
      Type.String({ maxLength: 8_192, description: 'Path and query that the upstream is asked for.' }),
    ),
    headers: Fields('Fields of the upstream request, with their values; several of one name are joined by `, `.'),
    without: Type.Array(Type.String({ maxLength: 128, description: 'Name of a field.' }), {
      maxItems: FIELDS_MAX,
      default: [],
      description: 'Fields that the upstream request must not have.',
    }),
  },
  'The request that would go upstream.',
);

const TestAnswer = closed(
  {
    headers: Fields('Fields that the gateway puts on the answer, with their values.'),
    without: Type.Array(Type.String({ maxLength: 128, description: 'Name of a field.' }), {
      maxItems: FIELDS_MAX,
      default: [],
      description: 'Fields that the gateway must not put there.',
    }),
    body: Type.Optional(Type.String({ maxLength: 65_536, description: 'Body of an answer by the gateway itself.' })),
  },
  'The answer, as far as it is the gateway’s.',
);

const TestExpected = Type.Object(
  {
    outcome: Type.Optional(
      word(
        ['forwarded', 'refused', 'answered'],
        'What becomes of it: it would go upstream, is refused, or is answered by the gateway (redirects, files, direct answers, preflights).',
      ),
    ),
    route: Type.Optional(Id('The route that takes it.')),
    refusal: Type.Optional(
      Type.String({
        pattern: '^[a-z_]{3,64}$',
        description: 'Code of the refusal (docs/refusals.md).',
        examples: ['policy_denied'],
      }),
    ),
    status: Type.Optional(
      Type.Integer({ minimum: 200, maximum: 599, description: 'Status of a refusal, or of an answer by the gateway.' }),
    ),
    cell: Type.Optional(Id('The cell that it goes to.')),
    tenant: Type.Optional(Type.String({ maxLength: 256, description: 'Its tenant.' })),
    policy: Type.Optional(word(['none', 'allow', 'deny', 'failed'], 'What its policy says.')),
    waf: Type.Optional(word(['none', 'pass', 'detected', 'blocked'], 'What the rules of the WAF say.')),
    rules: Type.Optional(
      Type.Array(Type.Integer({ minimum: 1, maximum: 4_294_967_295, description: 'Id of a rule.' }), {
        maxItems: 64,
        description: 'Rules that match; others may, too.',
      }),
    ),
    upstream: Type.Optional(TestUpstream),
    answer: Type.Optional(TestAnswer),
  },
  {
    additionalProperties: false,
    minProperties: 1,
    description: 'What must come of it; what is left out may be anything.',
  },
);

export const OwnTestConfig = closed(
  {
    name: Type.String({
      minLength: 1,
      maxLength: 200,
      description: 'What must hold, unique in the bundle.',
      examples: ['readers may not write'],
    }),
    request: TestRequest,
    expect: TestExpected,
  },
  'A test.',
);
export type OwnTestConfig = Static<typeof OwnTestConfig>;

export const OwnTestsConfig = closed(
  { tests: Type.Array(OwnTestConfig, { maxItems: TESTS_MAX, description: 'All tests.' }) },
  '`tests.yaml`: requests, and what must be decided about them before the bundle may serve (docs/bundle-tests.md).',
);
export type OwnTestsConfig = Static<typeof OwnTestsConfig>;
