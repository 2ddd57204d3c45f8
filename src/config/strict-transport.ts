/** Strict-Transport-Security (RFC 6797): browsers come back by TLS only. */
import Type, { type Static } from 'typebox';
import { closed } from './fields.ts';

export const StrictTransportConfig = closed(
  {
    maxAgeSeconds: Type.Integer({
      minimum: 0,
      maximum: 315_360_000,
      default: 31_536_000,
      description: 'How long browsers remember; 0 = they forget it. Unit: seconds.',
    }),
    includeSubDomains: Type.Boolean({
      default: false,
      description: 'Names below this host as well. Only if all of them speak TLS.',
    }),
    preload: Type.Boolean({
      default: false,
      description:
        "The host may stand in browsers' preload lists: hard to take back. Needs a year and includeSubDomains.",
    }),
  },
  'Value of Strict-Transport-Security, sent over TLS only.',
);
export type StrictTransportConfig = Static<typeof StrictTransportConfig>;
