/**
 * Rego to WASM. With the `opa` command at hand a policy is compiled from its source; without it the module that is checked in beside the source is taken,
 * as long as its record says that it was made of this very source. So a bundle can be built on a machine without OPA, and never from a stale module.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import capabilities from '../../config/opa-capabilities.json' with { type: 'json' };
import { PolicyError } from '../../policy/policy-error.ts';
import { MODULE_BYTES_MAX } from './inspect.ts';
import { readTarGz } from '../archive/tar.ts';

export interface RegoSource {
  /** Name of the policy, for errors. */
  readonly name: string;
  /** The `.rego` file. Its module is `<same>.wasm`, its record `<same>.wasm.json`. */
  readonly file: string;
  readonly rego: 'v0' | 'v1';
  /** E.g. `authz/allow`. */
  readonly entrypoints: readonly string[];
}

/** `<name>.wasm.json`: what a checked-in module was made of and with. */
export interface ModuleRecord {
  /** SHA-256 of the source, hex. */
  readonly source: string;
  /** SHA-256 of the module, hex. */
  readonly wasm: string;
  /** Version of OPA. */
  readonly opa: string;
  readonly entrypoints: readonly string[];
  readonly rego: 'v0' | 'v1';
}

export interface RegoModule {
  readonly wasm: Uint8Array<ArrayBuffer>;
  readonly record: ModuleRecord;
  /** True when it was compiled now, false when it is the one that lay beside the source. */
  readonly compiled: boolean;
}

/** Longest time that `opa build` may take. Unit: milliseconds. */
const OPA_TIMEOUT_MS = 60_000;
/** Most text that is read from it. Unit: bytes. */
const OPA_OUTPUT_BYTES_MAX = 1024 * 1024;

/** The `opa` command in a PATH, or null. */
export function findOpa(path: string | undefined): string | null {
  for (const dir of (path ?? '').split(delimiter)) {
    if (dir !== '' && existsSync(join(dir, 'opa'))) return join(dir, 'opa');
  }
  return null;
}

/** The module of a policy: compiled with `opa` when it is not null, else the checked-in one. Throws PolicyError with the mend. */
export async function moduleOf(source: RegoSource, opa: string | null): Promise<RegoModule> {
  const rego = await readFile(source.file);
  return opa === null ? checkedIn(source, sha256(rego)) : compile(source, rego, opa);
}

