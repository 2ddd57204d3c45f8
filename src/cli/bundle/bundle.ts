import { join } from 'node:path';
import { family, type Member } from '../family.ts';
import type { Command, CommandIo } from '../io.ts';
import type { BundleSource } from './build.ts';

const COMMANDS: Readonly<Record<string, Member>> = {
  build: {
    what: 'check a bundle directory and write it as an artifact',
    load: async () => (await import('./build.ts')).buildCommand(loadDirectory),
  },
  sign: { what: 'sign a bundle and put the signature beside it', load: async () => (await import('./sign.ts')).run },
  verify: {
    what: 'verify as a gateway does, and print every step',
    load: async () => (await import('./verify.ts')).run,
  },
  inspect: { what: 'print what a bundle says of itself', load: async () => (await import('./inspect.ts')).run },
  diff: {
    what: 'print what another bundle changes, and ask a guardrail',
    load: async () => (await import('./diff.ts')).run,
  },
  push: {
    what: 'copy a bundle with its signatures to a registry',
    load: async () => (await import('./copy.ts')).copyCommand('push'),
  },
  pull: {
    what: 'copy a bundle with its signatures to a layout',
    load: async () => (await import('./copy.ts')).copyCommand('pull'),
  },
  copy: {
    what: 'copy a bundle with its signatures from any place to any other',
    load: async () => (await import('./copy.ts')).copyCommand('copy'),
  },
  tag: {
    what: 'point a tag at a bundle that is there: promote, or go back',
    load: async () => (await import('./tag.ts')).run,
  },
  channel: {
    what: 'the signed index that says which gateways run which bundle',
    load: async () => (await import('./channel.ts')).run,
  },
  log: { what: 'list the bundles of a place, newest first', load: async () => (await import('./log.ts')).run },
};

async function loadDirectory(directory: string, io: CommandIo, against?: string): Promise<BundleSource> {
  const { holdPromises, layersOf, proveFit, readBundleDirectory, releasePolicies } = await import(
    '../../control/build/bundle-directory.ts'
  );
  const { findOpa } = await import('../../control/policy/rego.ts');
  const { testsOf } = await import('../../control/policy/rego-tests.ts');
  const opa = findOpa(io.env['PATH'] ?? '');
  const bundle = await readBundleDirectory(directory, opa);
  if (opa === null)
    for (const { name, source } of bundle.config.policies.policies)
      if (testsOf(join(directory, source)) !== null)
        io.stderr(
          `note: the tests of policy ${name} were not run, for there is no \`opa\` on the PATH (openpolicyagent.org, 1.0 or newer)\n`,
        );
  if (against !== undefined) {
    const { readSide } = await import('./side.ts');
    holdPromises(bundle, (await readSide(against, { insecure: false }, io)).config);
  }
  await proveFit(bundle);
  const policies = releasePolicies(bundle);
  const release = policies.length === 0 ? bundle.release : { ...bundle.release, policies };
  return { release, layers: layersOf(bundle) };
}

/** `cnx bundle <command>`. */
export const run: Command = family('bundle', COMMANDS);
