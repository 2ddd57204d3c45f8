/** A bundle as a directory of documents, rules and policies: read, checked whole, and turned into the layers of an artifact. */
import { isUtf8 } from 'node:buffer';
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { extname, join, relative } from 'node:path';
import type { BundleConfig, Part } from '../../config/bundle.ts';
import { PART_NAMES, readBundle } from '../../config/bundle.ts';
import { ConfigError, Document, type Problem } from '../../config/document.ts';
import { suggestion } from '../../config/nearest.ts';
import { readRelease, type ReleaseConfig } from '../../config/release.ts';
import { native } from '../../native.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import { EndpointSlots } from '../health/slots.ts';
import { compileBundle } from '../compile/compile.ts';
import type { LayerInput } from '../oci/artifact.ts';
import type { ReleasePolicy } from '../oci/release.ts';
import { LAYERS, POLICY_ANNOTATION, WEB_TITLE } from '../oci/media-types.ts';
import { checkAgainst } from '../policy/contract.ts';
import { rehearse } from '../rehearsal/rehearse.ts';
import { webFiles } from './web-files.ts';
import { wafWarnings } from './waf-warnings.ts';
import { warningsOf } from './warnings.ts';
import { crsFiles } from './crs.ts';
import { modulesOf, type PolicyModule } from './policies.ts';

const EXTENSIONS = ['.yaml', '.yml', '.json'];

/** Rules, phrase files and modules that the documents name, by their path in the bundle. */
export interface BundleFiles {
  readonly seclang: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  readonly seclangData: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  /** What routes answer with; absent: nothing. */
  readonly web?: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  /** By policy name. */
  readonly modules: ReadonlyMap<string, PolicyModule>;
}

export interface BundleDirectory {
  readonly release: ReleaseConfig;
  readonly config: BundleConfig;
  readonly documents: ReadonlyMap<Part, Document>;
  readonly files: BundleFiles;
}

/** Reads and checks a directory. `opa` is the path of OPA's command, or null: then checked-in modules are taken. Throws `ConfigError` with every problem. */
export async function readBundleDirectory(dir: string, opa: string | null): Promise<BundleDirectory> {
  const problems: Problem[] = [];
  const unread: Problem[] = [];
  const documents = new Map<Part, Document>();
  let release: ReleaseConfig | undefined;
  let hasRelease = false;
  const known = ['release', ...PART_NAMES];
  for (const entry of readdirSync(dir).sort()) {
    const extension = extname(entry);
    if (!EXTENSIONS.includes(extension) || !statSync(join(dir, entry)).isFile()) continue;
    const part = entry.slice(0, -extension.length);
    if (!known.includes(part)) {
      problems.push({
        file: join(dir, entry),
        line: 0,
        column: 0,
        path: '',
        message: `not a document of a bundle${suggestion(part, known)}`,
      });
      continue;
    }
    const bytes = readFileSync(join(dir, entry));
    const doc = new Document(join(dir, entry), bytes.toString('utf8'));
    const torn = notUtf8(doc.file, bytes);
    if (torn !== null) unread.push(torn);
    if (part !== 'release') {
      const before = documents.get(part as Part);
      if (before !== undefined)
        problems.push(doc.problem('', `${before.file} already says the same part; keep one of them`));
      documents.set(part as Part, doc);
      continue;
    }
    hasRelease = true;
    const result = readRelease(doc);
    if (result.ok) release = result.value;
    else problems.push(...result.problems);
  }
  // What replaces the wrong bytes would be taken for what somebody wrote: nothing more is said of such a document.
  if (unread.length > 0) throw new ConfigError(unread);
  if (release === undefined && !hasRelease) {
    problems.push({ file: join(dir, 'release.yaml'), line: 0, column: 0, path: '', message: 'the file is missing' });
  }
  const bundle = readBundle(documents);
  if (!bundle.ok) throw new ConfigError([...problems, ...bundle.problems]);
  const files = await filesOf(dir, opa, bundle.value, bundle.documents, problems);
  if (problems.length > 0 || release === undefined) throw new ConfigError(problems);
  return { release, config: bundle.value, documents: bundle.documents, files };
}

/** The first line that is not UTF-8. No byte of a longer character is the end of a line. */
function notUtf8(file: string, bytes: Buffer): Problem | null {
  if (isUtf8(bytes)) return null;
  const message = 'not UTF-8; save the file in that encoding';
  let line = 1;
  for (let from = 0; from < bytes.length; line++) {
    const end = bytes.indexOf(0x0a, from);
    const text = bytes.subarray(from, end < 0 ? bytes.length : end);
    if (!isUtf8(text)) return { file, line, column: text.toString('utf8').indexOf('\ufffd') + 1, path: '', message };
    from += text.length + 1;
  }
  return { file, line: 0, column: 0, path: '', message };
}

async function filesOf(
  dir: string,
  opa: string | null,
  config: BundleConfig,
  documents: ReadonlyMap<Part, Document>,
  problems: Problem[],
): Promise<BundleFiles> {
  const root = realpathSync(dir);
  const load = (part: Part, path: string, name: string): Uint8Array | null => {
    const file = join(root, name);
    const doc = documents.get(part);
    if (!existsSync(file)) {
      if (doc !== undefined) problems.push(doc.problem(path, `there is no file "${name}" in the bundle directory`));
      return null;
    }
    if (relative(root, realpathSync(file)).startsWith('..')) {
      if (doc !== undefined) problems.push(doc.problem(path, `"${name}" leads out of the bundle directory`));
      return null;
    }
    return readFileSync(file);
  };
  const all = (list: 'rules' | 'data'): { name: string; bytes: Uint8Array }[] =>
    config.waf[list].flatMap((name, i) => {
      if (typeof name !== 'string') return [];
      const bytes = load('waf', `/${list}/${i}`, name);
      return bytes === null ? [] : [{ name, bytes }];
    });
  const crs = crsFiles(root, config.waf, load, (path, message) => {
    const doc = documents.get('waf');
    if (doc !== undefined) problems.push(doc.problem(path, message));
  });
  const seclang = [...crs.rules, ...all('rules')];
  const seclangData = [...crs.data, ...all('data')];
  const modules = await modulesOf(root, config.policies, opa, load, (path, message) => {
    const doc = documents.get('policies');
    if (doc !== undefined) problems.push(doc.problem(path, message));
  });
  const web = webFiles(root, config, (part, path, message) => {
    const doc = documents.get(part);
    if (doc !== undefined) problems.push(doc.problem(path, message));
  });
  return { seclang, seclangData, web, modules };
}

