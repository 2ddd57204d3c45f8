import { Rejection } from '../../control/oci/rejection.ts';
import type { VerifyStep } from '../../control/trust/verify.ts';
import { command, onlyPositional, UsageError } from '../command.ts';
import type { Command } from '../io.ts';
import { digestOfReference, openReference, PLACE_HELP, PLACE_OPTIONS, verifyNow } from './place.ts';

const HELP = `cnx bundle verify <ref> --trust FILE

Verifies a bundle as a new gateway with this trust policy would, and prints every step. What the layers say is not
judged here (cnx check does that for a directory). Exit code 0 when it would be taken, 1 when not.

${PLACE_HELP}`;

export const run: Command = command({
  name: 'bundle verify',
  help: HELP,
  options: { ...PLACE_OPTIONS, trust: { type: 'string' } },
  act: async ({ values, positionals, io }) => {
    const text = onlyPositional(positionals, '<ref>');
    if (values.trust === undefined) throw new UsageError('--trust FILE is missing');
    const opened = await openReference(text, values, io);
    try {
      const digest = await digestOfReference(opened);
      await verifyNow(opened.place, digest, values.trust, (step) => io.stdout(line('ok', step)));
      io.stdout(`verified ${digest}\n`);
      return 0;
    } catch (error) {
      if (!(error instanceof Rejection)) throw error;
      io.stdout(`NO   ${error.code}: ${error.message}\n`);
      return 1;
    } finally {
      await opened.place.close();
    }
  },
});

function line(verdict: string, step: VerifyStep): string {
  return `${verdict.padEnd(5)}${step.name.padEnd(12)}${step.sentence}\n`;
}
