/** What the admin and probe listeners ask control for. Control implements it; everything is a copy of the moment and cheap to make. */
import { CIRCUIT_STATES, circuitState } from '../snapshot/circuit.ts';
import { type Out, outOfRotation } from '../snapshot/rotation.ts';
import type { EndpointColumns } from '../snapshot/endpoint-columns.ts';
import type { MirrorDifference } from '../snapshot/mirror.ts';
import type { ModeView } from '../snapshot/mode.ts';
import type { ScaleView } from '../snapshot/scaling.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';

/** Rejections that a view holds at most, newest first. */
export const REJECTIONS_SHOWN_MAX = 32;

export interface ControlView {
  /** `starting` until a snapshot serves, `draining` from SIGTERM on. */
  state(): 'starting' | 'serving' | 'draining';
  /** What serves; null before the first activation. */
  active(): ActiveBundle | null;
  source(): SourceView;
  /** What this gateway is for channel indexes and selectors; absent: nobody asked. */
  gateway?(): GatewayIdView;
  /** The channel index that is followed; null or absent: the tag names bundles. */
  channel?(): ChannelView | null;
  /** Asks the source now, as after a push; resolves when that has had its effect. */
  poll(): Promise<void>;
  /** By which rules bundles are taken. */
  trust(): TrustView;
  /** A bundle that is tried by a share of identities; null: none is. */
  rollout(): RolloutView | null;
  /** Bundles that were tried since start, by how that ended. */
  rolloutEnds(): Readonly<Record<string, number>>;
  /** A bundle that an operator keeps this gateway on; null: none. */
  pin(): PinView | null;
  /** The end of the audit log; null: none is written yet. */
  audit(): AuditView | null;
  /** Revisions that are compiled: what serves or is tried, and older ones that open requests hold. */
  revisionsHeld?(): number;
  /** Of each listener with TLS: when the first of its certificates ends, and why newer files were refused; absent: nobody asked. */
  certificates?(): readonly CertificatesView[];
  /** Receivers of events, as they are kept told; absent: there are none. */
  webhooks?(): readonly WebhookView[];
  /** What has happened to bundles and who asked for it, newest first. */
  history(): readonly HistoryView[];
  /** What is on disk to fall back to: the active bundle, then those before it. */
  kept(): readonly KeptView[];
  /** Bundles that were not taken, newest first. */
  rejections(): readonly RejectionView[];
  /** Bundles that were not taken since start, by the step that said no. */
  rejectionCounts(): Readonly<Record<string, number>>;
  /** Policies that could not be loaded (compiled, instantiated, tried out) since start. */
  policyLoadFailures(): number;
  lanes(): readonly LaneView[];
  /** `endpointViews` makes it. */
  endpoints(): readonly EndpointView[];
  /** Where endpoints come from that are not written down, and how these sources stand. */
  discovery(): DiscoveryView;
  faults(): FaultsView;
  /** Null: there is no WAF pool. */
  /** How far it has stepped back, and why; absent: it never does. */
  mode?(): ModeView;
  /** How many there should be of what it scales; absent: nobody looks. */
  scaling?(): readonly ScaleView[];
  /** Answers of mirrors that differed, newest first; absent: none are kept. */
  mirrorDifferences?(): readonly MirrorDifference[];
  wafPool(): WafPoolView | null;
}

export interface ActiveBundle {
  /** `sha256:…` of the manifest. */
  readonly digest: string;
  readonly seq: number;
  readonly revision: number;
  /** Epoch ms. */
  readonly activatedAt: number;
  /** Milliseconds from the moment in which the source was seen to name it until all lanes served it; null: it was kept here, or tried by a share of identities first. */
  readonly tookMs: number | null;
  /** Below this no bundle is taken any more. */
  readonly floor: number;
  /** As its release document says, UTC. */
  readonly createdAt: string;
  /** How it stands to what was active before: `new`, `rollback`, `same` after a start. */
  readonly direction: string;
  /** Ids of the keys that count. */
  readonly signers: readonly string[];
  /** Epoch ms from which on it is stale by its own word or its keys'; null = never. */
  readonly expiresAt: number | null;
}

