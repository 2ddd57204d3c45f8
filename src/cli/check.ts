/** `cnx check`: every problem of a bundle directory (or of a bootstrap) at once, with file, line, path and mend. */
import { readFileSync, statSync } from 'node:fs';
import { readBootstrap } from '../config/bootstrap-file.ts';
import { ConfigError, renderProblem } from '../config/document.ts';
import { checkBundleDirectory } from '../control/build/bundle-directory.ts';
import { changeOf } from '../control/guardrail/change.ts';
import { findOpa } from '../control/policy/rego.ts';
import { readSide } from './bundle/side.ts';
import { command, HelpWanted } from './command.ts';
import type { Command } from './io.ts';

const HELP = `usage: cnx check <bundle directory | bootstrap file> [--against <ref|dir>]

Checks all documents of a bundle directory (release, routes, cells, issuers, limits, policies, waf, defaults, tests; YAML or JSON), the references between them
and the files they name, and plays its tests; or a bootstrap file. What is allowed and
probably not meant is a warning. With --against, policies are held to what they promised in that release, and what changes is printed as \`cnx bundle diff\` does. Exit code 0: nothing wrong; 1: problems; 2: wrong usage.
`;

export const run: Command = command({
  name: 'check',
  help: HELP,
  options: { against: { type: 'string' } },
  bare: true,
  act: async ({ values, positionals, io }) => {
    const [place] = positionals;
    if (place === undefined) throw new HelpWanted();
    let problems: readonly string[];
    let what: string;
    if (statSync(place).isDirectory()) {
      const former = values.against === undefined ? undefined : await readSide(values.against, { insecure: false }, io);
      const result = await checkBundleDirectory(place, findOpa(io.env['PATH']), former?.config);
      problems = result.problems.map(renderProblem);
      for (const warning of result.warnings) io.stderr(`warning: ${warning}\n`);
      what = result.summary;
      if (former !== undefined && problems.length === 0) {
        const change = changeOf(former, await readSide(place, { insecure: false }, io), 'forward');
        io.stdout(`${JSON.stringify(change, null, 2)}\n`);
        io.stderr(`ok: ${what}\n`);
        return 0;
      }
    } else {
      try {
        const b = readBootstrap(place, readFileSync(place, 'utf8'));
        problems = [];
        what = `a bootstrap with ${b.listeners.length} listener(s), bundles from ${b.bundle.source}`;
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        problems = error.problems.map(renderProblem);
        what = '';
      }
    }
    for (const p of problems) io.stderr(`${p}\n`);
    if (problems.length === 0) io.stdout(`ok: ${what}\n`);
    else io.stderr(`${problems.length} problem(s)\n`);
    return problems.length === 0 ? 0 : 1;
  },
});
