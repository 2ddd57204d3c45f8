/**
 * The certificates of the listeners, followed while they serve. Files are looked at once a second rather than watched: what renews them replaces files, directories or links to
 * directories, and the file behind the name tells of all of these. A change counts once two looks in a row saw the same, so that a certificate and its key are taken together.
 * What cannot be used is refused with a reason, and what was there goes on. What failed for a passing reason is tried again: a lane that died just then, a clock that was wrong.
 */
import { stat } from 'node:fs/promises';
import type { CertificatesView } from '../../admin/control-view.ts';
import type { ListenerConfig, ListenerTlsConfig } from '../../config/bootstrap.ts';
import type { ListenerTls } from '../../snapshot/listener-plans.ts';
import { filesOf, readListenerTls, UnfitTls } from './files.ts';
import { expiryOf } from './pem.ts';

/** Between two looks at the files, at least. */
export const LOOK_MS = 1_000;
/** And so many times as long as a look took: thousands of files may not cost more than a twentieth of main's time. */
const LOOK_PAUSES = 20;
/** At most: lanes that answer late make no renewal wait for long. */
const LOOK_MS_MAX = 60_000;
/**
 * Looks that are let pass between two tries of the same files, once the next look has failed as well: what lanes die of may not end so many of them within a minute that the
 * process gives up (`RESTARTS_MAX`), and nothing is read every second that has ended.
 */
export const REST_LOOKS = 60;
/** From here on a certificate's end is told as a warning. */
const EXPIRY_WARNING_MS = 7 * 24 * 3_600_000;

export interface CertificateWatchParts {
  readonly listeners: readonly Pick<ListenerConfig, 'id' | 'tls'>[];
  /** Gives it to all lanes; rejects when one of them does not take it: with UnfitTls when it cannot use it. */
  readonly take: (listener: string, tls: ListenerTls) => Promise<void>;
  readonly event: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;
  readonly now: () => number;
}

interface End {
  readonly file: string;
  /** Epoch ms. */
  readonly until: number;
}

interface Followed {
  readonly listener: string;
  readonly config: ListenerTlsConfig;
  readonly files: readonly string[];
  /** What the files looked like when they were taken, or were found unfit; empty: what is there is still to be tried. */
  tried: string;
  /** What they looked like when they failed for a passing reason; empty: they did not. */
  failed: string;
  /** Looks to let pass before they are tried again. */
  rest: number;
  /** What they looked like at the last look. */
  seen: string;
  /** When each certificate that serves ends, the first to end first. */
  ends: readonly End[];
  /** So many of them were told to end soon, and to have ended. */
  told: number;
  toldEnded: number;
}

export class CertificateWatch {
  readonly #parts: CertificateWatchParts;
  readonly #followed: Followed[] = [];
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> = Promise.resolve();
  /** By listener. */
  readonly #refused = new Map<string, string>();
  #stopped = false;

  constructor(parts: CertificateWatchParts) {
    this.#parts = parts;
  }

  /** TLS of each listener that has it, by id, for the start. Rejects when one cannot be used. */
  async load(): Promise<ReadonlyMap<string, ListenerTls>> {
    const all = new Map<string, ListenerTls>();
    for (const { id, tls: config } of this.#parts.listeners) {
      if (config === undefined) continue;
      const files = filesOf(config);
      // Before reading: a change meanwhile is then seen at the first look.
      const seen = await looksOf(files);
      const tls = await readListenerTls(id, config);
      all.set(id, tls);
      const followed = {
        listener: id,
        config,
        files,
        tried: seen,
        failed: '',
        rest: 0,
        seen,
        ends: endsOf(tls),
        told: 0,
        toldEnded: 0,
      };
      this.#followed.push(followed);
      this.#tellOfEnds(followed);
    }
    return all;
  }

