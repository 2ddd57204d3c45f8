/** `cnx waf crs`: a release of the OWASP Core Rule Set into a bundle directory, with the checksum of each of its files. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { writeCrs } from '../../control/crs/directory.ts';
import { LOCK_FILE, type CrsLock, lockOf, parseLock } from '../../control/crs/lock.ts';
import { readRelease, ReleaseError } from '../../control/crs/release.ts';
import { command, UsageError } from '../command.ts';
import type { Command } from '../io.ts';

const HELP = `cnx waf crs <bundle directory> --from RELEASE [--dir waf/crs] [--sha256 HEX] [--setup FILE]

Puts a release of the OWASP Core Rule Set into a bundle directory: setup, rules, data, licence, and crs.lock.json with its version and the
checksum of each file. A build takes the directory only as the release has it. Run it again with another release to upgrade.

  --from    a release archive (.tar.gz or .zip, as published) or an unpacked one, such as /usr/share/modsecurity-crs
  --sha256  checksum that the archive must have, from the page of the release
  --dir     where in the bundle directory; waf/crs unless told
  --setup   a crs-setup.conf, for releases that have none beside their rules, such as Debian's in /etc/modsecurity/crs
`;

export const run: Command = command({
  name: 'waf crs',
  help: HELP,
  options: {
    from: { type: 'string' },
    dir: { type: 'string', default: 'waf/crs' },
    sha256: { type: 'string' },
    setup: { type: 'string' },
  },
  failures: [ReleaseError],
  act: async ({ values, positionals, io }) => {
    const [bundle, ...more] = positionals;
    if (bundle === undefined || more.length > 0) throw new UsageError('one bundle directory is expected');
    if (values.from === undefined) throw new UsageError('--from is missing');
    if (!/^[A-Za-z0-9_-][A-Za-z0-9_.-]*(\/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$/.test(values.dir))
      throw new UsageError('--dir is a path in the bundle directory, such as waf/crs');
    if (values.sha256 !== undefined && !/^[0-9a-fA-F]{64}$/.test(values.sha256))
      throw new UsageError('--sha256 is 64 hexadecimal digits');
    if (!existsSync(bundle) || !statSync(bundle).isDirectory()) throw new UsageError(`there is no directory ${bundle}`);
    const release = readRelease(values.from, values.setup, values.sha256);
    const dir = join(bundle, values.dir);
    const before = lockBefore(dir);
    await writeCrs(dir, release);
    const bytes = [...release.files.values()].reduce((sum, file) => sum + file.length, 0);
    io.stdout(`OWASP Core Rule Set ${release.version}: ${release.files.size} files, ${bytes} bytes in ${dir}\n`);
    if (release.source.sha256 !== null) io.stdout(`archive     sha256:${release.source.sha256}\n`);
    if (before !== null) io.stdout(changes(before, lockOf(release.version, release.source, release.files)));
    else
      io.stdout(
        `\nname it in waf.yaml:\n\n  mode: detect\n  crs: { dir: ${values.dir} }\n\nthen: cnx check ${bundle}\n`,
      );
    return 0;
  },
});

/** The lock that stands there, when it can be read. */
function lockBefore(dir: string): CrsLock | null {
  const file = join(dir, LOCK_FILE);
  if (!existsSync(file)) return null;
  try {
    return parseLock(readFileSync(file, 'utf8'));
  } catch {
    // A torn one is replaced; there is nothing to compare with.
    return null;
  }
}

function changes(before: CrsLock, now: CrsLock): string {
  const names = [...new Set([...Object.keys(before.files), ...Object.keys(now.files)])].toSorted();
  const lines = names.flatMap((name) => {
    const [was, is] = [before.files[name], now.files[name]];
    if (was === is) return [];
    return [`  ${was === undefined ? 'new    ' : is === undefined ? 'gone   ' : 'changed'} ${name}`];
  });
  return `in the place of ${before.version}: ${lines.length === 0 ? 'the same files' : `\n${lines.join('\n')}`}\n`;
}
