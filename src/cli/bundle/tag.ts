import { readReleaseUnverified, tagBundle } from '../../control/oci/publish.ts';
import { isTag } from '../../control/oci/reference.ts';
import { Rejection } from '../../control/oci/rejection.ts';
import { isReferrerTag } from '../../control/oci/source.ts';
import { command, UsageError } from '../command.ts';
import type { Command } from '../io.ts';
import {
  digestOfReference,
  mustNotEndChannel,
  openReference,
  PLACE_HELP,
  PLACE_OPTIONS,
  REPLACE_INDEX_HELP,
} from './place.ts';

const HELP = `cnx bundle tag <ref> <tag>

Points a tag of the same place at a bundle that is there already: promotes it, or goes back to it. Signatures stay with
the bundle. Gateways with rollback: tag follow within a poll, as far as their floor allows; with rollback: endorsed they
want a new release instead.

  cnx bundle tag registry.example/edge/config@sha256:<old> prod     goes back

${REPLACE_INDEX_HELP}
${PLACE_HELP}`;

export const run: Command = command({
  name: 'bundle tag',
  help: HELP,
  options: { ...PLACE_OPTIONS, 'replace-index': { type: 'boolean', default: false } },
  act: async ({ values, positionals, io }) => {
    const [text, tag, extra] = positionals;
    if (text === undefined || tag === undefined || extra !== undefined)
      throw new UsageError('write cnx bundle tag <ref> <tag>');
    if (!isTag(tag) || isReferrerTag(tag)) throw new UsageError(`${JSON.stringify(tag)} is no tag for a bundle`);
    const opened = await openReference(text, values, io);
    const { place } = opened;
    try {
      const digest = await digestOfReference(opened);
      const next = await readReleaseUnverified(place, digest);
      await mustNotEndChannel({ place, reference: { ...opened.reference, tag } }, values['replace-index']);
      const current = await place.resolve(tag);
      const before = current.state === 'found' ? await releaseOrNull() : null;
      await tagBundle(place, digest, tag);
      const from = before === null ? 'nothing before' : `before sequence ${before.seq}`;
      io.stdout(`tagged      ${digest}\nas          ${tag}\nsequence    ${next.seq}, ${from}\n`);
      if (before !== null && next.seq < before.floor)
        io.stderr(
          `note: the floor of what stood there is ${before.floor}; gateways that have run it refuse sequence ${next.seq}\n`,
        );
      else if (before !== null && next.seq < before.seq)
        io.stderr('note: this goes back; gateways with rollback: endorsed refuse it\n');

      async function releaseOrNull() {
        try {
          return current.state === 'found' ? await readReleaseUnverified(place, current.digest) : null;
        } catch (error) {
          if (error instanceof Rejection) return null;
          throw error;
        }
      }
    } finally {
      await place.close();
    }
    return 0;
  },
});