  /** Looks at the files from now on. */
  follow(): void {
    if (this.#followed.length > 0) this.#schedule(LOOK_MS);
  }

  /** Why files were refused the last time they were tried, so that the former ones serve; null: none were. */
  get fault(): string | null {
    for (const [listener, reason] of this.#refused) return `${listener}: ${reason}`;
    return null;
  }

  /** Of each listener that has TLS. */
  views(): readonly CertificatesView[] {
    return this.#followed.map(({ listener, ends }) => ({
      listener,
      until: ends[0]?.until ?? 0,
      refused: this.#refused.get(listener) ?? null,
    }));
  }

  /** One look at all files; takes what has changed and come to rest. */
  async look(): Promise<void> {
    for (const followed of this.#followed) if (!this.#stopped) await this.#lookAt(followed);
  }

  /** Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#looking;
  }

  #schedule(afterMs: number): void {
    this.#timer = setTimeout(() => {
      const from = performance.now();
      this.#looking = this.look().then(() => {
        if (!this.#stopped) this.#schedule(pauseAfter(performance.now() - from));
      });
    }, afterMs).unref();
  }

  async #lookAt(followed: Followed): Promise<void> {
    const { listener, config, files } = followed;
    this.#tellOfEnds(followed);
    const now = await looksOf(files);
    const restful = now === followed.seen;
    followed.seen = now;
    if (!restful) followed.rest = 0;
    if (now === followed.tried || !restful) return;
    if (followed.rest > 0) {
      followed.rest--;
      return;
    }
    try {
      const tls = await readListenerTls(listener, config);
      // Changed while it was read: certificate and key may be of different renewals.
      if ((await looksOf(files)) !== now) return;
      const ends = endsOf(tls);
      this.#refuseEnded(listener, ends);
      if (this.#stopped) return;
      await this.#parts.take(listener, tls);
      followed.tried = now;
      followed.failed = '';
      this.#refused.delete(listener);
      this.#parts.event('info', 'certificates taken', { listener, certificates: tls.certificates?.length ?? 0 });
      followed.ends = ends;
      followed.told = followed.toldEnded = 0;
      this.#tellOfEnds(followed);
    } catch (error) {
      this.#refuse(followed, now, error);
    }
  }

  #refuse(followed: Followed, looks: string, error: unknown): void {
    const { listener } = followed;
    const reason = error instanceof Error ? error.message : String(error);
    const again = followed.failed === looks;
    const told = again && this.#refused.get(listener) === reason;
    const unfit = error instanceof UnfitTls;
    // Some lanes may have them: those that serve are taken anew as well, should they come back.
    followed.tried = unfit ? looks : '';
    followed.failed = unfit ? '' : looks;
    followed.rest = again ? REST_LOOKS : 0;
    this.#refused.set(listener, reason);
    if (!told) this.#parts.event('error', 'certificates refused; the former ones serve', { listener, reason });
  }

  #refuseEnded(listener: string, ends: readonly End[]): void {
    const [first] = ends;
    if (first !== undefined && first.until <= this.#parts.now())
      throw new Error(
        `listener ${listener}: the certificate ${first.file} ended ${new Date(first.until).toISOString()}; renew it`,
      );
  }

  /**
   * Each is told once before its end and once after it, whether it was taken late or nobody has renewed it. A start takes what has ended: whatever else the gateway serves
   * need not end with it.
   */
  #tellOfEnds(followed: Followed): void {
    const { listener, ends } = followed;
    const { event, now } = this.#parts;
    const fields = ({ file, until }: End) => ({ listener, file, until: new Date(until).toISOString() });
    const before = (to: number): number => ends.filter(({ until }) => until < to).length;
    const ended = before(now() + 1);
    for (const end of ends.slice(Math.max(followed.told, ended), before(now() + EXPIRY_WARNING_MS)))
      event('warn', 'certificate ends soon', fields(end));
    for (const end of ends.slice(followed.toldEnded, ended))
      event('error', 'certificate has ended; clients will refuse it', fields(end));
    followed.told = Math.max(followed.told, before(now() + EXPIRY_WARNING_MS));
    followed.toldEnded = Math.max(followed.toldEnded, ended);
  }
}

function endsOf(tls: ListenerTls): readonly End[] {
  return (tls.certificates ?? [])
    .map(({ chainPem, certificateFile }) => ({ file: certificateFile, until: expiryOf(chainPem) }))
    .sort((a, b) => a.until - b.until);
}

function pauseAfter(tookMs: number): number {
  return Math.min(LOOK_MS_MAX, Math.max(LOOK_MS, tookMs * LOOK_PAUSES));
}

/** What tells a file from the one that was there before: changes with its content, its replacement, and where a link leads. */
async function looksOf(files: readonly string[]): Promise<string> {
  const looks: string[] = [];
  for (const file of files) {
    try {
      const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
      looks.push(`${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`);
    } catch (error) {
      // Gone for now; reading it says why.
      looks.push((error as NodeJS.ErrnoException).code ?? 'unreadable');
    }
  }
  return looks.join(' ');
}
