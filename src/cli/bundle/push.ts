import { parseArgs } from 'node:util';
import { copyBundle } from '../../control/oci/publish.ts';
import type { Command } from '../io.ts';
import { usageError, UsageError } from './command.ts';
import { digestOfReference, openReference, PLACE_HELP, PLACE_OPTIONS } from './place.ts';

const HELP = `cnx bundle push <from ref> <to ref>

Copies a bundle with its signatures, byte for byte, usually from oci:<directory> to a registry. The tag moves last, when
everything else is there. One publisher at a time for one bundle's signatures.

${PLACE_HELP}`;

export const run: Command = async (args, io) => {
  try {
    const { values, positionals } = parseArgs({ args, allowPositionals: true, options: PLACE_OPTIONS });
    if (values.help) {
      io.stdout(HELP);
      return 0;
    }
    const [from, to, extra] = positionals;
    if (from === undefined || to === undefined || extra !== undefined)
      throw new UsageError('write cnx bundle push <from ref> <to ref>');
    const source = await openReference(from, values, io);
    const sink = await openReference(to, values, io, true);
    if (sink.reference.digest !== undefined) throw new UsageError('the target names a tag, not a digest');
    try {
      const digest = await digestOfReference(source);
      const signatures = await copyBundle(source.place, sink.place, digest, sink.reference.tag);
      io.stdout(`pushed      ${digest}\nto          ${to}\nsignatures  ${signatures}\n`);
      if (signatures === 0) io.stderr('note: the bundle is not signed; gateways wait until it is\n');
    } finally {
      await source.place.close();
      await sink.place.close();
    }
    return 0;
  } catch (error) {
    return usageError('bundle push', error, io);
  }
};
