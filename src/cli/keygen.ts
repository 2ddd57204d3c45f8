import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory } from '../base/make-directory.ts';
import type { KeyAlgorithm, KeyRole } from '../control/trust/policy.ts';
import { command, UsageError } from './command.ts';
import type { Command } from './io.ts';

const HELP = `cnx keygen --out DIR [--alg ed25519|ecdsa-p256] [--id NAME] [--role builder|promoter]

Makes a key pair for signing bundles, or channel indexes:
  DIR/NAME.key   private key, PKCS#8 PEM, readable by you alone: give it to CI as a secret
  DIR/NAME.pub   public key, PEM
and prints the entry for the trust policy of your gateways: it goes under keys there, beside those of other keys.

  --alg    ed25519 (default), or ecdsa-p256, which cosign and most key stores know as well
  --id     name of the key in the trust policy and of its files (default bundle)
  --role   what the printed entry lets it sign: bundles (builder, the default) or channel indexes (promoter)

Files that are there already are never overwritten.
`;

/** Makes a key pair. Exit code 0, or 1 with the reason on stderr, 2 for wrong usage. */
export const run: Command = command({
  name: 'keygen',
  help: HELP,
  options: {
    out: { type: 'string' },
    alg: { type: 'string', default: 'ed25519' },
    id: { type: 'string', default: 'bundle' },
    role: { type: 'string', default: 'builder' },
  },
  optionsOnly: true,
  act: async ({ values, io }) => {
    if (values.out === undefined) throw new UsageError('--out DIR is missing');
    if (!/^[a-z0-9][a-z0-9._-]{0,62}$/.test(values.id))
      throw new UsageError(
        '--id is a name of small letters, digits, . _ -, as in the trust policy; at most 63 of them',
      );
    if (values.role !== 'builder' && values.role !== 'promoter')
      throw new UsageError(`--role ${JSON.stringify(values.role)} is not known: builder or promoter`);
    const key = generate(values.alg);
    const made = await writeKeyPair(values.out, values.id, key.privateKey);
    io.stdout(
      `private key  ${made.privatePath}\npublic key   ${made.publicPath}\n\nunder \`keys:\` of trust.yaml, on every gateway:\n\n${trustSnippet(values.id, key.alg, key.privateKey, values.role)}`,
    );
    return 0;
  },
});

function generate(alg: string): { alg: KeyAlgorithm; privateKey: KeyObject } {
  switch (alg) {
    case 'ed25519':
      return { alg, privateKey: generateKeyPairSync('ed25519').privateKey };
    case 'ecdsa-p256':
      return { alg, privateKey: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey };
    default:
      throw new UsageError(`--alg ${JSON.stringify(alg)} is not known: ed25519 or ecdsa-p256`);
  }
}

/** Writes `<id>.key` (mode 0600) and `<id>.pub`; fails when one is there. */
export async function writeKeyPair(
  directory: string,
  id: string,
  privateKey: KeyObject,
): Promise<{ privatePath: string; publicPath: string }> {
  await makeDirectory(directory, 0o700);
  const privatePath = join(directory, `${id}.key`);
  const publicPath = join(directory, `${id}.pub`);
  await writeNew(privatePath, privateKey.export({ format: 'pem', type: 'pkcs8' }) as string, 0o600);
  try {
    await writeNew(publicPath, createPublicKey(privateKey).export({ format: 'pem', type: 'spki' }) as string, 0o644);
  } catch (error) {
    // Nobody has been told of it.
    await unlink(privatePath);
    throw error;
  }
  return { privatePath, publicPath };
}

async function writeNew(path: string, text: string, mode: number): Promise<void> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, 'wx', mode);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new UsageError(`${path} is there already; choose another --id or --out`, { cause: error });
  }
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The base64 that a trust policy holds for a key. */
export function spkiBase64(key: KeyObject): string {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
}

/** An entry of the list `keys` of a trust policy: what several runs print can stand one under another there. */
export function trustSnippet(id: string, alg: KeyAlgorithm, key: KeyObject, role: KeyRole = 'builder'): string {
  return `  - id: ${id}\n    alg: ${alg}\n    roles: [${role}]\n    spki: ${spkiBase64(key)}\n`;
}
