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
  rehearsal: 'data/rehearsal/rehearsal-worker.ts',
  'waf-worker': 'control/waf/waf-worker.ts',
} as const;

export type WorkerName = keyof typeof WORKERS;

let find: (() => string) | null = null;
let found: string | null = null;

/**
 * Says that the process is the single binary, and how its assets are found: when the first of them is needed, since commands that need none shall start
 * fast. Called once, before any worker starts.
 */
export function useAssets(directory: () => string): void {
  find = directory;
}

/** Directory of the assets; null when the gateway runs from its sources. */
export function assetsInUse(): string | null {
  if (find !== null) found ??= find();
  return found;
}

/** What `new Worker(...)` takes. */
export function workerEntry(name: WorkerName): URL {
  const assets = assetsInUse();
  if (assets !== null) return pathToFileURL(join(assets, `${name}.cjs`));
  return new URL(`../${WORKERS[name]}`, import.meta.url);
}
