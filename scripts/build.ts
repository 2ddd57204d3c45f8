/**
 * One self-contained executable `dist/cnx`: the bundled code and the addons inside Node's own binary (single executable application). Beside it
 * `dist/cnx-assets/` holds the same assets as files, for container images with a read-only root.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire, isBuiltin } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { WORKERS } from '../src/base/worker-entry.ts';
import { ADDON, addonIsFresh, buildAddon } from './addon.ts';
import { newestChange } from './newest.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
export const BINARY = join(dist, 'cnx');
const require = createRequire(import.meta.url);

/** Fuse that Node looks for in its own binary (Node's documentation of single executable applications). */
const SEA_FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/** uWebSockets.js finds its addon by its own path; in a bundle it is loaded from the assets, beside the lane's code. */
const uwsFromAssets: Plugin = {
  name: 'uws-from-assets',
  setup(b) {
    b.onResolve({ filter: /^uWebSockets\.js$/ }, () => ({ path: 'uws', namespace: 'asset' }));
    b.onLoad({ filter: /^uws$/, namespace: 'asset' }, () => ({
      contents: `const loaded = { exports: {} };
process.dlopen(loaded, require('node:path').join(__dirname, 'uws.node'));
module.exports = loaded.exports;`,
      loader: 'js',
    }));
  },
};

/** piscina starts its worker from a file beside itself; in the binary that file is an asset. */
const piscinaFromAssets: Plugin = {
  name: 'piscina-from-assets',
  setup(b) {
    const entry = JSON.stringify(join(root, 'src/base/worker-entry.ts'));
    b.onLoad({ filter: /piscina\/dist\/index\.js$/ }, (args) => ({
      contents: replaceOnce(
        readFileSync(args.path, 'utf8'),
        "(0, node_path_1.resolve)(__dirname, 'worker.js')",
        `(0, node_path_1.resolve)(require(${entry}).assetsInUse(), 'piscina-worker.cjs')`,
      ),
      loader: 'js',
    }));
  },
};

/** Optional parts of dependencies, asked for inside a `try`. Left to run time, they would be looked for in every `node_modules` above the assets: in /tmp too. */
const OPTIONAL = ['@napi-rs/nice', 'bufferutil', 'utf-8-validate'];
const optionalAbsent: Plugin = {
  name: 'optional-absent',
  setup(b) {
    b.onResolve({ filter: new RegExp(`^(${OPTIONAL.join('|')})$`) }, ({ path }) => ({ path, namespace: 'absent' }));
    b.onLoad({ filter: /.*/, namespace: 'absent' }, ({ path }) => ({
      contents: `throw new Error(${JSON.stringify(`${path} is not part of the binary`)});`,
      loader: 'js',
    }));
  },
};

/** Replaces what must occur exactly once: a new version of a dependency shall fail the build, not the gateway. */
export function replaceOnce(text: string, from: string, to: string): string {
  const parts = text.split(from);
  if (parts.length !== 2) throw new Error(`expected once, found ${parts.length - 1} times: ${from}`);
  return parts.join(to);
}

function uwsBinary(): string {
  const bin = join(dirname(fileURLToPath(import.meta.resolve('uWebSockets.js'))), 'bin');
  const name = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;
  if (!readdirSync(bin).includes(name))
    throw new Error(`uWebSockets.js carries no ${name}; run the build with the pinned Node (npm run build)`);
  return join(bin, name);
}

async function bundle(entry: string, out: string): Promise<void> {
  const { metafile } = await build({
    entryPoints: [entry],
    outfile: out,
    bundle: true,
    platform: 'node',
    target: 'node22',
    format: 'cjs',
    legalComments: 'none',
    // A thread keeps its source: without comments it is a third, and one byte a character. Names stay, and lines short, for stacks.
    minifyWhitespace: true,
    lineLimit: 160,
    logLevel: 'error',
    metafile: true,
    // Only reached when the code runs from its sources.
    define: { 'import.meta.url': JSON.stringify('file:///cnx') },
    plugins: [uwsFromAssets, piscinaFromAssets, optionalAbsent],
  });
  const outside = Object.values(metafile.outputs)
    .flatMap((output) => output.imports)
    .filter((i) => i.external === true && !isBuiltin(i.path))
    .map((i) => i.path);
  if (outside.length > 0) throw new Error(`${entry} would look for ${outside.join(', ')} outside the binary`);
}

