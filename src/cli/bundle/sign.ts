import { createPublicKey, type KeyObject } from 'node:crypto';
import type { Digest } from '../../control/oci/digest.ts';
import { type ArtifactPlace, signBundle } from '../../control/oci/publish.ts';
import { fingerprintOf } from '../../control/trust/policy.ts';
import { command, onlyPositional, UsageError } from '../command.ts';
import type { Command } from '../io.ts';
import { digestOfReference, openReference, PLACE_HELP, PLACE_OPTIONS, readSigningKey } from './place.ts';

const HELP = `cnx bundle sign <ref> --key FILE

Signs the bundle with a private key (PKCS#8 PEM, from cnx keygen) and puts the signature beside it: a Sigstore bundle
v0.3 as an OCI referrer, which cosign verifies as well. Signing again with another key adds a signature.

${PLACE_HELP}`;

export const run: Command = signing('bundle sign', HELP, signBundle);

/** A command that puts a signature beside what a reference names. `sign`: true when there was none of this key. */
export function signing(
  name: string,
  help: string,
  sign: (place: ArtifactPlace, digest: Digest, key: KeyObject) => Promise<boolean>,
): Command {
  return command({
    name,
    help,
    options: { ...PLACE_OPTIONS, key: { type: 'string' } },
    act: async ({ values, positionals, io }) => {
      const text = onlyPositional(positionals, '<ref>');
      if (values.key === undefined) throw new UsageError('--key FILE is missing');
      const key = await readSigningKey(values.key);
      const opened = await openReference(text, values, io);
      try {
        const digest = await digestOfReference(opened);
        const added = await sign(opened.place, digest, key);
        io.stdout(`${added ? 'signed  ' : 'already '} ${digest}\nkey      ${fingerprintOf(createPublicKey(key))}\n`);
      } finally {
        await opened.place.close();
      }
      return 0;
    },
  });
}
