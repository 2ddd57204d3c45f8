/** The trust policy file: read, checked, and followed while the gateway runs. */
import { readFile, stat } from 'node:fs/promises';
import { ConfigError, Document } from '../../config/document.ts';
import { TrustConfig } from '../../config/trust.ts';
import { validate } from '../../config/validate.ts';
import { prepareTrust, type Trust, TrustPolicyError } from './policy.ts';

/** Between two looks at the file. */
export const LOOK_MS = 1_000;

/** Reads a trust policy and loads its keys. @throws {ConfigError} @throws {TrustPolicyError} with what is wrong and where. */
export async function readTrustFile(path: string): Promise<Trust> {
  const result = validate(TrustConfig, new Document(path, await readFile(path, 'utf8')));
  if (!result.ok) throw new ConfigError(result.problems);
  return prepareTrust(result.value);
}

export interface TrustFileParts {
  readonly file: string;
  /** The policy that counts, as it was read at the start. */
  readonly trust: Trust;
  /** Gives the new one to whoever verifies. */
  readonly take: (trust: Trust) => Promise<void>;
  /** Why the file as it stands now is not taken; the former policy counts on. */
  readonly refused: (reason: string) => void;
}

/**
 * Follows the file by looking at it once a second rather than by watching: what replaces it may replace a directory or a link. A change counts once two looks in a
 * row saw the same. A policy that cannot be used, or whose epoch is lower than the one that counts, is refused: whoever may not raise trust must not lower it.
 */
export class TrustFile {
  readonly #parts: TrustFileParts;
  #trust: Trust;
  #tried: string | undefined;
  #seen: string | undefined;
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> = Promise.resolve();
  #stopped = false;
  #refusal: string | null = null;

  constructor(parts: TrustFileParts) {
    this.#parts = parts;
    this.#trust = parts.trust;
  }

  /** Why the file as it stands is not what counts; null when it is. */
  get refusal(): string | null {
    return this.#refusal;
  }

  /** Looks at the file from now on; asked again, it goes on as it does. The first look reads it: it may have changed since it was read for the start. */
  follow(): void {
    if (this.#timer === null && !this.#stopped) this.#schedule();
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      this.#looking = this.look().then(() => {
        if (!this.#stopped) this.#schedule();
      });
    }, LOOK_MS).unref();
  }

  /** One look; takes what has changed and come to rest. Never rejects. */
  async look(): Promise<void> {
    const now = await lookOf(this.#parts.file);
    const restful = now === this.#seen;
    this.#seen = now;
    if (!restful || now === this.#tried || this.#stopped) return;
    this.#tried = now;
    try {
      const trust = await readTrustFile(this.#parts.file);
      const { epoch } = this.#trust.policy;
      if (trust.policy.epoch < epoch)
        throw new TrustPolicyError(`trust policy: epoch is ${trust.policy.epoch}, but ${epoch} counts already`);
      const same = JSON.stringify(trust.policy) === JSON.stringify(this.#trust.policy);
      this.#refusal = null;
      if (same) return;
      this.#trust = trust;
      await this.#parts.take(trust);
    } catch (error) {
      this.#refusal = error instanceof Error ? error.message : String(error);
      this.#parts.refused(this.#refusal);
    }
  }

  /** Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#looking;
  }
}

/** What tells a file from the one that was there before. */
async function lookOf(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
  } catch (error) {
    // Gone for now; reading it says why.
    return (error as NodeJS.ErrnoException).code ?? 'unreadable';
  }
}
