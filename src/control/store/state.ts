import type { ChannelMark, Marks } from '../audit/marks.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import { canonicalJsonBytes, type JsonObject, parseStrictJson, Shape } from '../oci/json.ts';
import type { SequenceState } from '../trust/rules.ts';

/** Bundles kept besides the active one, to fall back to. */
export const PREVIOUS_MAX = 5;
/** Digests that are remembered as taken back; the oldest is forgotten beyond it. */
export const QUARANTINE_MAX = 64;
const STATE_BYTES_MAX = 256 * 1024;

/** A bundle that is kept in the store. */
export interface KeptBundle {
  readonly digest: Digest;
  readonly seq: number;
  readonly floor: number;
  /** When it became active here, milliseconds since 1970. */
  readonly activatedAtMs: number;
}

/** What a gateway remembers between starts; `state.json`. */
export interface StoreState {
  readonly epoch: number;
  readonly highestSeq: number;
  readonly highestDigest: Digest | undefined;
  readonly floor: number;
  readonly active: KeptBundle | undefined;
  /** Newest first, at most {@link PREVIOUS_MAX}. */
  readonly previous: readonly KeptBundle[];
  /** Digest → why; at most {@link QUARANTINE_MAX}, oldest first. */
  readonly quarantined: ReadonlyMap<Digest, string>;
  /** Last time the source answered, milliseconds since 1970; 0 = never. */
  readonly lastContactMs: number;
  /** An operator keeps the gateway on this bundle until then, milliseconds since 1970. */
  readonly pin?: { readonly digest: Digest; readonly untilMs: number } | undefined;
  /** The newest channel index that has counted, and what it assigned to this gateway. */
  readonly channel?: KeptChannel | undefined;
}

/** A channel index as it is remembered. */
export interface KeptChannel {
  /** False: the tag has named bundles since. */
  readonly followed: boolean;
  readonly epoch: number;
  readonly seq: number;
  readonly digest: Digest;
  /** Milliseconds since 1970. */
  readonly madeMs: number;
  readonly expiresMs: number;
  /** When it counted here first. */
  readonly takenMs: number;
  readonly signers: readonly string[];
  readonly bundle: Digest;
  readonly role: 'stable' | 'canary';
  readonly rule: string;
  /** Absent: no share decided. */
  readonly bucket?: number;
  readonly why: string;
}

export const EMPTY_STATE: StoreState = {
  epoch: 0,
  highestSeq: 0,
  highestDigest: undefined,
  floor: 0,
  active: undefined,
  previous: [],
  quarantined: new Map(),
  lastContactMs: 0,
};

/** Active first, then those before it. */
export function keptOf(state: StoreState): readonly KeptBundle[] {
  return state.active === undefined ? state.previous : [state.active, ...state.previous];
}

/** The part of the state that the rules of order need. */
export function sequenceOf(state: StoreState): SequenceState {
  return {
    epoch: state.epoch,
    highestSeq: state.highestSeq,
    highestDigest: state.highestDigest,
    floor: state.floor,
    known: keptOf(state).map(({ digest, seq }) => ({ digest, seq })),
    active: state.active?.digest,
  };
}

/** The state after a bundle became active under a trust policy of this epoch. Floor and highest only rise within an epoch. */
export function withActive(state: StoreState, bundle: KeptBundle, epoch: number): StoreState {
  const fresh = state.epoch !== epoch || state.highestDigest === undefined;
  const previous = [state.active, ...state.previous].filter(
    (item) => item !== undefined && item.digest !== bundle.digest,
  ) as KeptBundle[];
  const higher = fresh || bundle.seq > state.highestSeq;
  return {
    ...state,
    epoch,
    highestSeq: higher ? bundle.seq : state.highestSeq,
    highestDigest: higher ? bundle.digest : state.highestDigest,
    floor: fresh && state.epoch !== epoch ? bundle.floor : Math.max(state.floor, bundle.floor),
    active: bundle,
    previous: previous.slice(0, PREVIOUS_MAX),
  };
}

export function withQuarantine(state: StoreState, digest: Digest, reason: string): StoreState {
  const entries = [...state.quarantined].filter(([key]) => key !== digest);
  entries.push([digest, reason.slice(0, 1000)]);
  return { ...state, quarantined: new Map(entries.slice(-QUARANTINE_MAX)) };
}

export function withoutQuarantine(state: StoreState, digests: readonly Digest[]): StoreState {
  return { ...state, quarantined: new Map([...state.quarantined].filter(([digest]) => !digests.includes(digest))) };
}

/**
 * The state, raised to what the gateway's own audit log says it had come to: the stricter of the two holds, for an older state file may have been put back. `lost`: there is none, and the log
 * alone counts.
 */
export function raisedTo(state: StoreState, marks: Marks | undefined, lost: boolean): StoreState {
  if (marks === undefined) return state;
  const { epoch, highestSeq, highestDigest, floor } = marks;
  let raised = state;
  if (epoch > state.epoch) raised = { ...state, epoch, highestSeq, highestDigest, floor };
  else if (epoch === state.epoch) {
    const higher = highestSeq > state.highestSeq ? { highestSeq, highestDigest } : {};
    raised = { ...state, ...higher, floor: Math.max(state.floor, floor) };
  }
  const own = lost ? undefined : state.pin;
  // One that the log does not know was written down just before the process ended, and is newer than all that the log says.
  const newer = own !== undefined && !isAmong(own, marks);
  const taken = [...marks.quarantined].filter(([digest]) => !(newer && own.digest === digest));
  const quarantined = new Map([...taken, ...(lost ? [] : state.quarantined)].slice(-QUARANTINE_MAX));
  raised = { ...raised, quarantined, pin: newer ? own : marks.pin };
  return withChannelMark(raised, marks.channel);
}

