import { copyChannel, isIndexRoot } from '../../control/channel/publish.ts';
import { copyBundle } from '../../control/oci/publish.ts';
import { command, UsageError } from '../command.ts';
import type { Command } from '../io.ts';
import {
  digestIfThere,
  digestOfReference,
  mustNotEndChannel,
  openReference,
  REPLACE_INDEX_HELP,
  PLACE_HELP,
  PLACE_OPTIONS,
  verifyNow,
} from './place.ts';

type Name = 'push' | 'pull' | 'copy';

const WHAT: Readonly<Record<Name, string>> = {
  push: 'usually from oci:<directory> to a registry',
  pull: 'from a registry to oci:<directory>, for a mirror, a seed or a network without registry',
  copy: 'from any place to any other',
};
const DONE: Readonly<Record<Name, string>> = { push: 'pushed', pull: 'pulled', copy: 'copied' };

const ABSENT_HELP = `  --absent-ok   what is not there (yet) is no error: nothing is pulled then. Everything else still is
`;

/** Copying under one of its three names: they differ in what is expected of the places. */
export function copyCommand(name: Name): Command {
  const help = `cnx bundle ${name} <from ref> <to ref> [--trust FILE]${name === 'pull' ? ' [--absent-ok]' : ''}

Copies a bundle with its signatures, byte for byte, ${WHAT[name]}; of a channel index also
the bundles that it names. The tag moves last, when everything else is there. One publisher at a time for one bundle's signatures.

  --trust   verify first as a new gateway with this trust policy would; what it would not take is not copied
${REPLACE_INDEX_HELP}${name === 'pull' ? ABSENT_HELP : ''}
${PLACE_HELP}`;
  return command({
    name: `bundle ${name}`,
    help,
    options: {
      ...PLACE_OPTIONS,
      trust: { type: 'string' },
      'absent-ok': { type: 'boolean', default: false },
      'replace-index': { type: 'boolean', default: false },
    },
    act: async ({ values, positionals, io }) => {
      const [from, to, extra] = positionals;
      if (from === undefined || to === undefined || extra !== undefined)
        throw new UsageError(`write cnx bundle ${name} <from ref> <to ref>`);
      if (values['absent-ok'] && name !== 'pull') throw new UsageError('--absent-ok is for pull');
      const source = await openReference(from, values, io);
      if (name === 'pull' && !to.startsWith('oci:'))
        throw new UsageError('pull writes a layout: oci:<directory>[:tag]');
      const sink = await openReference(to, values, io, true);
      if (sink.reference.digest !== undefined) throw new UsageError('the target names a tag, not a digest');
      try {
        const digest = values['absent-ok'] ? await digestIfThere(source) : await digestOfReference(source);
        if (digest === null) {
          io.stdout(`absent      ${from}\n`);
          return 0;
        }
        if (values.trust !== undefined) await verifyNow(source.place, digest, values.trust);
        const index = isIndexRoot(await source.place.manifest(digest));
        if (!index) await mustNotEndChannel(sink, values['replace-index']);
        const copy = index ? copyChannel : copyBundle;
        const signatures = await copy(source.place, sink.place, digest, sink.reference.tag);
        io.stdout(`${DONE[name].padEnd(10)}  ${digest}\nto          ${to}\nsignatures  ${signatures}\n`);
        if (signatures === 0) io.stderr('note: the bundle is not signed; gateways wait until it is\n');
      } finally {
        await source.place.close();
        await sink.place.close();
      }
      return 0;
    },
  });
}
