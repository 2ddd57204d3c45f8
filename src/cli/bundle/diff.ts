import { changeOf } from '../../control/guardrail/change.ts';
import { askGuardrail } from '../../control/guardrail/guardrail.ts';
import { command, UsageError } from '../command.ts';
import type { Command } from '../io.ts';
import { PLACE_HELP, PLACE_OPTIONS } from './place.ts';
import { readSide } from './side.ts';

const HELP = `cnx bundle diff <before> <after> [--guardrail MODULE [--entrypoint RULE] [--data FILE]]

Prints what <after> changes, as JSON: exactly what the guardrail of a gateway gets as input (docs/guardrail.md). Each of them is a bundle
directory or a <ref>, which is not verified; of a channel index what is stable is compared.

  --guardrail    asks this policy (.wasm); its reasons go to stderr, and the exit code is 1 when there are any
  --entrypoint   its rule; guardrail/deny unless told
  --data         JSON that it has as data
  --rollback     going back: \`direction\` says so

${PLACE_HELP}`;

export const run: Command = command({
  name: 'bundle diff',
  help: HELP,
  options: {
    ...PLACE_OPTIONS,
    guardrail: { type: 'string' },
    entrypoint: { type: 'string', default: 'guardrail/deny' },
    data: { type: 'string' },
    rollback: { type: 'boolean', default: false },
  },
  act: async ({ values, positionals, io }) => {
    const [before, after, extra] = positionals;
    if (before === undefined || after === undefined || extra !== undefined)
      throw new UsageError('<before> and <after> are expected');
    const change = changeOf(
      await readSide(before, values, io),
      await readSide(after, values, io),
      values.rollback ? 'rollback' : 'forward',
    );
    io.stdout(`${JSON.stringify(change, null, 2)}\n`);
    if (values.guardrail === undefined) return 0;
    const reasons = await askGuardrail(
      {
        moduleFile: values.guardrail,
        entrypoint: values.entrypoint,
        ...(values.data === undefined ? {} : { dataFile: values.data }),
      },
      change,
    );
    for (const reason of reasons) io.stderr(`denied: ${reason}\n`);
    return reasons.length === 0 ? 0 : 1;
  },
});