/** SHA-256 (hex) of every file in `dir`, by name. */
export function manifestOf(dir: string): Record<string, string> {
  const digest = (name: string): string =>
    createHash('sha256')
      .update(readFileSync(join(dir, name)))
      .digest('hex');
  return Object.fromEntries(
    readdirSync(dir)
      .sort()
      .map((name) => [name, digest(name)]),
  );
}

/** True when `dist/cnx` is there and newer than all that it is made from. */
export function binaryIsFresh(): boolean {
  if (!existsSync(BINARY) || !addonIsFresh()) return false;
  const from = ['src', 'package-lock.json', 'scripts/build.ts', 'native/cnx.node'].map((p) => join(root, p));
  return statSync(BINARY).mtimeMs >= Math.max(...from.map((path) => newestChange(path)));
}

/** Builds the binary and returns its path. What stood in `dist/` stays until all is made. */
export async function buildBinary(): Promise<string> {
  buildAddon();
  const work = join(dist, `build-${process.pid}`);
  const assets = join(work, 'cnx-assets');
  mkdirSync(assets, { recursive: true });
  try {
    console.error('▸ bundling the code');
    await bundle(join(root, 'src/main.ts'), join(work, 'main.cjs'));
    for (const [name, path] of Object.entries(WORKERS))
      await bundle(join(root, 'src', path), join(assets, `${name}.cjs`));
    await bundle(join(dirname(require.resolve('piscina')), 'worker.js'), join(assets, 'piscina-worker.cjs'));
    copyFileSync(ADDON, join(assets, 'cnx.node'));
    copyFileSync(uwsBinary(), join(assets, 'uws.node'));
    console.error('▸ packing it into one executable');
    const binary = pack(work, assets);
    rmSync(join(dist, 'cnx-assets'), { recursive: true, force: true });
    renameSync(assets, join(dist, 'cnx-assets'));
    renameSync(binary, BINARY);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return BINARY;
}

/** Runs Node; what it prints is shown when it fails. */
function run(...args: string[]): void {
  execFileSync(process.execPath, args, { stdio: 'pipe' });
}

/** Node's own binary with the code and the assets in it. */
function pack(work: string, assets: string): string {
  const manifest = manifestOf(assets);
  // The binary uses files beside it only when nobody else can write them, whatever the umask of who built it.
  chmodSync(assets, 0o755);
  for (const name of Object.keys(manifest)) chmodSync(join(assets, name), 0o644);
  writeFileSync(join(work, 'manifest.json'), JSON.stringify(manifest));
  writeFileSync(
    join(work, 'sea.json'),
    JSON.stringify({
      main: join(work, 'main.cjs'),
      output: join(work, 'cnx.blob'),
      disableExperimentalSEAWarning: true,
      useCodeCache: false,
      assets: {
        'manifest.json': join(work, 'manifest.json'),
        ...Object.fromEntries(Object.keys(manifest).map((name) => [name, join(assets, name)])),
      },
    }),
  );
  run('--experimental-sea-config', join(work, 'sea.json'));
  const binary = join(work, 'cnx');
  copyFileSync(process.execPath, binary);
  chmodSync(binary, 0o755);
  // Its warnings about sections of Node's binary that it does not know are of no use here; a failure shows them.
  run(
    require.resolve('postject/dist/cli.js'),
    binary,
    'NODE_SEA_BLOB',
    join(work, 'cnx.blob'),
    '--sentinel-fuse',
    SEA_FUSE,
  );
  return binary;
}

if (import.meta.filename === process.argv[1]) console.error(`built ${await buildBinary()}`);
