/** `cnx waf rules`: what a rule set holds. */
import { native } from '../../native.ts';
import type { WafRule } from '../../native/waf.ts';
import { command } from '../command.ts';
import type { Command } from '../io.ts';
import { openRules } from './rule-set.ts';

const HELP = `cnx waf rules <bundle directory | rules…> [--tag TAG] [--id ID[-ID]] [--all] [--json]

Lists rules by phase and in their order: id, phase, paranoia level, severity, message, and with --json tags, file and line.
Rules that never report (nolog) are listed with --all.
`;

export const run: Command = command({
  name: 'waf rules',
  help: HELP,
  options: {
    tag: { type: 'string' },
    id: { type: 'string' },
    all: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
  act: async ({ values, positionals, io }) => {
    const [from, to] = (values.id ?? '').split('-').map(Number);
    const set = await openRules(positionals, io.env['PATH']);
    try {
      const rules = native()
        .wafRules(set.program)
        .filter((r) => values.all || r.log)
        .filter((r) => values.tag === undefined || r.tags.includes(values.tag))
        .filter((r) => values.id === undefined || (r.id >= (from ?? 0) && r.id <= (to ?? from ?? 0)));
      io.stdout(values.json ? `${JSON.stringify(rules, null, 2)}\n` : table(rules));
      return 0;
    } finally {
      set.release();
    }
  },
});

const SEVERITIES = ['EMERGENCY', 'ALERT', 'CRITICAL', 'ERROR', 'WARNING', 'NOTICE', 'INFO', 'DEBUG'];

function table(rules: readonly WafRule[]): string {
  const rows = rules.map((r) => {
    const level = r.tags.map((t) => /^paranoia-level\/([1-4])$/.exec(t)?.[1]).find((l) => l !== undefined);
    return `${`${r.id}`.padEnd(8)}  ${r.phase}  ${level === undefined ? '  ' : `P${level}`}  ${(SEVERITIES[r.severity] ?? '-').padEnd(9)}  ${r.message}`.trimEnd();
  });
  return `${rows.map((row) => `${row}\n`).join('')}${rules.length} rule(s)\n`;
}
