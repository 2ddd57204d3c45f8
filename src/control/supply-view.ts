/** What the admin side reads of the bundle that serves, of those that are kept, and of the trust policy. */
import type { ActiveBundle, KeptView, SourceView, TrustView } from '../admin/control-view.ts';
import type { SourceStatus } from './source/poller.ts';
import { keptOf, type StoreState } from './store/state.ts';
import type { Trust } from './trust/policy.ts';
import type { VerifiedBundle } from './trust/verify.ts';

export interface Serving {
  readonly bundle: VerifiedBundle;
  readonly revision: number;
  readonly activatedAt: number;
  /** From being seen at the source to serving; null: it was not taken from there at once. */
  readonly tookMs: number | null;
}

export function activeView({ bundle, revision, activatedAt, tookMs }: Serving): ActiveBundle {
  const { release, digest, direction, signers, expiresMs } = bundle;
  return {
    digest,
    seq: release.seq,
    revision,
    activatedAt,
    tookMs,
    floor: release.floor,
    createdAt: release.createdAt,
    direction,
    signers: signers.map((signer) => signer.keyId),
    expiresAt: Number.isFinite(expiresMs) ? expiresMs : null,
  };
}

/** `refused`: why the file as it stands now is not the policy that counts; null: it is. */
export function trustView(
  { policy, keys }: Trust,
  state: StoreState | undefined,
  refused: string | null,
  nowMs: number,
): TrustView {
  return {
    product: policy.product,
    channel: policy.channel,
    epoch: policy.epoch,
    rollback: policy.rollback,
    highestSeq: state?.highestSeq ?? 0,
    floor: Math.max(policy.minSeq, state?.floor ?? 0),
    keys: keys.map(({ id, roles, revoked, notAfterMs }) => ({
      id,
      roles,
      status: revoked ? 'revoked' : nowMs > notAfterMs ? 'ended' : 'active',
    })),
    refused,
  };
}

export function keptView(state: StoreState): readonly KeptView[] {
  return keptOf(state).map(({ digest, seq, activatedAtMs }) => ({ digest, seq, activatedAt: activatedAtMs }));
}

/** Where bundles come from. `seen`: what it names, as it means for this gateway: of a channel index the bundle that it assigns. */
export function sourceView(
  status: SourceStatus | undefined,
  known: Pick<SourceView, 'text' | 'answering' | 'seen' | 'staleReason' | 'fault'>,
): SourceView {
  return {
    ...known,
    state: status?.state ?? 'starting',
    // Zeros: never.
    lastContactAt: status?.lastContactMs || null,
    nextPollAt: status?.nextPollMs || null,
    lastError: status?.reason?.sentence ?? null,
    overdue: status?.overdue ?? false,
    stale: known.staleReason !== null,
  };
}
