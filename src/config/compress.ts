/** Compression of a route's answers. */
import Type, { type Static } from 'typebox';
import { Bytes, closed } from './fields.ts';

/** Content codings that the gateway makes. */
export const CODINGS = ['gzip', 'br', 'zstd'] as const;

/** Text-like types, as nginx's and Envoy's lists have them and as JSON and XML are named by suffix. Images, sound, film and archives are compressed already. */
const TYPES = [
  'text/*',
  'application/json',
  'application/javascript',
  'application/x-javascript',
  'application/ecmascript',
  'application/manifest+json',
  'application/xml',
  'application/wasm',
  'application/x-ndjson',
  'application/graphql',
  'application/vnd.ms-fontobject',
  'font/otf',
  'font/ttf',
  'image/svg+xml',
  'image/bmp',
  '*+json',
  '*+xml',
];

const Level = (description: string, maximum: number, fallback: number) =>
  Type.Integer({ minimum: 1, maximum, default: fallback, description });

export const CompressConfig = closed(
  {
    algorithms: Type.Array(Type.Enum([...CODINGS], { description: 'A content coding.' }), {
      default: ['zstd', 'br', 'gzip'],
      minItems: 1,
      maxItems: CODINGS.length,
      uniqueItems: true,
      description:
        'Which are used, in the order of preference among those that a client takes equally gladly (Accept-Encoding).',
    }),
    types: Type.Array(
      Type.String({
        pattern: '^(\\*\\+[a-z0-9.-]+|[a-z0-9][a-z0-9.+-]*/(\\*|[a-z0-9][a-z0-9.+-]*))$',
        maxLength: 127,
        description: 'Media type in lower case without parameters: `text/html`, `text/*`, `*+json`.',
        examples: ['text/*', 'application/json'],
      }),
      {
        default: TYPES,
        minItems: 1,
        maxItems: 64,
        description:
          'Which answers, by their Content-Type. Event streams, multipart and gRPC never are, whatever stands here.',
      },
    ),
    bytesMin: Bytes('Shorter bodies stay as they are, when their length is known.', 0, 1_048_576, 1_024),
    levels: closed(
      {
        gzip: Level('1 = fastest, 9 = smallest.', 9, 5),
        br: Level(
          'Quality: 1 = fastest, 6 = smallest. The higher ones of brotli are for what is compressed once.',
          6,
          5,
        ),
        zstd: Level('1 = fastest, 6 = smallest.', 6, 3),
      },
      'How hard each algorithm tries.',
      {},
    ),
  },
  'Answers are compressed for clients that ask for it (transport.md, compression). Without it they pass as they come. Needs `transport: native`.',
);
export type CompressConfig = Static<typeof CompressConfig>;
