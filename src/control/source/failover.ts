import type { Digest } from '../oci/digest.ts';
import type { Descriptor } from '../oci/manifest.ts';
import { Rejection, SourceError } from '../oci/rejection.ts';
import type { ArtifactSource, FetchedManifest, KnownTag, Resolution, SignatureSet } from '../oci/source.ts';
import { BACKOFF_MAX_MS } from './poller.ts';

export interface NamedSource {
  readonly source: ArtifactSource;
  /** Its own tag, or a digest to stay on. */
  readonly reference: string;
}

/**
 * Several places as one: the first that answers and has the tag says what it points to, the others are asked only while those before them do not. Content is named
 * by digest, so it may come from any of them, and what one gives wrongly is asked of the next.
 */
export class FailoverSource implements ArtifactSource {
  readonly name: string;
  readonly #sources: readonly NamedSource[];
  readonly #now: () => number;
  /** By place: when it may be asked again, milliseconds since 1970. */
  readonly #restUntilMs: number[];
  /** Number of the last question. Whoever was interrupted leaves an older one behind, whose late answer nobody hears: it says nothing about what the last one was told. */
  #asked = 0;
  /** The place that answered the last question. */
  #answering = 0;
  /** Named by a mirror, and by the first place not since. */
  #foundAtMirror: Digest | undefined;

  constructor(sources: readonly [NamedSource, ...NamedSource[]], now: () => number = Date.now) {
    this.#sources = sources;
    this.#now = now;
    this.#restUntilMs = sources.map(() => 0);
    this.name = sources[0].source.name;
  }

  /** What a mirror says may be behind what the first place has said. */
  get mirror(): boolean {
    return this.#answering > 0;
  }

  /** The place that answered last. */
  get answering(): string {
    return this.#sources[this.#answering]?.source.name ?? this.name;
  }

  /** @param _reference each place has its own. */
  async resolve(_reference: string, known?: KnownTag): Promise<Resolution> {
    let missing: Resolution | undefined;
    const errors: SourceError[] = [];
    const asked = ++this.#asked;
    for (const [i, { source, reference }] of this.#sources.entries()) {
      // Longer than anybody may ask for: the clock was set back.
      const restMs = (this.#restUntilMs[i] ?? 0) - this.#now();
      if (restMs > 0 && restMs <= BACKOFF_MAX_MS) continue;
      try {
        const resolution = await source.resolve(reference, this.#knownTo(i, known));
        if (resolution.state !== 'missing') {
          if (asked === this.#asked) this.#answered(i, resolution);
          return resolution;
        }
        missing ??= resolution;
      } catch (error) {
        if (!(error instanceof SourceError)) throw error;
        if (error.retryAfterMs !== undefined)
          this.#restUntilMs[i] = this.#now() + Math.min(error.retryAfterMs, BACKOFF_MAX_MS);
        errors.push(error);
      }
    }
    const [first] = errors;
    if (first === undefined) {
      if (missing !== undefined) return missing;
      throw new SourceError('rate_limited', `${this.name}: asked to be left alone for a while`);
    }
    if (errors.length === 1) throw first;
    const others = errors.slice(1).map((error) => error.message);
    throw new SourceError(first.code, [first.message, ...others].join('; '), {
      cause: first,
      retryAfterMs: first.retryAfterMs,
    });
  }

  #answered(i: number, resolution: Resolution): void {
    this.#answering = i;
    if (resolution.state === 'found') this.#foundAtMirror = i === 0 ? undefined : resolution.digest;
  }

  /** What a place is asked with. A validator means something to the one that gave it only; and that the first names what a mirror had named is news, for it may then be taken. */
  #knownTo(i: number, known: KnownTag | undefined): KnownTag | undefined {
    if (known === undefined || (i === 0 && known.digest === this.#foundAtMirror)) return undefined;
    return i === this.#answering ? known : { digest: known.digest };
  }

  async manifest(digest: Digest): Promise<FetchedManifest> {
    return this.#any((source) => source.manifest(digest));
  }

  async blob(descriptor: Descriptor): Promise<Uint8Array> {
    return this.#any((source) => source.blob(descriptor));
  }

  /** Of the first place that has any: a mirror may hold a bundle without what was said of it. */
  async signatures(digest: Digest): Promise<SignatureSet> {
    let best: SignatureSet | undefined;
    for (const { source } of this.#inTurn()) {
      try {
        const found = await source.signatures(digest);
        if (found.candidates.length > 0) return found;
        best ??= found;
      } catch (error) {
        if (!(error instanceof SourceError)) throw error;
        best ??= { candidates: [], notes: [error.message], failure: error };
      }
    }
    return best ?? { candidates: [], notes: [] };
  }

  async close(): Promise<void> {
    for (const { source } of this.#sources) await source.close();
  }

  /** The place that answered, then the others. */
  #inTurn(): NamedSource[] {
    const [answering, ...rest] = [this.#sources[this.#answering], ...this.#sources];
    return answering === undefined ? rest : [answering, ...rest.filter((item) => item !== answering)];
  }

  async #any<T>(ask: (source: ArtifactSource) => Promise<T>): Promise<T> {
    let first: unknown;
    for (const { source } of this.#inTurn()) {
      try {
        return await ask(source);
      } catch (error) {
        // Another transfer, from elsewhere, may be whole; what is wrong with the bytes themselves is wrong everywhere.
        const transfer = error instanceof SourceError || (error instanceof Rejection && error.retry === 'transport');
        if (!transfer) throw error;
        first ??= error;
      }
    }
    throw first;
  }
}
