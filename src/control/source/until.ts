/** A source, asked by somebody who has an end: what is asked then ends at once, well or not. */
import { SourceError } from '../oci/rejection.ts';
import type { ArtifactSource } from '../oci/source.ts';

/** Longest time for which a bundle is fetched, ms: a registry may send a byte now and then for ever. */
export const FETCH_MS_MAX = 600_000;

/** Whoever asked has something else to do. Says nothing about the source, nor about any bundle. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/**
 * The source until `signal` is aborted (its reason is thrown then), and for `msMax` in all from now (then SourceError `timeout`). What is under way at the place goes
 * on to an end of its own, and nobody hears of it.
 */
export function until(
  source: ArtifactSource & { readonly mirror?: boolean },
  signal: AbortSignal,
  msMax = FETCH_MS_MAX,
): ArtifactSource & { readonly mirror: boolean } {
  const end = performance.now() + msMax;
  const ask = async <T>(question: () => Promise<T>): Promise<T> => {
    signal.throwIfAborted();
    const { promise, reject } = Promise.withResolvers<never>();
    const interrupted = (): void => reject(signal.reason);
    const late = (): void => reject(new SourceError('timeout', `${source.name} was not done within ${msMax / 1000} s`));
    const timer = setTimeout(late, Math.max(0, end - performance.now()));
    signal.addEventListener('abort', interrupted, { once: true });
    try {
      return await Promise.race([question(), promise]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', interrupted);
    }
  };
  return {
    name: source.name,
    get mirror() {
      return source.mirror === true;
    },
    resolve: (reference, known) => ask(() => source.resolve(reference, known)),
    manifest: (digest) => ask(() => source.manifest(digest)),
    blob: (descriptor) => ask(() => source.blob(descriptor)),
    signatures: (digest) => ask(() => source.signatures(digest)),
    close: () => source.close(),
  };
}
