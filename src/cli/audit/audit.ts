/** `cnx audit verify|export`: the audit log of a gateway, from its files. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { logFiles } from '../../control/audit/files.ts';
import { linesOf } from '../../control/audit/log.ts';
import { verifyAudit } from '../../control/audit/verify.ts';
import { command, UsageError } from '../command.ts';
import { textOf } from '../file.ts';
import type { Command, CommandIo } from '../io.ts';

const HELP = `cnx audit verify <directory> [--key SPKI] [--holds N:HASH]
cnx audit export <directory>

The audit log of a gateway lies in the directory audit of its state directory.

verify   finds any change, cut or reordering of its entries. Exit code 1 when there is one.
  --key    public key, base64 of its DER form, as \`cnx status --json\` shows it; unless given, that of the directory itself,
           which who could write there may have exchanged
  --holds  number and hash of an entry that were noted earlier, elsewhere: finds a log that was made anew, or cut, with its key
export   prints all entries, oldest first, as JSON lines
`;

/** What is named holds no log that could be looked at. */
class NoLog extends Error {
  override readonly name = 'NoLog';
}

export const run: Command = command({
  name: 'audit',
  help: HELP,
  options: {
    key: { type: 'string' },
    holds: { type: 'string' },
  },
  failures: [NoLog],
  act: async ({ values, positionals, io }) => {
    const [name, directory, extra] = positionals;
    if (directory === undefined || extra !== undefined || (name !== 'verify' && name !== 'export'))
      throw new UsageError('write cnx audit verify <directory> or cnx audit export <directory>');
    const files = await filesOf(directory);
    if (name === 'export') {
      for (const file of files) for (const line of await linesOf(join(directory, file))) io.stdout(`${line}\n`);
      return 0;
    }
    return await verify(directory, await keyOf(directory, values.key), values.holds, io);
  },
});

async function verify(directory: string, key: KeyObject, holds: string | undefined, io: CommandIo): Promise<number> {
  const noted = holds === undefined ? undefined : /^([0-9]{1,15}):([0-9a-f]{64})$/.exec(holds);
  if (noted === null) throw new UsageError('--holds is a number, a colon and 64 hexadecimal digits');
  const wanted = noted === undefined ? undefined : { n: Number(noted[1]), hash: noted[2] ?? '' };
  const found = await verifyAudit(directory, key, wanted);
  for (const fault of found.faults) io.stderr(`${fault}\n`);
  if (found.faults.length > 0) return 1;
  io.stdout(
    `${found.entries} entries, ${found.first} to ${found.last}, all as they were written\nends with ${found.last}:${found.hash}\n`,
  );
  return 0;
}

/** Names of the log's files. Nothing to look at is no log that is whole. */
async function filesOf(directory: string): Promise<readonly string[]> {
  const files = await logFiles(directory).catch((error: unknown) => {
    if (!isAbsent(error)) throw error;
    return null;
  });
  if (files !== null && files.length > 0) return files;
  const inside = join(directory, 'audit');
  const meant = (await logFiles(inside).catch(() => [])).length > 0;
  const what =
    files === null ? `there is no directory ${directory}` : `${directory} holds no audit log (000001.jsonl and so on)`;
  throw new NoLog(
    meant
      ? `${what}; ${inside} does`
      : `${what}; name the directory audit in the state directory of a gateway (stateDir of its bootstrap)`,
  );
}

async function keyOf(directory: string, spki: string | undefined): Promise<KeyObject> {
  const path = join(directory, 'key.pem');
  if (spki === undefined)
    try {
      return createPublicKey(await textOf(path));
    } catch (error) {
      if (isAbsent(error))
        throw new NoLog(`${path} is missing: say with --key whose log it is to be`, { cause: error });
      if (typeof (error as NodeJS.ErrnoException).syscall === 'string') throw error;
      throw new NoLog(`${path} is no key in PEM: say with --key whose log it is to be`, { cause: error });
    }
  try {
    return createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' });
  } catch {
    throw new UsageError('--key is no base64 of a DER SubjectPublicKeyInfo');
  }
}

function isAbsent(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}
