/** Bundles for tests: written from objects into a source directory, then built and signed by the project's own commands. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run as bundleCommand } from '../../src/cli/bundle/bundle.ts';
import type { CommandIo } from '../../src/cli/io.ts';
import { run as keygenCommand } from '../../src/cli/keygen.ts';

/** The documents of a bundle, as an operator would write them; unset ones are left out. */
export interface BundleParts {
  readonly release?: object;
  readonly routes: object;
  readonly cells: object;
  readonly issuers?: object;
  readonly limits?: object;
  readonly policies?: object;
  readonly waf?: object;
  readonly defaults?: object;
  /** Rules, phrase files, policies: path in the bundle → content. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
}

export const PRODUCT = 'test';
export const CHANNEL = 'stable';

/** One public route for every host and path into one cell of these endpoints, WAF off. `more` replaces whole documents. */
export function plainBundle(endpoints: readonly (string | object)[], more: Partial<BundleParts> = {}): BundleParts {
  return {
    routes: {
      routes: [{ id: 'all', match: { path: { prefix: '/' } }, access: 'public', reason: 'everything, for a test' }],
    },
    cells: {
      cells: [{ id: 'one', endpoints: endpoints.map((one) => (typeof one === 'string' ? { address: one } : one)) }],
    },
    waf: { mode: 'off' },
    ...more,
  };
}

/** A key pair that `cnx keygen` made, and the trust policy that believes it. */
export interface SigningKey {
  readonly keyFile: string;
  readonly trust: object;
}

export async function makeKey(directory: string, id = 'test'): Promise<SigningKey> {
  const out = await command(keygenCommand, ['--out', directory, '--id', id]);
  const spki = /spki: (\S+)/.exec(out)?.[1];
  const alg = /alg: (\S+)/.exec(out)?.[1];
  if (spki === undefined || alg === undefined)
    throw new Error(`cnx keygen printed no entry for a trust policy:\n${out}`);
  return {
    keyFile: join(directory, `${id}.key`),
    trust: { product: PRODUCT, channel: CHANNEL, keys: [{ id, alg, roles: ['builder'], spki }] },
  };
}

/** Writes the parts as a bundle directory; what stood there before is gone. JSON is YAML, so the files say what an operator would. */
export function writeBundle(directory: string, parts: BundleParts): void {
  rmSync(directory, { recursive: true, force: true });
  const { files = {}, release, ...documents } = parts;
  const write = (path: string, content: string | Uint8Array): void => {
    const file = join(directory, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  };
  write('release.yaml', JSON.stringify({ product: PRODUCT, channels: [CHANNEL], ...release }));
  for (const [part, value] of Object.entries(documents))
    if (value !== undefined) write(`${part}.yaml`, JSON.stringify(value));
  for (const [path, content] of Object.entries(files)) write(path, content);
}

/** Builds a bundle directory into an OCI layout under the channel's tag, signed unless `keyFile` is undefined. Throws with what the command said. */
export async function buildBundle(source: string, layout: string, keyFile: string | undefined): Promise<string> {
  const out = await command(bundleCommand, [
    'build',
    source,
    '--out',
    `oci:${layout}:${CHANNEL}`,
    ...(keyFile === undefined ? [] : ['--key', keyFile]),
  ]);
  const digest = /sha256:[0-9a-f]{64}/.exec(out)?.[0];
  if (digest === undefined) throw new Error(`cnx bundle build named no digest:\n${out}`);
  return digest;
}

type Run = (args: string[], io: CommandIo) => Promise<number>;

/** Runs a command of the command line in this process; resolves with what it printed. */
async function command(run: Run, args: string[]): Promise<string> {
  let out = '';
  let errors = '';
  // A fixed time keeps the same sources on the same digest, and needs no git.
  const code = await run(args, {
    stdout: (text) => (out += text),
    stderr: (text) => (errors += text),
    env: { SOURCE_DATE_EPOCH: '1767225600' },
  });
  if (code !== 0) throw new Error(`cnx ${args[0] ?? ''} ended with ${code}:\n${errors}${out}`);
  return out;
}
