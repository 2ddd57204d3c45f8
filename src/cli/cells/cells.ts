/** `cnx cells <command>`: where tenants live, before it is changed. */
import { family } from '../family.ts';
import type { Command } from '../io.ts';

export const run: Command = family('cells', {
  plan: {
    what: 'what adding or removing cells moves, and how even it is',
    load: async () => (await import('./plan.ts')).run,
  },
});
