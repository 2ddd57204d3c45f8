import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { isIndexRoot } from '../../control/channel/publish.ts';
import { verifyChannel } from '../../control/channel/verify.ts';
import type { Digest } from '../../control/oci/digest.ts';
import { OciLayout } from '../../control/oci/layout.ts';
import { type ArtifactPlace, resolveDigest } from '../../control/oci/publish.ts';
import { parseReference, type Reference } from '../../control/oci/reference.ts';
import { Rejection } from '../../control/oci/rejection.ts';
import { openPlace } from '../../control/source/open.ts';
import { readTrustFile } from '../../control/trust/file.ts';
import { gatewayIdentity } from '../../control/trust/gateway.ts';
import { EMPTY_SEQUENCE } from '../../control/trust/rules.ts';
import { verifyBundle, type VerifyStep } from '../../control/trust/verify.ts';
import { algorithmOf, fingerprintOf, type Trust } from '../../control/trust/policy.ts';
import { UsageError } from '../command.ts';
import { textOf } from '../file.ts';
import type { CommandIo } from '../io.ts';
import { commandRegistryOptions } from '../registry.ts';

/** Options that every command takes which may speak to a registry. */
export const PLACE_OPTIONS = {
  insecure: { type: 'boolean', default: false },
  'ca-file': { type: 'string' },
  'docker-config': { type: 'string' },
} as const;

export const PLACE_HELP = `A <ref> is oci:<directory>[:tag] or registry.example/repository[:tag][@digest]; the tag is latest unless told.
Registry: CNX_REGISTRY_USERNAME and CNX_REGISTRY_PASSWORD, else what docker login has written (--docker-config FILE),
          --ca-file FILE for a private authority, --insecure for plain HTTP beyond loopback; HTTPS_PROXY and NO_PROXY count.
`;

interface PlaceFlags {
  readonly insecure: boolean;
  readonly 'ca-file'?: string | undefined;
  readonly 'docker-config'?: string | undefined;
}

export interface OpenedPlace {
  readonly reference: Reference;
  readonly place: ArtifactPlace;
}

/** Opens what a reference names. `forWriting` makes a layout that is not there. */
export async function openReference(
  text: string,
  flags: PlaceFlags,
  io: CommandIo,
  forWriting = false,
): Promise<OpenedPlace> {
  const reference = parseReference(text);
  if (reference.kind === 'layout' && forWriting)
    return { reference, place: await OciLayout.create(reference.directory) };
  const ca = flags['ca-file'] === undefined ? {} : { ca: await textOf(flags['ca-file']) };
  const place = openPlace(reference, commandRegistryOptions(text, { ...flags, ...ca }, io.env));
  return { reference, place };
}

/** The digest that the reference pins, else what its tag points to. */
export async function digestOfReference(opened: OpenedPlace): Promise<Digest> {
  return opened.reference.digest ?? (await resolveDigest(opened.place, opened.reference.tag));
}

/** The same, null where the tag names nothing. A digest has to be there. @throws {SourceError} for everything else. */
export async function digestIfThere({ reference, place }: OpenedPlace): Promise<Digest | null> {
  if (reference.digest !== undefined) return reference.digest;
  const resolution = await place.resolve(reference.tag);
  return resolution.state === 'found' ? resolution.digest : null;
}

/**
 * A bundle under a tag that names a channel index would end the channel: gateways would follow it past every rule of the promoters, and refuse the next index, for its
 * number would begin anew. Throws UsageError where that is about to happen.
 */
export async function mustNotEndChannel({ reference, place }: OpenedPlace, replaceIndex: boolean): Promise<void> {
  if (replaceIndex) return;
  const now = await place.resolve(reference.tag);
  if (now.state === 'found' && (await isIndexAt(place, now.digest)))
    throw new UsageError(
      `${reference.tag} names a channel index: cnx bundle channel set --stable or cnx rollout run bring bundles to those who follow it; --replace-index ends the channel`,
    );
}

/** Whatever else stands there, an image say, is none. */
async function isIndexAt(place: ArtifactPlace, digest: Digest): Promise<boolean> {
  try {
    return isIndexRoot(await place.manifest(digest));
  } catch (error) {
    if (error instanceof Rejection) return false;
    throw error;
  }
}

/** For commands that put a bundle under a tag. */
export const REPLACE_INDEX_HELP = `  --replace-index   also where the tag names a channel index, which ends the channel
`;

/** Verifies as a new gateway with this trust policy would; of a channel index also each bundle that it names. @throws {Rejection} */
export async function verifyNow(
  place: ArtifactPlace,
  digest: Digest,
  trustFile: string,
  onStep?: (step: VerifyStep) => void,
): Promise<void> {
  const trust = await readTrustFile(trustFile);
  const nowMs = Date.now();
  const root = await place.manifest(digest);
  if (isIndexRoot(root)) {
    const step = onStep === undefined ? {} : { onStep };
    const { index } = await verifyChannel(place, digest, root, { trust, known: undefined, nowMs, ...step });
    for (const bundle of new Set(index.entries.map((entry) => entry.digest)))
      await verifyNow(place, bundle, trustFile, onStep);
    return;
  }
  await verifyBundle(place, digest, {
    trust,
    root,
    sequence: EMPTY_SEQUENCE,
    gateway: gatewayIdentity(),
    nowMs,
    purpose: 'candidate',
    ...(onStep === undefined ? {} : { onStep }),
  });
}

/** Reads a private key (PKCS#8 PEM) that can sign bundles. */
export async function readSigningKey(path: string): Promise<KeyObject> {
  let key: KeyObject;
  try {
    key = createPrivateKey(await textOf(path));
  } catch (error) {
    if (typeof (error as NodeJS.ErrnoException).syscall === 'string') throw error;
    throw new UsageError(`${path} is not an unencrypted private key in PEM; cnx keygen makes one`, { cause: error });
  }
  if (algorithmOf(key) === undefined)
    throw new UsageError(`${path} is neither an Ed25519 nor an ECDSA P-256 key; cnx keygen makes one`);
  return key;
}

/** Reads private keys that gateways with this trust policy believe of an index: one that is signed by others would stand in the way of the next. */
export async function readPromoterKeys(
  paths: readonly string[],
  trust: Trust,
  trustFile: string,
): Promise<KeyObject[]> {
  const keys = await Promise.all(paths.map(readSigningKey));
  for (const [i, key] of keys.entries()) {
    const fault = promoterFault(key, trust);
    if (fault !== null)
      throw new UsageError(
        `${paths[i]} ${fault} ${trustFile}, so that no gateway would believe the index; sign with the key of a promoter: ${promotersOf(trust)}`,
      );
  }
  return keys;
}

/** Why gateways would not believe an index on this key, as the begin of a sentence about the trust policy; null: they would. */
function promoterFault(key: KeyObject, { keys }: Trust): string | null {
  const fingerprint = fingerprintOf(createPublicKey(key));
  const known = keys.find((k) => k.fingerprint === fingerprint);
  if (known === undefined) return 'is none of the keys of';
  if (known.revoked) return `is the key ${known.id}, which is revoked in`;
  if (known.notAfterMs < Date.now()) return `is the key ${known.id}, which has ended (notAfter) in`;
  return known.roles.includes('promoter') ? null : `is the key ${known.id}, which has not the role promoter in`;
}

function promotersOf({ keys }: Trust): string {
  const ids = keys.filter((key) => key.roles.includes('promoter') && !key.revoked).map((key) => key.id);
  return ids.length > 0 ? ids.join(', ') : 'there is none yet, cnx keygen --role promoter makes one';
}