/** The layers of an artifact, one per part and file. */
export function layersOf(b: BundleDirectory): LayerInput[] {
  const encode = (text: string): Uint8Array => Buffer.from(text, 'utf8');
  // Bundles without tests stay as they were, and gateways of before can read them.
  const parts = PART_NAMES.filter((part) => part !== 'tests' || b.config.tests.tests.length > 0);
  const layers: LayerInput[] = parts.map((part) => ({
    mediaType: LAYERS[part].mediaType,
    title: `${part}.json`,
    bytes: encode(JSON.stringify(b.documents.get(part)?.value ?? {})),
  }));
  for (const f of b.files.seclang) layers.push({ mediaType: LAYERS.seclang.mediaType, title: f.name, bytes: f.bytes });
  for (const f of b.files.seclangData)
    layers.push({ mediaType: LAYERS.seclangData.mediaType, title: f.name, bytes: f.bytes });
  for (const f of b.files.web ?? [])
    layers.push({ mediaType: LAYERS.file.mediaType, title: `${WEB_TITLE}${f.name}`, bytes: f.bytes });
  for (const [name, m] of b.files.modules) {
    const annotations = { [POLICY_ANNOTATION]: name };
    layers.push({ mediaType: LAYERS.wasm.mediaType, title: `${name}.wasm`, bytes: m.wasm, annotations });
    layers.push({
      mediaType: LAYERS.opaData.mediaType,
      title: `${name}.data.json`,
      bytes: encode(m.data),
      annotations,
    });
  }
  return layers;
}

/** What policies promised in a former release and break. Throws `ConfigError` with all of it. */
export function holdPromises(b: BundleDirectory, former: BundleConfig): void {
  const problems: Problem[] = [];
  const doc = b.documents.get('policies');
  checkAgainst(former.policies, b.config.policies, (index, path, message) => {
    if (doc !== undefined) problems.push(doc.problem(`/policies/${index}${path}`, message));
  });
  if (problems.length > 0) throw new ConfigError(problems);
}

/** What the release document says of the policies. */
export function releasePolicies(b: BundleDirectory): ReleasePolicy[] {
  return b.config.policies.policies.map(({ name, entrypoints, input }) => {
    const digest = b.files.modules.get(name)?.sourceDigest ?? '';
    return { name, entrypoints, inputProjection: input, ...(digest === '' ? {} : { sourceDigest: digest }) };
  });
}

/**
 * Compiles a bundle as a gateway does before it serves, and plays its tests. Throws `ConfigError` with all that is wrong: what only a gateway would find is found where it can be
 * mended. Secrets are assumed to be mapped.
 */
export async function proveFit(b: BundleDirectory): Promise<void> {
  const failed = await compiled(b, (snapshot) => rehearse(b.config, b.documents, snapshot));
  if (failed.length > 0) throw new ConfigError(failed);
}

/** What `use` makes of the compiled bundle, which is let go afterwards. */
async function compiled<T>(b: BundleDirectory, use: (snapshot: Snapshot) => Promise<T>): Promise<T> {
  const whole = await compileBundle(b.config, b.documents, b.files, { kind: 'check' }, native(), noSlots());
  try {
    return await use(whole.snapshot);
  } finally {
    whole.release();
  }
}

/** Every problem of a directory, also those that only compiling finds (rules, routes, policies). Secrets are assumed to be mapped. */
export async function checkBundleDirectory(
  dir: string,
  opa: string | null,
  former?: BundleConfig,
): Promise<{ readonly problems: readonly Problem[]; readonly warnings: readonly string[]; readonly summary: string }> {
  try {
    const b = await readBundleDirectory(dir, opa);
    if (former !== undefined) holdPromises(b, former);
    const { failed, warnings } = await compiled(b, async (snapshot) => {
      const rules = snapshot.waf === -1 ? [] : native().wafRules(snapshot.waf);
      return {
        failed: await rehearse(b.config, b.documents, snapshot),
        warnings: [...warningsOf(b, snapshot, native()), ...(rules.length === 0 ? [] : wafWarnings(b.config, rules))],
      };
    });
    const c = b.config;
    const tests = c.tests.tests.length;
    return {
      problems: failed,
      warnings,
      summary: `${c.routes.routes.length} route(s), ${c.cells.cells.length} cell(s), ${c.issuers.issuers.length} issuer(s), ${c.limits.limits.length} limit(s), ${c.policies.policies.length} policy(ies), ${b.files.seclang.length} rule file(s)${tests === 0 ? '' : `, ${tests} test(s) passed`}`,
    };
  } catch (error) {
    if (error instanceof ConfigError) return { problems: error.problems, warnings: [], summary: '' };
    throw error;
  }
}

/** Rows of a table that nobody reads. */
export function noSlots(): EndpointSlots {
  return new EndpointSlots({ columns: new EndpointColumns(EndpointColumns.create()), laneCount: 1, now: Date.now });
}
