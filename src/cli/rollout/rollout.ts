/** `cnx rollout <command>`: new bundles on running gateways. */
import { family, type Member } from '../family.ts';
import type { Command } from '../io.ts';

const COMMANDS: Readonly<Record<string, Member>> = {
  run: {
    what: 'bring a bundle to all gateways of a channel step by step, and take it back from all (for CI)',
    load: async () => (await import('./run.ts')).run,
  },
  status: {
    what: 'what a gateway runs, what it tries, and why',
    load: async () => (await import('./one.ts')).status,
  },
  history: {
    what: 'what has happened to its bundles and who asked for it',
    load: async () => (await import('./one.ts')).history,
  },
  rollback: {
    what: 'take back what it tries, else go back to the bundle before',
    load: async () => (await import('./one.ts')).rollback,
  },
  pin: {
    what: 'keep it on one bundle for a time, whatever the source names',
    load: async () => (await import('./one.ts')).pin,
  },
  unpin: { what: 'let the source count again', load: async () => (await import('./one.ts')).unpin },
};

/** `cnx rollout <command>`. */
export const run: Command = family('rollout', COMMANDS);
