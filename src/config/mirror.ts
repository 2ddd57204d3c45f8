/** Mirrors: a share of a route's requests is also sent to another cell, whose answers nobody gets. */
import Type, { type Static } from 'typebox';
import { Bytes, closed, HeaderName, Id, Ms } from './fields.ts';

export const MirrorCompare = closed(
  {
    headers: Type.Array(HeaderName, {
      default: [],
      maxItems: 16,
      description: 'Answer fields whose values are compared, besides the status.',
    }),
    bodyBytesMax: Bytes(
      'Bodies up to this size are compared by digest; 0 = not. The answer of a sampled request is held until its body is complete, if it says that it is no longer.',
      0,
      1_048_576,
      0,
    ),
  },
  'What of the two answers is compared, besides the status.',
);

export const MirrorConfig = closed(
  {
    cell: Id('A cell of `cells.yaml`: it gets the copies.'),
    share: Type.Number({ minimum: 0, maximum: 1, default: 1, description: 'Share of the requests, 0 to 1.' }),
    methods: Type.Array(
      Type.String({ pattern: '^[A-Z][A-Z-]{0,31}$', description: 'Method, in capitals.', examples: ['GET'] }),
      {
        default: ['GET', 'HEAD'],
        minItems: 1,
        maxItems: 16,
        description:
          'Methods that are mirrored. What changes something changes it twice, unless the cell has data of its own.',
      },
    ),
    bodyBytesMax: Bytes(
      'Requests with a longer body are not mirrored. A body within it is read whole before the request goes on.',
      0,
      1_048_576,
      65_536,
    ),
    compare: Type.Optional(MirrorCompare),
    timeoutMs: Ms('Until the copy is given up.', 100, 60_000, 10_000),
  },
  'A share of the requests is also sent to another cell; the answers are compared and thrown away.',
);
export type MirrorConfig = Static<typeof MirrorConfig>;
