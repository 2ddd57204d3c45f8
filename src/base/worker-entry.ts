/**
 * Where the code of a worker thread lies. From source it is the `.ts` file beside the others; the single binary has no files, so its build
 * replaces the resolver at start-up (`setWorkerResolver`) by one that hands out the embedded code.
 */

/** Workers by name: path of the source file, from this directory. The build bundles each of them. */
export const WORKERS = {
  'policy-sandbox': '../control/policy/sandbox-worker.ts',
} as const;

export type WorkerName = keyof typeof WORKERS;

/** What `new Worker(...)` takes. */
export type WorkerResolver = (name: WorkerName) => URL | string;

let resolve: WorkerResolver = (name) => new URL(WORKERS[name], import.meta.url);

/** Replaces the look-up for the whole process. Called once by the binary, before any worker starts. */
export function setWorkerResolver(resolver: WorkerResolver): void {
  resolve = resolver;
}

/** The entry of a worker, for `new Worker(workerEntry(name))`. */
export function workerEntry(name: WorkerName): URL | string {
  return resolve(name);
}
