/** What the admin side reads and asks of the control plane; it changes nothing but through the parts. */
import {
  type ActiveBundle,
  type AuditView,
  type CertificatesView,
  type WebhookView,
  type ChannelView,
  type ControlView,
  cellCircuits,
  type DiscoveryView,
  endpointViews,
  type EndpointView,
  type FaultsView,
  type GatewayIdView,
  type HistoryView,
  type KeptView,
  type LaneView,
  type PinView,
  type RejectionView,
  type RolloutView,
  type SourceView,
  type TrustView,
  type WafPoolView,
} from '../admin/control-view.ts';
import { native } from '../native.ts';
import type { EndpointColumns } from '../snapshot/endpoint-columns.ts';
import type { MirrorDifference } from '../snapshot/mirror.ts';
import type { ModeView } from '../snapshot/mode.ts';
import type { ScaleView } from '../snapshot/scaling.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Activator } from './activator.ts';
import type { Journal } from './audit/journal.ts';
import type { CertificateWatch } from './certificates/watch.ts';
import type { Degradation } from './degradation/degradation.ts';
import type { Discovery } from './discovery/discovery.ts';
import type { FaultWatch } from './health/faults.ts';
import type { Lanes } from './lanes.ts';
import type { MirrorDifferences } from './mirror-differences.ts';
import type { Rollout } from './rollout/rollout.ts';
import type { Scaling } from './scaling/scaling.ts';
import type { BundleSupply } from './supply.ts';
import type { WafPool } from './waf/pool.ts';

/** Between two polls that somebody asks for. */
const POLL_ASKED_MS_MIN = 1_000;

/** The parts of a gateway that are looked at. */
export interface Viewed {
  readonly state: 'starting' | 'serving' | 'draining';
  readonly supply: BundleSupply;
  readonly activator: Activator;
  readonly rollout: Rollout;
  readonly journal: Journal;
  readonly lanes: Lanes;
  readonly columns: EndpointColumns;
  readonly degradation: Degradation;
  readonly scaling: Scaling;
  readonly mirrors: MirrorDifferences;
  readonly discovery: Discovery;
  readonly faults: FaultWatch;
  readonly pool: WafPool;
  readonly certificates: CertificateWatch;
}

export class GatewayView implements ControlView {
  /** Asked anew each time: the admin side, which logs, is there before what it shows. */
  readonly #of: () => Viewed;
  /** When somebody last asked for a poll, monotonic ms. */
  #polledAt = Number.NEGATIVE_INFINITY;

  constructor(of: () => Viewed) {
    this.#of = of;
  }

  state(): 'starting' | 'serving' | 'draining' {
    return this.#of().state;
  }
  active(): ActiveBundle | null {
    return this.#of().supply.active();
  }
  snapshot(): Snapshot | null {
    return this.#of().activator.active;
  }
  source(): SourceView {
    return this.#of().supply.source();
  }
  gateway(): GatewayIdView {
    return this.#of().supply.gateway();
  }
  channel(): ChannelView | null {
    return this.#of().supply.channel();
  }
  async poll(): Promise<void> {
    const now = performance.now();
    // Whoever reaches the admin listener must not make it hammer a registry.
    if (now - this.#polledAt < POLL_ASKED_MS_MIN) return;
    this.#polledAt = now;
    await this.#of().supply.pollNow();
  }
  trust(): TrustView {
    return this.#of().supply.trust();
  }
  rollout(): RolloutView | null {
    return this.#of().rollout.view();
  }
  pin(): PinView | null {
    const { pin } = this.#of().supply.overrides;
    return pin === undefined ? null : { digest: pin.digest, until: pin.untilMs };
  }
  audit(): AuditView | null {
    return this.#of().journal.view();
  }
  certificates(): readonly CertificatesView[] {
    return this.#of().certificates.views();
  }
  revisionsHeld(): number {
    return this.#of().activator.held;
  }
  webhooks(): readonly WebhookView[] {
    return this.#of().journal.receivers();
  }
  history(): readonly HistoryView[] {
    return this.#of()
      .journal.recent()
      .map(({ n, at, kind, fields }) => ({ n, at, kind, fields }));
  }
  rolloutEnds(): Readonly<Record<string, number>> {
    return this.#of().rollout.ends;
  }
  kept(): readonly KeptView[] {
    return this.#of().supply.kept();
  }
  rejections(): readonly RejectionView[] {
    return this.#of().supply.rejections();
  }
  rejectionCounts(): Readonly<Record<string, number>> {
    return this.#of().supply.rejectionCounts();
  }
  policyLoadFailures(): number {
    return this.#of().supply.policyLoadFailures();
  }
  lanes(): readonly LaneView[] {
    return this.#of().lanes.status();
  }
  endpoints(): readonly EndpointView[] {
    const snapshot = this.#of().activator.active;
    return snapshot === null ? [] : endpointViews(snapshot, this.#of().columns, this.#of().lanes.count, Date.now());
  }
  mode(): ModeView {
    return this.#of().degradation.view();
  }
  scaling(): readonly ScaleView[] {
    return this.#of().scaling.views();
  }
  mirrorDifferences(): readonly MirrorDifference[] {
    return this.#of().mirrors.newestFirst();
  }
  discovery(): DiscoveryView {
    const { lookups } = this.#of().discovery;
    return { sources: this.#of().discovery.standings(this.#of().activator.sources), lookups: { ...lookups } };
  }
  faults(): FaultsView {
    const snapshot = this.#of().activator.active;
    const { made, overflows } = this.#of().faults.ejections;
    return { ejections: made, overflows, cells: snapshot === null ? [] : cellCircuits(snapshot, this.#of().columns) };
  }
  wafPool(): WafPoolView {
    const { waiting, threads, utilization } = this.#of().pool;
    const { bodies, bytes } = native().wafLent();
    return { waiting, threads, utilization, lentBodies: bodies, lentBytes: bytes };
  }
}
