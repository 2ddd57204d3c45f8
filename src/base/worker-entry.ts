/**
 * Where the code of a worker thread lies. From source it is the `.ts` file itself; the single binary carries each worker bundled into one file,
 * `<name>.cjs` in the directory of its assets, which the binary names once at start-up.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Workers by name: path of the source, from `src/`. The build bundles each of them. */
export const WORKERS = {
  lane: 'data/lane.ts',
  'policy-sandbox': 'control/policy/sandbox-worker.ts',
  'waf-worker': 'control/waf/waf-worker.ts',
} as const;

export type WorkerName = keyof typeof WORKERS;

let assets: string | null = null;

/** Says that the process is the single binary and where its assets lie. Called once, before any worker starts. */
export function useAssets(directory: string): void {
  assets = directory;
  // piscina, as bundled into the binary, looks for its worker here.
  (globalThis as { cnxAssets?: string }).cnxAssets = directory;
}

/** Directory of the assets; null when the gateway runs from its sources. */
export function assetsInUse(): string | null {
  return assets;
}

/** What `new Worker(...)` takes. */
export function workerEntry(name: WorkerName): URL {
  if (assets !== null) return pathToFileURL(join(assets, `${name}.cjs`));
  return new URL(`../${WORKERS[name]}`, import.meta.url);
}
