/**
 * One self-contained executable `dist/cnx`: the bundled code and the addons inside Node's own binary (single executable application). Beside it
 * `dist/cnx-assets/` holds the same assets as files, for container images with a read-only root.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { WORKERS } from '../src/base/worker-entry.ts';
import { ADDON, buildAddon } from './addon.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const work = join(dist, 'build');
const assets = join(dist, 'cnx-assets');
const require = createRequire(import.meta.url);

/** Fuse that Node looks for in its own binary (Node's documentation of single executable applications). */
const SEA_FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/** uWebSockets.js finds its addon by its own path; in a bundle it is loaded from the assets. */
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
    b.onLoad({ filter: /piscina\/dist\/index\.js$/ }, (args) => ({
      contents: readFileSync(args.path, 'utf8').replace(
        "(0, node_path_1.resolve)(__dirname, 'worker.js')",
        "(0, node_path_1.resolve)(globalThis.cnxAssets, 'piscina-worker.cjs')",
      ),
      loader: 'js',
    }));
  },
};

function uwsBinary(): string {
  const bin = join(dirname(fileURLToPath(import.meta.resolve('uWebSockets.js'))), 'bin');
  const name = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;
  if (!readdirSync(bin).includes(name))
    throw new Error(`uWebSockets.js carries no ${name}; run the build with the pinned Node (npm run build)`);
  return join(bin, name);
}

async function bundle(entry: string, out: string): Promise<void> {
  await build({
    entryPoints: [entry],
    outfile: out,
    bundle: true,
    platform: 'node',
    target: 'node22',
    format: 'cjs',
    legalComments: 'none',
    logLevel: 'error',
    // Only reached when the code runs from its sources.
    define: { 'import.meta.url': JSON.stringify('file:///cnx') },
    plugins: [uwsFromAssets, piscinaFromAssets],
  });
}

export async function buildBinary(): Promise<string> {
  buildAddon();
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  mkdirSync(assets, { recursive: true });
  console.error('bundling ...');
  await bundle(join(root, 'src/main.ts'), join(work, 'main.cjs'));
  for (const [name, path] of Object.entries(WORKERS))
    await bundle(join(root, 'src', path), join(assets, `${name}.cjs`));
  await bundle(join(dirname(require.resolve('piscina')), 'worker.js'), join(assets, 'piscina-worker.cjs'));
  copyFileSync(ADDON, join(assets, 'cnx.node'));
  copyFileSync(uwsBinary(), join(assets, 'uws.node'));

  const names = readdirSync(assets).sort();
  const digests = Object.fromEntries(
    names.map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(join(assets, name)))
        .digest('hex'),
    ]),
  );
  writeFileSync(join(work, 'manifest.json'), JSON.stringify(digests));
  writeFileSync(
    join(work, 'sea.json'),
    JSON.stringify({
      main: join(work, 'main.cjs'),
      output: join(work, 'cnx.blob'),
      disableExperimentalSEAWarning: true,
      useCodeCache: false,
      assets: {
        'manifest.json': join(work, 'manifest.json'),
        ...Object.fromEntries(names.map((n) => [n, join(assets, n)])),
      },
    }),
  );
  console.error('packing ...');
  execFileSync(process.execPath, ['--experimental-sea-config', join(work, 'sea.json')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const binary = join(dist, 'cnx');
  copyFileSync(process.execPath, binary);
  chmodSync(binary, 0o755);
  const postject = require('postject') as {
    inject(file: string, name: string, data: Buffer, o: object): Promise<void>;
  };
  await postject.inject(binary, 'NODE_SEA_BLOB', readFileSync(join(work, 'cnx.blob')), { sentinelFuse: SEA_FUSE });
  rmSync(work, { recursive: true });
  return binary;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const binary = await buildBinary();
  console.error(`built ${binary}`);
}
