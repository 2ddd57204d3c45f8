import { statSync } from 'node:fs';
import { readBundleDirectory } from '../../control/build/bundle-directory.ts';
import { stableOf } from '../../control/channel/document.ts';
import { isIndexRoot, readChannelUnverified } from '../../control/channel/publish.ts';
import type { Digest } from '../../control/oci/digest.ts';
import type { ArtifactPlace } from '../../control/oci/publish.ts';
import { type FormerBundle, readFormer } from '../../control/build/former.ts';
import type { ChangeSide } from '../../control/guardrail/change.ts';
import { subjectOf } from '../../control/guardrail/subject.ts';
import { findOpa } from '../../control/policy/rego.ts';
import type { CommandIo } from '../io.ts';
import { digestOfReference, openReference } from './place.ts';

/** What two bundles are compared by. */
export interface Side extends ChangeSide {
  readonly config: FormerBundle['config'];
}

/** A bundle directory, or a bundle of a layout or registry, which is not verified; of a channel index what is stable. */
export async function readSide(text: string, flags: Parameters<typeof openReference>[1], io: CommandIo): Promise<Side> {
  if (statSync(text, { throwIfNoEntry: false })?.isDirectory() === true) {
    const { release, config, files } = await readBundleDirectory(text, findOpa(io.env['PATH']));
    const end = { digest: '', seq: release.seq ?? 0, floor: release.floor };
    return { config, end, subject: subjectOf(config, files) };
  }
  const opened = await openReference(text, flags, io);
  try {
    const digest = await stableBehind(opened.place, await digestOfReference(opened));
    const { release, config, files } = await readFormer(opened.place, digest);
    return { config, end: { digest, seq: release.seq, floor: release.floor }, subject: subjectOf(config, files) };
  } finally {
    await opened.place.close();
  }
}

async function stableBehind(place: ArtifactPlace, digest: Digest): Promise<Digest> {
  if (!isIndexRoot(await place.manifest(digest))) return digest;
  return stableOf(await readChannelUnverified(place, digest)).digest;
}
