/** `cnx routes`: the compiled route table of a bundle directory, in the order in which routes are tried. */
import { readBundleDirectory } from '../control/build/bundle-directory.ts';
import { routeRows } from '../control/build/route-rows.ts';
import { findOpa } from '../control/policy/rego.ts';
import { command, HelpWanted } from './command.ts';
import type { Command } from './io.ts';

const HELP = `usage: cnx routes <bundle directory> [--json]

Prints the compiled table, the most specific route first: what is matched, who may enter, where it goes.
A running gateway shows its own under /v1/routes on the admin listener.
`;

export const run: Command = command({
  name: 'routes',
  help: HELP,
  options: { json: { type: 'boolean', default: false } },
  bare: true,
  act: async ({ values, positionals, io }) => {
    const [dir] = positionals;
    if (dir === undefined) throw new HelpWanted();
    const bundle = await readBundleDirectory(dir, findOpa(io.env['PATH']));
    const rows = await routeRows(bundle);
    if (values.json) {
      io.stdout(`${JSON.stringify(rows, null, 2)}\n`);
      return 0;
    }
    const cells = rows.map((r) => [r.host, r.path, r.methods, r.id, r.access, r.waf, r.limits, r.to]);
    const table = [['HOST', 'PATH', 'METHODS', 'ROUTE', 'ACCESS', 'WAF', 'LIMITS', 'TO'], ...cells];
    const widths = (table[0] ?? []).map((_, column) => Math.max(...table.map((row) => (row[column] ?? '').length)));
    io.stdout(
      `${table
        .map((row) =>
          row
            .map((cell, i) => cell.padEnd(widths[i] ?? 0))
            .join('  ')
            .trimEnd(),
        )
        .join('\n')}\n`,
    );
    return 0;
  },
});
