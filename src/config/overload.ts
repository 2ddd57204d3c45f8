/** What happens when more comes than can be served (docs/overload.md). */
import Type, { type Static } from 'typebox';
import { closed, HeaderName, Ms, word } from './fields.ts';

export const OverloadConfig = closed(
  {
    enabled: Type.Boolean({ default: true, description: 'A lane that is overloaded turns requests away.' }),
    delayTargetMs: Ms(
      'Longest time that what is ready may stand in line in a lane before requests are turned away.',
      5,
      5_000,
      150,
    ),
    heapPercent: Type.Integer({
      minimum: 10,
      maximum: 100,
      default: 90,
      description: "Percent of a lane's JavaScript heap in use from which on requests are turned away.",
    }),
  },
  'Shedding of load. The lowest class goes first; clients get 503 and Retry-After.',
  {},
);
export type OverloadConfig = Static<typeof OverloadConfig>;

export const RoutePriorityConfig = closed(
  {
    class: word(
      ['critical', 'default', 'sheddable'],
      'How important its requests are. Under overload sheddable ones are turned away first, critical ones last.',
      'default',
    ),
    header: Type.Optional(HeaderName),
  },
  'Importance under overload. `header` names a request field by which a client may give its request a lower class than the route has, never a higher one.',
);
export type RoutePriorityConfig = Static<typeof RoutePriorityConfig>;
