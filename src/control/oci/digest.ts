import { createHash } from 'node:crypto';

declare const digestBrand: unique symbol;

/** `sha256:` and 64 lowercase hex digits. Only this algorithm is accepted: every other is a second way to name the same bytes. */
export type Digest = string & { readonly [digestBrand]: true };

const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** The text as a digest, or undefined when it is not one of ours (also for other algorithms and upper case). */
export function parseDigest(text: unknown): Digest | undefined {
  return typeof text === 'string' && DIGEST.test(text) ? (text as Digest) : undefined;
}

/** The digest of these bytes. */
export function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest;
}

/** The 64 hex digits: the name of the blob's file in a layout, and what an in-toto subject holds. */
export function digestHex(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

/** The first 12 hex digits, for people. */
export function shortDigest(digest: Digest): string {
  return digest.slice('sha256:'.length, 'sha256:'.length + 12);
}

/** The tag under which signatures stand where the referrers API is missing (distribution-spec, "Referrers Tag Schema"). */
export function referrersTag(digest: Digest): string {
  return `sha256-${digestHex(digest)}`;
}