export interface GatewayIdView {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Which bundle a channel index assigns to this gateway, and why. */
export interface ChannelView {
  /** Of the index. */
  readonly digest: string;
  readonly epoch: number;
  readonly seq: number;
  /** Epoch ms. */
  readonly madeAt: number;
  readonly expiresAt: number;
  /** When it counted here first. */
  readonly takenAt: number;
  readonly signers: readonly string[];
  /** The bundle that it assigns; whether that runs is another question. */
  readonly bundle: string;
  /** `stable` or `canary`. */
  readonly role: string;
  /** The rule that decided, such as `10 %`, `region=eu` or `all others`. */
  readonly rule: string;
  /** The gateway's place among gateways for this bundle, 0 to 99.99; null: no share decided. */
  readonly bucket: number | null;
  /** All of it as a sentence. */
  readonly why: string;
}

export interface PinView {
  readonly digest: string;
  /** Epoch ms. */
  readonly until: number;
}

/** The certificates of a listener, as they serve. */
export interface CertificatesView {
  readonly listener: string;
  /** When the first of them ends, epoch ms. */
  readonly until: number;
  /** Why files were refused last time they changed, so that the former ones serve; null: none were. */
  readonly refused: string | null;
}

/** Number and hash of the last entry: noted elsewhere, they prove later that nothing was taken off the end. */
export interface AuditView {
  readonly n: number;
  readonly hash: string;
  /** What entries are signed with: base64 of the DER SubjectPublicKeyInfo. */
  readonly publicKey: string;
  /** Why the last write failed; null: it did not. */
  readonly fault: string | null;
}

export interface WebhookView {
  readonly id: string;
  /** Events that it has not been told of. */
  readonly waiting: number;
  /** Events since start that it will never be told of. */
  readonly dropped: number;
  /** Why it did not take the last one; null: it did, or there was none. */
  readonly fault: string | null;
}

export interface HistoryView {
  readonly n: number;
  readonly at: string;
  readonly kind: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What operators can ask a gateway to do with bundles. Each rejects with a sentence when it is not done. */
export interface RolloutActions {
  /** The digest that serves then. */
  rollBack(reason: string): Promise<string>;
  /** Until when, epoch ms. `again`: although it was taken back. */
  pin(digest: string, forMs: number, reason: string, again: boolean): Promise<number>;
  /** False: nothing was pinned. */
  unpin(reason: string): Promise<boolean>;
  /** Why what was decided is not on the disk, and so may be forgotten at the next start; null: it is. */
  unwritten(): string | null;
}

/** Answers of one revision within the window of the comparison. */
export interface TallyView {
  readonly requests: number;
  readonly failed: number;
  readonly refused: number;
  readonly policyErrors: number;
  readonly denied: number;
  /** Null: beyond the last bucket. */
  readonly p99Ms: number | null;
}

export interface RolloutView {
  readonly digest: string;
  readonly seq: number;
  readonly revision: number;
  /** From 1. */
  readonly step: number;
  /** Percent of identities, by step. */
  readonly steps: readonly number[];
  /** Of identities that see it now, 0 … 1. */
  readonly share: number;
  /** Epoch ms: of the first step, of this one, and when its soak is over. */
  readonly begunAt: number;
  readonly stepAt: number;
  readonly soakedAt: number;
  /** Cells of the active bundle, and how many of them it has reached; absent: all. */
  readonly cells?: number;
  readonly cellsReached?: number;
  /** Requests that it has answered at this step, and how many it must have. */
  readonly samples: number;
  readonly samplesMin: number;
  /** What keeps it at its step; null = nothing. */
  readonly waitsFor: string | null;
  readonly candidate: TallyView;
  readonly active: TallyView;
}

export interface KeptView {
  readonly digest: string;
  readonly seq: number;
  /** Epoch ms; 0 when that is not known any more. */
  readonly activatedAt: number;
}

export interface TrustView {
  readonly product: string;
  readonly channel: string;
  readonly epoch: number;
  /** `tag` or `endorsed`. */
  readonly rollback: string;
  /** Highest sequence that was ever active in this epoch. */
  readonly highestSeq: number;
  /** Below this nothing is taken. */
  readonly floor: number;
  /** `status`: `active`, `ended`, `revoked`. */
  readonly keys: readonly { readonly id: string; readonly roles: readonly string[]; readonly status: string }[];
  /** Why the trust policy file as it stands does not count; null = it does. */
  readonly refused: string | null;
}

/** States of a source, in the order of how far they are from `current`. */
export const SOURCE_STATES = [
  'current',
  'starting',
  'pending_signature',
  'rejected',
  'missing',
  'unreachable',
  'failing',
] as const;

export interface SourceView {
  /** As configured, without credentials. */
  readonly text: string;
  /** The source or mirror that answered last. */
  readonly answering: string;
  /** One of {@link SOURCE_STATES}. */
  readonly state: (typeof SOURCE_STATES)[number];
  /** Digest that the tag named when it was last looked at; null = none. */
  readonly seen: string | null;
  /** Epoch ms of the last answer of the source, 304 included; null = never. */
  readonly lastContactAt: number | null;
  /** Epoch ms; null = none is due. */
  readonly nextPollAt: number | null;
  /** Why the state is not `current`; null = it is. */
  readonly lastError: string | null;
  /** The bundle is beyond its expiry, or the source has been silent for too long: still served. */
  readonly stale: boolean;
  readonly staleReason: string | null;
  /** A signature has been missing for longer than a publisher needs. */
  readonly overdue: boolean;
  /** Why the state directory could not be written last time; null = it could. */
  readonly fault: string | null;
}

export interface RejectionView {
  /** Epoch ms. */
  readonly at: number;
  readonly digest: string;
  /** Null when it could not even be read. */
  readonly seq: number | null;
  /** `pull`, `verify`, `compile`, `activate`, `rollout`. */
  readonly step: string;
  readonly reason: string;
}

export interface LaneView {
  readonly lane: number;
  readonly state: string;
  /** 0 = none yet. */
  readonly revision: number;
  readonly restarts: number;
}

export interface EndpointView {
  /** `cell/host:port`. */
  readonly identity: string;
  readonly cell: string;
  /** 0 … 1. */
  readonly health: number;
  readonly inflight: number;
  readonly capacity: number;
  /** By the prober. */
  readonly ejected: boolean;
  /** Why it gets nothing but trials; null = it is in rotation. */
  readonly out: Out | null;
  /** Until when, after a refused connection, not even trials go there, epoch ms; 0 = they may. */
  readonly downUntil: number;
  /** Ejected as an outlier. */
  readonly outlier: boolean;
  /** `closed`, `open`, `half-open`. */
  readonly circuit: CircuitName;
  /** Changes of its circuit since it is known. */
  readonly circuitChanges: number;
}

export type CircuitName = (typeof CIRCUIT_STATES)[number];

/** What fails beside endpoints one by one. */
export interface FaultsView {
  /** Outliers ejected since start, and those that the ceiling did not allow. */
  readonly ejections: number;
  readonly overflows: number;
  readonly cells: readonly { readonly cell: string; readonly circuit: CircuitName; readonly circuitChanges: number }[];
}

/** The circuits of a snapshot's cells as the shared columns show them. */
export function cellCircuits(snapshot: Snapshot, columns: EndpointColumns): FaultsView['cells'] {
  return snapshot.cells.flatMap(({ id, guards }) =>
    guards?.cellCircuit === undefined
      ? []
      : [
          {
            cell: id,
            circuit: CIRCUIT_STATES[circuitState(columns.faults, guards.slot)],
            circuitChanges: columns.faults.circuitChanges[guards.slot] ?? 0,
          },
        ],
  );
}

/** States of a source of endpoints. `stale`: what was good last serves on; `waiting`: it has said nothing yet; `none`: it says that there are none. */
export const DISCOVERY_STATES = ['current', 'stale', 'waiting', 'none'] as const;

export interface DiscoveryView {
  readonly sources: readonly {
    readonly cell: string;
    /** `dns orders.internal:8080`, `srv _http._tcp.orders.internal`, `file orders`. */
    readonly source: string;
    /** One of {@link DISCOVERY_STATES}. */
    readonly state: (typeof DISCOVERY_STATES)[number];
    readonly endpoints: number;
    /** Why it is not current; null = it is. */
    readonly reason: string | null;
    /** Epoch ms of its last good word; null = never. */
    readonly at: number | null;
  }[];
  /** DNS answers since start, by what they were. */
  readonly lookups: { readonly answered: number; readonly denied: number; readonly failed: number };
}

export interface WafPoolView {
  /** Requests that wait for a thread. */
  readonly waiting: number;
  readonly threads: number;
  /** Share of the time that the threads were busy, 0 … 1. */
  readonly utilization: number;
  /** Bodies that rules read in the memory of the transport. */
  readonly lentBodies: number;
  readonly lentBytes: number;
}

/** The endpoints of a snapshot as the shared columns show them. `now`: epoch ms. */
export function endpointViews(
  snapshot: Snapshot,
  columns: EndpointColumns,
  laneCount: number,
  now: number,
): EndpointView[] {
  return snapshot.endpoints.map((e) => {
    const downUntil = (columns.downUntil[e.slot] ?? 0) * 1000;
    return {
      identity: e.identity,
      cell: snapshot.cells[e.cell]?.id ?? '',
      health: columns.health[e.slot] ?? 0,
      inflight: columns.inflightOf(e.slot, laneCount),
      capacity: e.capacity,
      ejected: (columns.ejected[e.slot] ?? 0) !== 0,
      out: outOfRotation(columns, e.slot),
      downUntil: downUntil > now ? downUntil : 0,
      outlier: (columns.faults.outlier[e.slot] ?? 0) !== 0,
      circuit: CIRCUIT_STATES[circuitState(columns.faults, e.slot)],
      circuitChanges: columns.faults.circuitChanges[e.slot] ?? 0,
    };
  });
}
