import { type LogEntry, logOf } from '../../control/oci/publish.ts';
import { readTrustFile } from '../../control/trust/file.ts';
import type { Trust } from '../../control/trust/policy.ts';
import { signersOf } from '../../control/trust/verify.ts';
import { command, onlyPositional } from '../command.ts';
import type { Command } from '../io.ts';
import { openReference, PLACE_HELP, PLACE_OPTIONS } from './place.ts';

const HELP = `cnx bundle log <ref> [--trust FILE] [--json]

Lists the bundles of a place, highest sequence first, with their tags: what there is to go back to. A registry tells of those
that a tag, a channel index under a tag, or (without the referrers API) signatures name; the tag of <ref> does not matter. What bundles say of themselves is not verified.

  --trust   name the trusted keys that signed each; with it a signature of anybody else does not count
  --json    as JSON

${PLACE_HELP}`;

export const run: Command = command({
  name: 'bundle log',
  help: HELP,
  options: { ...PLACE_OPTIONS, trust: { type: 'string' }, json: { type: 'boolean', default: false } },
  act: async ({ values, positionals, io }) => {
    const opened = await openReference(onlyPositional(positionals, '<ref>'), values, io);
    try {
      const trust = values.trust === undefined ? null : await readTrustFile(values.trust);
      const { entries, more } = await logOf(opened.place);
      const rows = entries.map((entry) => rowOf(entry, trust));
      io.stdout(values.json ? `${JSON.stringify({ bundles: rows, more }, null, 2)}\n` : tableOf(rows));
      if (more) io.stderr('note: there are more tags than are listed\n');
    } finally {
      await opened.place.close();
    }
    return 0;
  },
});

function rowOf({ digest, tags, release, signatures }: LogEntry, trust: Trust | null) {
  return {
    seq: release.seq,
    digest,
    tags,
    floor: release.floor,
    createdAt: release.createdAt,
    ...(release.notAfter === undefined ? {} : { notAfter: release.notAfter }),
    channels: release.audience.channels,
    commit: release.source?.commit ?? null,
    signatures: signatures.length,
    ...(trust === null ? {} : { signers: signersOf(signatures, digest, trust) }),
  };
}

type Row = ReturnType<typeof rowOf>;

function tableOf(rows: readonly Row[]): string {
  if (rows.length === 0) return 'no bundles\n';
  const head = ['seq', 'digest', 'made', 'floor', 'signed', 'commit', 'tags'];
  const cells = rows.map((row) => [
    String(row.seq),
    row.digest,
    row.createdAt,
    String(row.floor),
    row.signers === undefined ? String(row.signatures) : row.signers.join('+') || 'NO',
    row.commit?.slice(0, 12) ?? '',
    row.tags.join(' '),
  ]);
  const widths = head.map((name, i) => Math.max(name.length, ...cells.map((cell) => cell[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  // Nothing of an unverified document may drive a terminal.
  return [head, ...cells].map((row) => `${line(row).replace(/[^ -~\u00a0-\uffff]/g, '?')}\n`).join('');
}
