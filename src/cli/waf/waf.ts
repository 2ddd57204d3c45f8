/** `cnx waf <command>`: rule sets and requests, without a gateway. */
import { family, type Member } from '../family.ts';
import type { Command } from '../io.ts';

const COMMANDS: Readonly<Record<string, Member>> = {
  crs: {
    what: 'put a release of the OWASP Core Rule Set into a bundle directory',
    load: async () => (await import('./crs.ts')).run,
  },
  test: {
    what: 'run one request through the rules and tell what they say of it',
    load: async () => (await import('./test.ts')).run,
  },
  rules: { what: 'list the rules of a bundle directory', load: async () => (await import('./rules.ts')).run },
  tune: {
    what: 'propose exclusions out of a log, the most frequent first',
    load: async () => (await import('./tune.ts')).run,
  },
};

/** `cnx waf <command>`. */
export const run: Command = family('waf', COMMANDS);
