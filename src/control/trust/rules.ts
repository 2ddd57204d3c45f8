import type { Digest } from '../oci/digest.ts';
import { Rejection } from '../oci/rejection.ts';
import type { Release } from '../oci/release.ts';
import type { TrustPolicy } from './policy.ts';

/** A further step than this is an attack on the counter (or a clock used as one): TUF's fast-forward. */
export const SEQ_JUMP_MAX = 2 ** 20;

/** What a gateway remembers of the order of releases. */
export interface SequenceState {
  /** The trust policy's epoch under which the rest was written. */
  readonly epoch: number;
  /** Highest sequence ever activated in this epoch; a rollback does not lower it. */
  readonly highestSeq: number;
  readonly highestDigest: Digest | undefined;
  /** Highest floor of any bundle ever activated in this epoch. */
  readonly floor: number;
  /** Bundles that are known by their sequence: active and previous ones. */
  readonly known: readonly { readonly digest: Digest; readonly seq: number }[];
  readonly active: Digest | undefined;
}

export const EMPTY_SEQUENCE: SequenceState = {
  epoch: 0,
  highestSeq: 0,
  highestDigest: undefined,
  floor: 0,
  known: [],
  active: undefined,
};

/** `new`: never seen here, higher than all. `rollback`: lower than the highest. `same`: what is active already. */
export type Direction = 'new' | 'rollback' | 'same';

/**
 * `candidate`: may be newly activated; expiry of bundle and keys counts.
 * `kept`: was activated before and is read from the store at boot; it serves on after its expiry, but not after its keys
 * were revoked.
 */
export type Purpose = 'candidate' | 'kept';

/** What the gateway itself is, for `minGateway` and `requires`. */
export interface GatewayIdentity {
  /** `major.minor.patch`. */
  readonly version: string;
  readonly features: ReadonlySet<string>;
  /** Labels besides those of the trust policy, which come first. */
  readonly labels?: Readonly<Record<string, string>>;
}

/**
 * Who says that a bundle is to be taken. `tag`: the tag of the source. `mirror`: that of a mirror, which may lag behind. `channel`: a channel index that counts, whose own order
 * makes an older bundle an endorsed one.
 */
export type NamedBy = 'tag' | 'mirror' | 'channel';

/** The labels of a gateway: what the trust policy says comes before what the gateway says of itself. */
export function labelsOf(policy: TrustPolicy, gateway: GatewayIdentity): Readonly<Record<string, string>> {
  return { ...gateway.labels, ...policy.labels };
}

/** Counting starts over when the trust policy's epoch was raised; an older policy than the state has seen is refused. */
export function inEpoch(state: SequenceState, epoch: number): SequenceState {
  if (state.epoch === epoch) return state;
  if (state.epoch > epoch) {
    throw new Rejection(
      'epoch_regressed',
      `the trust policy has epoch ${epoch}, but this gateway has already trusted by epoch ${state.epoch}: put the newer policy back, or begin with an empty state directory`,
    );
  }
  return { ...EMPTY_SEQUENCE, epoch, active: state.active };
}

/**
 * The order of releases: sequence, floor and epoch (`rollback: tag` and `endorsed`). What is kept may be gone back to
 * when the newer one on disk is torn, but never below the floor.
 *
 * @throws {Rejection} `below_floor`, `equivocation`, `seq_jump`, `rollback_not_endorsed`, `epoch_regressed`.
 */
export function judgeOrder(
  release: Pick<Release, 'seq' | 'floor'>,
  digest: Digest,
  policy: TrustPolicy,
  remembered: SequenceState,
  purpose: Purpose = 'candidate',
  namedBy: NamedBy = 'tag',
): Direction {
  const state = inEpoch(remembered, policy.epoch);
  const floor = Math.max(policy.minSeq, state.floor);
  const { seq } = release;
  if (seq < floor) {
    throw new Rejection(
      'below_floor',
      `its sequence ${seq} is below the floor ${floor} that ${floor === policy.minSeq ? 'the trust policy (minSeq)' : 'an activated bundle'} has set`,
    );
  }
  const others =
    state.highestDigest === undefined
      ? state.known
      : [...state.known, { digest: state.highestDigest, seq: state.highestSeq }];
  const twin = others.find((item) => item.seq === seq && item.digest !== digest);
  if (twin !== undefined) {
    throw new Rejection(
      'equivocation',
      `two different bundles carry the sequence ${seq}: this one and ${twin.digest}, which was activated here`,
    );
  }
  const base = Math.max(state.highestSeq, floor);
  if (seq > base + SEQ_JUMP_MAX) {
    throw new Rejection(
      'seq_jump',
      `its sequence ${seq} is more than ${SEQ_JUMP_MAX} above ${base}: it is a counter, not a clock (a new gateway may need a higher minSeq)`,
    );
  }
  if (digest === state.active) return 'same';
  if (state.highestDigest === undefined || seq > state.highestSeq) return 'new';
  const mirror = namedBy === 'mirror';
  const refused = mirror || (namedBy === 'tag' && policy.rollback === 'endorsed');
  if (purpose === 'candidate' && refused && seq < state.highestSeq) {
    const who = mirror ? 'a mirror may lag behind, so that a rollback' : 'the trust policy takes a rollback';
    const how = mirror ? 'is taken from the first source only' : 'only as a newer release';
    throw new Rejection('rollback_not_endorsed', `its sequence ${seq} is below ${state.highestSeq}, and ${who} ${how}`);
  }
  return 'rollback';
}

/**
 * Whether the bundle is meant for this gateway.
 * @throws {Rejection} `audience_mismatch`, `gateway_too_old`, `unsupported_feature`.
 */
export function judgeAudience(release: Release, policy: TrustPolicy, gateway: GatewayIdentity): void {
  const mine = policy;
  if (release.product !== mine.product) {
    throw new Rejection(
      'audience_mismatch',
      `it is for the product ${JSON.stringify(release.product)}, this gateway takes ${JSON.stringify(mine.product)}`,
    );
  }
  if (!release.audience.channels.includes(mine.channel)) {
    throw new Rejection(
      'audience_mismatch',
      `it is for the channels ${release.audience.channels.map((name) => JSON.stringify(name)).join(', ')}, this gateway takes ${JSON.stringify(mine.channel)}`,
    );
  }
  const labels = labelsOf(policy, gateway);
  for (const [label, value] of Object.entries(release.audience.selector ?? {})) {
    const own = Object.hasOwn(labels, label) ? labels[label] : undefined;
    if (own !== value) {
      throw new Rejection(
        'audience_mismatch',
        `it selects gateways with ${label}=${value}, this one has ${own === undefined ? `no label ${label}` : `${label}=${own}`}`,
      );
    }
  }
  if (release.minGateway !== undefined && compareVersions(gateway.version, release.minGateway) < 0) {
    throw new Rejection(
      'gateway_too_old',
      `it needs gateway ${release.minGateway} or newer, this is ${gateway.version}`,
    );
  }
  const missing = (release.requires ?? []).find((feature) => !gateway.features.has(feature));
  if (missing !== undefined)
    throw new Rejection(
      'unsupported_feature',
      `it requires ${JSON.stringify(missing)}, which this gateway does not have`,
    );
}

function compareVersions(a: string, b: string): number {
  const left = a.split('.').map((part) => Number.parseInt(part, 10));
  const right = b.split('.').map((part) => Number.parseInt(part, 10));
  for (let i = 0; i < 3; i += 1) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
