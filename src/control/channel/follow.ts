/** From what the tag names to the bundle that this gateway is to run: a bundle itself, or the one that a channel index assigns to it. */
import { isDeepStrictEqual } from 'node:util';
import type { ChannelView } from '../../admin/control-view.ts';
import type { Digest } from '../oci/digest.ts';
import { parseManifest } from '../oci/manifest.ts';
import { Rejection } from '../oci/rejection.ts';
import type { ArtifactSource, FetchedManifest } from '../oci/source.ts';
import type { KeptChannel } from '../store/state.ts';
import type { SignedIndex } from '../store/store.ts';
import type { Trust } from '../trust/policy.ts';
import { type GatewayIdentity, labelsOf, type NamedBy } from '../trust/rules.ts';
import { assign } from './assign.ts';
import { isChannelIndex, parseChannelIndex } from './document.ts';
import { verifyChannel } from './verify.ts';

/** The bundle that is to be taken, with its manifest, which is not verified yet. */
export interface Named {
  readonly digest: Digest;
  readonly root: FetchedManifest;
  readonly by: NamedBy;
}

export interface ChannelParts {
  /** Name of this gateway. */
  readonly gatewayId: string;
  readonly gateway: GatewayIdentity;
  /** What is remembered; undefined: no index has ever counted. */
  readonly kept: () => KeptChannel | undefined;
  /** `signed`: what it was fetched as, when it is not the one that is kept already. */
  readonly keep: (channel: KeptChannel, signed?: SignedIndex) => Promise<void>;
  readonly event: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;
  readonly now: () => number;
}

export class ChannelFollower {
  readonly #parts: ChannelParts;

  constructor(parts: ChannelParts) {
    this.#parts = parts;
  }

  /**
   * What a digest that the tag points to means for this gateway. An index that verifies counts from then on, whatever becomes of the bundle that it assigns: an older
   * one is not followed again. Throws Rejection, SourceError, and what writing the state throws.
   */
  async named(source: ArtifactSource & { readonly mirror?: boolean }, digest: Digest, trust: Trust): Promise<Named> {
    const { now } = this.#parts;
    const root = await source.manifest(digest);
    if (!isChannelIndex(parseManifest(root.bytes, root.contentType))) {
      if (trust.policy.channelIndex === 'required')
        throw new Rejection(
          'index_required',
          'the tag points to no channel index, and the trust policy takes bundles only from one (channelIndex: required)',
        );
      return { digest, root, by: source.mirror === true ? 'mirror' : 'tag' };
    }
    const verified = await verifyChannel(source, digest, root, { trust, known: this.#parts.kept(), nowMs: now() });
    const { index } = verified;
    const labels = labelsOf(trust.policy, this.#parts.gateway);
    const { entry, role, rule, bucket, why } = assign(index, { id: this.#parts.gatewayId, labels });
    const kept = this.#parts.kept();
    await this.#take(
      { bytes: root.bytes, signatures: verified.signatures },
      {
        followed: true,
        epoch: index.epoch,
        seq: index.seq,
        digest,
        madeMs: index.madeMs,
        expiresMs: Math.min(verified.expiresMs, index.expiresMs),
        // What happens to its bundle happens after this.
        takenMs: kept?.digest === digest && kept.followed ? kept.takenMs : now(),
        signers: verified.signers.map((signer) => signer.keyId),
        bundle: entry.digest,
        role,
        rule,
        ...(bucket === null ? {} : { bucket }),
        why,
      },
    );
    const named = await source.manifest(entry.digest);
    if (named.bytes.byteLength !== entry.size)
      throw new Rejection(
        'malformed_manifest',
        `the channel index says that ${entry.digest} has ${entry.size} bytes, it has ${named.bytes.byteLength}`,
      );
    return { digest: entry.digest, root: named, by: 'channel' };
  }

  /**
   * The bundle that a digest in a seed means for this gateway. Like a bundle there, an index is good beyond its end; it does not count as followed. Throws Rejection and SourceError.
   */
  async seeded(seed: ArtifactSource, digest: Digest, trust: Trust): Promise<Digest> {
    const root = await seed.manifest(digest);
    if (!isChannelIndex(parseManifest(root.bytes, root.contentType))) return digest;
    const { epoch, seq } = parseChannelIndex(root.bytes, root.contentType);
    const known = { epoch, seq, digest };
    const { index } = await verifyChannel(seed, digest, root, { trust, known, nowMs: this.#parts.now() });
    const labels = labelsOf(trust.policy, this.#parts.gateway);
    return assign(index, { id: this.#parts.gatewayId, labels }).entry.digest;
  }

  /** The bundle behind a digest that the tag was seen to point to. */
  behind(digest: Digest): Digest {
    const kept = this.#parts.kept();
    return kept?.followed === true && kept.digest === digest ? kept.bundle : digest;
  }

  /** Why what is followed is stale, as a sentence; null when it is not. */
  staleness(now: number): string | null {
    const kept = this.#parts.kept();
    if (kept?.followed !== true || now <= kept.expiresMs) return null;
    return `the channel index, or the keys that signed it, ended ${new Date(kept.expiresMs).toISOString()}`;
  }

  /** Null: the tag names bundles. */
  view(): ChannelView | null {
    const kept = this.#parts.kept();
    if (kept?.followed !== true) return null;
    const { followed: _followed, madeMs, expiresMs, takenMs, bucket = null, ...rest } = kept;
    return { ...rest, bucket, madeAt: madeMs, expiresAt: expiresMs, takenAt: takenMs };
  }

  async #take(signed: SignedIndex, next: KeptChannel): Promise<void> {
    const kept = this.#parts.kept();
    if (isDeepStrictEqual(kept, next)) return;
    await this.#parts.keep(next, signed);
    const { digest, seq, epoch, bundle, role, rule, why, signers } = next;
    this.#parts.event('info', 'channel index taken', { digest, seq, epoch, bundle, role, rule, why, signers });
  }

  /** What was named has verified. Where it is a bundle at the tag itself, no index is followed any more: one that nobody trusts ends none, nor the alarm that it is over. Which have counted is remembered. */
  async counts({ by }: Named): Promise<void> {
    if (by === 'channel') return;
    const kept = this.#parts.kept();
    if (kept?.followed === true) await this.#parts.keep({ ...kept, followed: false });
  }
}
