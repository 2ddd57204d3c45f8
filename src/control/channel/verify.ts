/** Whether a channel index counts: who signed it, for whom, and in which order. Freshness and order are its own; the bundles that it names are verified by themselves. */
import type { Digest } from '../oci/digest.ts';
import { Rejection } from '../oci/rejection.ts';
import type { ArtifactSource, FetchedManifest, SignatureCandidate } from '../oci/source.ts';
import { thresholdOf, type Trust } from '../trust/policy.ts';
import { SEQ_JUMP_MAX } from '../trust/rules.ts';
import { type Signer, type VerifyStep, verifySignatures } from '../trust/verify.ts';
import { type ChannelIndex, parseChannelIndex, ruleText } from './document.ts';

/** The newest index that counted here. */
export interface ChannelSequence {
  readonly epoch: number;
  readonly seq: number;
  readonly digest: Digest;
}

export interface VerifyChannelOptions {
  readonly trust: Trust;
  /** Undefined: none has counted yet. */
  readonly known: ChannelSequence | undefined;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  readonly onStep?: (step: VerifyStep) => void;
}

/** An index whose signatures, audience, order and end have been checked. The class is private to this file: holding one is the proof. */
class Verified {
  readonly digest: Digest;
  readonly index: ChannelIndex;
  readonly signers: readonly Signer[];
  readonly signatures: readonly SignatureCandidate[];
  /** Its end, or its keys', whichever is first, milliseconds since 1970. */
  readonly expiresMs: number;

  constructor(
    digest: Digest,
    index: ChannelIndex,
    signed: Pick<Verified, 'signers' | 'signatures'>,
    expiresMs: number,
  ) {
    this.digest = digest;
    this.index = index;
    this.signers = signed.signers;
    this.signatures = signed.signatures;
    this.expiresMs = expiresMs;
  }
}

export type { Verified as VerifiedChannel };

/**
 * Verifies an index that has been fetched by its digest. The one that counts already stays good beyond its end and its keys': that is an alarm, not a reason to forget it.
 * @throws {Rejection} with the reason. @throws {SourceError} when signatures cannot be fetched.
 */
export async function verifyChannel(
  source: ArtifactSource,
  digest: Digest,
  root: FetchedManifest,
  options: VerifyChannelOptions,
): Promise<Verified> {
  const { trust, known, nowMs, onStep } = options;
  const { policy } = trust;
  if (!trust.keys.some((key) => key.roles.includes('promoter')))
    throw new Rejection(
      'wrong_artifact_type',
      'the tag points to a channel index, and the trust policy has no key of the role promoter',
    );
  const index = parseChannelIndex(root.bytes, root.contentType);
  onStep?.({
    name: 'root',
    sentence: `${digest}: channel index, ${index.entries.map(({ rule }) => `${rule.role} ${ruleText(rule)}`).join(', ')}`,
  });

  const again = digest === known?.digest;
  const signed = await verifySignatures(source, digest, 'promoter', {
    trust,
    nowMs,
    purpose: again ? 'kept' : 'candidate',
  });
  const signers = signed.keys.map(({ id, fingerprint }) => ({ keyId: id, fingerprint }));
  onStep?.({
    name: 'signatures',
    sentence: `${signers.length} of ${thresholdOf(policy, 'promoter')} needed, by ${signers.map(({ keyId }) => keyId).join(', ')}`,
  });

  if (index.product !== policy.product || index.channel !== policy.channel)
    throw new Rejection(
      'audience_mismatch',
      `the channel index is for the channel ${JSON.stringify(index.channel)} of ${JSON.stringify(index.product)}, this gateway follows ${JSON.stringify(policy.channel)} of ${JSON.stringify(policy.product)}`,
    );
  onStep?.({ name: 'audience', sentence: `channel ${index.channel} of ${index.product}` });

  judgeChannelOrder(index, digest, policy.epoch, known);
  if (!again && nowMs > index.expiresMs)
    throw new Rejection(
      'expired',
      `the channel index ended ${new Date(index.expiresMs).toISOString()}: sign a newer one`,
    );
  onStep?.({
    name: 'order',
    sentence: `epoch ${index.epoch}, sequence ${index.seq}, newest seen ${known?.seq ?? 'none'}, until ${new Date(index.expiresMs).toISOString()}`,
  });
  return new Verified(
    digest,
    index,
    { signers, signatures: signed.signatures },
    Math.min(index.expiresMs, signed.expiresMs),
  );
}

/** Only forward, whoever points the tag where: going back is a newer index that names an older bundle. */
function judgeChannelOrder(
  { seq, epoch }: ChannelIndex,
  digest: Digest,
  own: number,
  known: ChannelSequence | undefined,
): void {
  if (known !== undefined && own < known.epoch)
    throw new Rejection(
      'epoch_regressed',
      `the trust policy has epoch ${own}, but this gateway has followed a channel index by epoch ${known.epoch}: put the newer policy back`,
    );
  if (epoch !== own)
    throw new Rejection(
      'epoch_regressed',
      `the channel index counts in epoch ${epoch}, the trust policy in ${own}: a promoter begins anew in it (cnx bundle channel set --stable BUNDLE --seq 1)`,
    );
  const last = known?.epoch === own ? known : undefined;
  if (last !== undefined && seq < last.seq)
    throw new Rejection(
      'rollback_not_endorsed',
      `the channel index has sequence ${seq}, one with ${last.seq} has counted here: going back is a newer index that names the older bundle`,
    );
  if (last !== undefined && seq === last.seq && digest !== last.digest)
    throw new Rejection(
      'equivocation',
      `two different channel indexes carry the sequence ${seq}: this one and ${last.digest}, which has counted here`,
    );
  const base = last?.seq ?? 0;
  if (seq > base + SEQ_JUMP_MAX)
    throw new Rejection(
      'seq_jump',
      `the channel index has sequence ${seq}, more than ${SEQ_JUMP_MAX} above ${base}: it is a counter, not a clock`,
    );
}
