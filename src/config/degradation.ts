/** What the services behind the gateway depend on, and what the gateway does when it is lost. */
import Type, { type Static } from 'typebox';
import { closed, HostPort, Id, Ms, word } from './fields.ts';

export const DependencyWatch = closed(
  {
    issuer: Type.Optional(Id('An issuer of `issuers.yaml`: down while its keys cannot be fetched.')),
    cell: Type.Optional(Id('A cell of `cells.yaml`: down while all of its endpoints are out.')),
    address: Type.Optional(HostPort),
    part: Type.Optional(
      word(
        ['registry', 'state', 'certificates', 'clock', 'log'],
        'Of the gateway itself: the source of bundles, the state directory, the certificate files, the clock (down for a minute after a jump), the log (down while lines are dropped).',
      ),
    ),
  },
  'How it is seen: exactly one. An address is down while it takes no TCP connection.',
);

export const DependencyConfig = closed(
  {
    name: Id('Name of the dependency.'),
    for: Type.String({
      minLength: 4,
      maxLength: 256,
      description: 'What it is for, and what is lost without it. Shown in the status.',
      examples: ['orders are stored there'],
    }),
    critical: Type.Boolean({
      default: false,
      description: 'Without it nothing but static answers makes sense: the gateway goes to survival.',
    }),
    watch: DependencyWatch,
  },
  'Something that the services need.',
);
export type DependencyConfig = Static<typeof DependencyConfig>;

export const DegradationConfig = closed(
  {
    dependencies: Type.Array(DependencyConfig, {
      default: [],
      maxItems: 32,
      description: 'One down: degraded. Two: limited. A critical one: survival.',
    }),
    downAfterMs: Ms('A dependency counts as down when it has been seen so for this long.', 0, 600_000, 3_000),
    upAfterMs: Ms('And as up again after this long.', 0, 600_000, 5_000),
    retryAfterSeconds: Type.Integer({
      minimum: 1,
      maximum: 3_600,
      default: 10,
      description: 'Retry-After of what is refused. Unit: seconds.',
    }),
  },
  'What is declared here decides the mode of the gateway: normal, degraded, limited, survival.',
);
export type DegradationConfig = Static<typeof DegradationConfig>;