/** Checks a source with `opa check` against the schema of its input: what is read and never sent is found here, with file and line. Throws PolicyError. */
export async function checkInput(source: RegoSource, schema: object, opa: string): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'cnx-schema-'));
  try {
    const file = join(dir, 'input.json');
    await writeFile(file, JSON.stringify(schema));
    const args = ['check', '--schema', file];
    if (source.rego === 'v0') args.push('--v0-compatible');
    await run(source, opa, [...args, basename(source.file)], dirname(source.file));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Writes module and record beside the source, so that the policy can be built where OPA is not. */
export async function checkIn(source: RegoSource, module: RegoModule): Promise<void> {
  await replace(wasmPath(source), module.wasm);
  await replace(recordPath(source), `${JSON.stringify(module.record, null, 2)}\n`);
}

const wasmPath = (source: RegoSource): string => source.file.replace(/\.rego$/, '.wasm');
const recordPath = (source: RegoSource): string => `${wasmPath(source)}.json`;

async function checkedIn(source: RegoSource, digest: string): Promise<RegoModule> {
  const rebuild = `install OPA (openpolicyagent.org, 1.0 or newer) so that \`opa\` is on the PATH, and build again`;
  const stale = (what: string): PolicyError => new PolicyError('module_stale', source.name, `${what}; ${rebuild}`);
  const [wasmFile, recordFile] = [wasmPath(source), recordPath(source)];
  if (!existsSync(wasmFile) || !existsSync(recordFile)) {
    throw stale(
      `there is no module ${basename(wasmFile)} with its record ${basename(recordFile)} beside ${basename(source.file)}, and no \`opa\` to make it`,
    );
  }
  const record = readRecord(await readFile(recordFile, 'utf8'));
  if (record === null) throw stale(`the record ${basename(recordFile)} is not {source, wasm, opa, entrypoints, rego}`);
  const wasm = new Uint8Array(await readFile(wasmFile));
  if (record.source !== digest)
    throw stale(`${basename(source.file)} has changed since ${basename(wasmFile)} was made of it`);
  if (record.wasm !== sha256(wasm)) throw stale(`${basename(wasmFile)} is not the module that its record describes`);
  if (record.rego !== source.rego)
    throw stale(`${basename(wasmFile)} was made as rego ${record.rego}, the policy says ${source.rego}`);
  const missing = source.entrypoints.filter((e) => !record.entrypoints.includes(e));
  if (missing.length > 0) throw stale(`${basename(wasmFile)} was made without the entrypoint ${missing.join(', ')}`);
  return { wasm, record, compiled: false };
}

function readRecord(text: string): ModuleRecord | null {
  try {
    const r = JSON.parse(text) as Partial<Record<keyof ModuleRecord, unknown>> | null;
    const whole =
      r !== null &&
      [r.source, r.wasm, r.opa].every((v) => typeof v === 'string') &&
      (r.rego === 'v0' || r.rego === 'v1') &&
      Array.isArray(r.entrypoints) &&
      r.entrypoints.every((e) => typeof e === 'string');
    return whole ? (r as ModuleRecord) : null;
  } catch {
    return null;
  }
}

async function compile(source: RegoSource, rego: Uint8Array, opa: string): Promise<RegoModule> {
  const dir = await mkdtemp(join(tmpdir(), 'cnx-rego-'));
  try {
    const capabilitiesFile = join(dir, 'capabilities.json');
    const bundle = join(dir, 'bundle.tar.gz');
    await writeFile(capabilitiesFile, JSON.stringify(capabilities));
    const args = ['build', '-t', 'wasm', '--capabilities', capabilitiesFile, '-o', bundle];
    if (source.rego === 'v0') args.push('--v0-compatible');
    for (const entrypoint of source.entrypoints) args.push('-e', entrypoint);
    // Beside its source and by its bare name: OPA writes the path that it is given into the module.
    await run(source, opa, [...args, basename(source.file)], dirname(source.file));
    const wasm = readTarGz(await readFile(bundle), ['policy.wasm']).get('policy.wasm');
    if (wasm === undefined || wasm.length > MODULE_BYTES_MAX) {
      throw new PolicyError(
        'bundle_malformed',
        source.name,
        `\`opa build\` gave no policy.wasm of at most ${MODULE_BYTES_MAX} bytes`,
      );
    }
    const version = /^Version: *(\S+)/m.exec(await run(source, opa, ['version'], dir))?.[1] ?? 'unknown';
    const record = {
      source: sha256(rego),
      wasm: sha256(wasm),
      opa: version,
      entrypoints: source.entrypoints,
      rego: source.rego,
    };
    return { wasm, record, compiled: true };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function run(source: RegoSource, opa: string, args: readonly string[], cwd: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd, timeout: OPA_TIMEOUT_MS, maxBuffer: OPA_OUTPUT_BYTES_MAX, encoding: 'utf8' } as const;
    execFile(opa, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else {
        const said = `${stderr}${stdout}`.trim() || error.message;
        reject(new PolicyError('compile_failed', source.name, `\`opa ${args[0] ?? ''}\` failed: ${said}${hint(said)}`));
      }
    });
  });
}

/** The mend for what OPA cannot know: our list of built-ins. */
function hint(said: string): string {
  if (said.includes('undefined ref: input')) return '; the policy sees only the fields that it names under `input`';
  if (said.includes('undefined function')) return '; policies may call only the built-ins of docs/policy.md';
  return said.includes('rego_parse_error') ? '; is the source of the language version that `rego` says?' : '';
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function replace(file: string, content: Uint8Array | string): Promise<void> {
  const part = `${file}.${process.pid}`;
  await writeFile(part, content);
  await rename(part, file);
}