function isAmong(pin: NonNullable<StoreState['pin']>, { pin: last, formerPins }: Marks): boolean {
  return [last, ...formerPins].some((known) => known?.digest === pin.digest && known.untilMs === pin.untilMs);
}

/** Whether the audit log says more of what has served than the state file: then that is an older one, or was not written any more. */
export function isBehind(state: StoreState, marks: Marks): boolean {
  return marks.epoch > state.epoch || (marks.epoch === state.epoch && marks.highestSeq > state.highestSeq);
}

/** The state, raised to a channel index that has counted: not followed until the source names it again; older ones are not followed any more. */
export function withChannelMark(state: StoreState, channel: ChannelMark | undefined): StoreState {
  const known = state.channel;
  if (channel === undefined) return state;
  const { epoch, seq } = channel;
  if (known !== undefined && (known.epoch > epoch || (known.epoch === epoch && known.seq >= seq))) return state;
  const rest = { madeMs: 0, expiresMs: 0, takenMs: 0, signers: [], role: 'stable', rule: '', why: '' } as const;
  return { ...state, channel: { ...rest, ...channel, followed: false } };
}

export function stateBytes(state: StoreState): Uint8Array {
  return canonicalJsonBytes({
    ...state,
    schema: 1,
    quarantined: [...state.quarantined].map(([digest, reason]) => ({ digest, reason })),
  });
}

const shape: Shape = new Shape('malformed_json', 'state.json');
const NAMES = [
  'schema',
  'epoch',
  'highestSeq',
  'highestDigest',
  'floor',
  'active',
  'previous',
  'quarantined',
  'lastContactMs',
  'pin',
  'channel',
];
/** Keys that may sign an index, and characters of a sentence that tells why. */
const SIGNERS_MAX = 32;
const WHY_CHARS_MAX = 16_384;

/** @throws {Rejection} for anything that {@link stateBytes} does not write. */
export function parseState(bytes: Uint8Array): StoreState {
  const object = shape.object(parseStrictJson(bytes, { what: 'state.json', bytesMax: STATE_BYTES_MAX }), '');
  shape.closed(object, '', NAMES);
  if (object['schema'] !== 1) shape.fail('schema', '1');
  const quarantined = shape.array(object['quarantined'], 'quarantined', QUARANTINE_MAX).map((item, i) => {
    const entry = shape.object(item, `quarantined[${i}]`);
    return [
      digest(entry['digest'], `quarantined[${i}].digest`),
      shape.string(entry['reason'], `quarantined[${i}].reason`),
    ] as const;
  });
  return {
    epoch: shape.count(object['epoch'], 'epoch'),
    highestSeq: shape.count(object['highestSeq'], 'highestSeq'),
    highestDigest: object['highestDigest'] === undefined ? undefined : digest(object['highestDigest'], 'highestDigest'),
    floor: shape.count(object['floor'], 'floor'),
    active: object['active'] === undefined ? undefined : kept(object['active'], 'active'),
    previous: shape.array(object['previous'], 'previous', PREVIOUS_MAX).map((item, i) => kept(item, `previous[${i}]`)),
    quarantined: new Map(quarantined),
    lastContactMs: shape.count(object['lastContactMs'], 'lastContactMs'),
    ...(object['pin'] === undefined ? {} : { pin: pinOf(object['pin']) }),
    ...(object['channel'] === undefined ? {} : { channel: channelOf(object['channel']) }),
  };
}

function channelOf(value: unknown): KeptChannel {
  const object: JsonObject = shape.object(value, 'channel');
  const count = (name: string): number => shape.count(object[name], `channel.${name}`);
  const { followed, role, bucket } = object;
  if (typeof followed !== 'boolean') shape.fail('channel.followed', 'true or false');
  if (role !== 'stable' && role !== 'canary') shape.fail('channel.role', 'stable or canary');
  if (bucket !== undefined && typeof bucket !== 'number') shape.fail('channel.bucket', 'a number');
  return {
    followed,
    epoch: count('epoch'),
    seq: count('seq'),
    digest: digest(object['digest'], 'channel.digest'),
    madeMs: count('madeMs'),
    expiresMs: count('expiresMs'),
    takenMs: count('takenMs'),
    signers: shape.strings(object['signers'], 'channel.signers', SIGNERS_MAX),
    bundle: digest(object['bundle'], 'channel.bundle'),
    role,
    rule: shape.string(object['rule'], 'channel.rule', WHY_CHARS_MAX),
    ...(bucket === undefined ? {} : { bucket }),
    why: shape.string(object['why'], 'channel.why', WHY_CHARS_MAX),
  };
}

function pinOf(value: unknown): NonNullable<StoreState['pin']> {
  const object: JsonObject = shape.object(value, 'pin');
  return { digest: digest(object['digest'], 'pin.digest'), untilMs: shape.count(object['untilMs'], 'pin.untilMs') };
}

function kept(value: unknown, where: string): KeptBundle {
  const object: JsonObject = shape.object(value, where);
  return {
    digest: digest(object['digest'], `${where}.digest`),
    seq: shape.count(object['seq'], `${where}.seq`),
    floor: shape.count(object['floor'], `${where}.floor`),
    activatedAtMs: shape.count(object['activatedAtMs'], `${where}.activatedAtMs`),
  };
}

function digest(value: unknown, where: string): Digest {
  const parsed = parseDigest(value);
  if (parsed === undefined) shape.fail(where, 'sha256: and 64 lowercase hex digits');
  return parsed;
}
