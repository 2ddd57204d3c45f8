import { parseManifest } from '../../control/oci/manifest.ts';
import { TITLE_ANNOTATION, roleOf } from '../../control/oci/media-types.ts';
import { readReleaseUnverified } from '../../control/oci/publish.ts';
import { Rejection } from '../../control/oci/rejection.ts';
import { command, onlyPositional } from '../command.ts';
import type { Command } from '../io.ts';
import { digestOfReference, openReference, PLACE_HELP, PLACE_OPTIONS } from './place.ts';

const HELP = `cnx bundle inspect <ref> [--json]

Prints what a bundle says of itself: release, layers, signatures. Nothing of it is verified; cnx bundle verify does that.

${PLACE_HELP}`;

export const run: Command = command({
  name: 'bundle inspect',
  help: HELP,
  options: { ...PLACE_OPTIONS, json: { type: 'boolean', default: false } },
  act: async ({ values, positionals, io }) => {
    const opened = await openReference(onlyPositional(positionals, '<ref>'), values, io);
    try {
      const digest = await digestOfReference(opened);
      const { bytes, contentType } = await opened.place.manifest(digest);
      const manifest = parseManifest(bytes, contentType);
      if (manifest.kind !== 'manifest')
        throw new Rejection(
          'wrong_artifact_type',
          `${digest} is an index, not a bundle; cnx bundle channel show prints one`,
        );
      const release = await readReleaseUnverified(opened.place, digest);
      const { candidates, notes } = await opened.place.signatures(digest);
      const layers = manifest.layers.map((layer) => ({
        role: roleOf(layer.mediaType) ?? layer.mediaType,
        title: layer.annotations?.[TITLE_ANNOTATION] ?? '',
        bytes: layer.size,
        digest: layer.digest,
      }));
      if (values.json) {
        io.stdout(
          `${JSON.stringify({ digest, release, annotations: manifest.annotations, layers, signatures: candidates.map((item) => item.artifact.descriptor.digest), notes }, null, 2)}\n`,
        );
        return 0;
      }
      io.stdout(`bundle      ${digest}\n`);
      io.stdout(
        `release     ${release.product}, sequence ${release.seq}, floor ${release.floor}, channels ${release.audience.channels.join(', ')}\n`,
      );
      for (const [name, value] of Object.entries(manifest.annotations))
        io.stdout(`annotation  ${printable(name)}: ${printable(value)}\n`);
      for (const layer of layers) {
        io.stdout(
          `layer       ${layer.role.padEnd(12)}${String(layer.bytes).padStart(10)} bytes  ${layer.digest.slice(7, 19)}  ${printable(layer.title)}\n`,
        );
      }
      io.stdout(`signatures  ${candidates.length} (not verified)\n`);
      for (const note of notes) io.stdout(`note        ${printable(note)}\n`);
    } finally {
      await opened.place.close();
    }
    return 0;
  },
});

/** Text of an unverified document must not drive the terminal. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e\u00a0-\uffff]/g, '?').slice(0, 512);
}
