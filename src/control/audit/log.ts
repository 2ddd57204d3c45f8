/**
 * What changed what a gateway does, and who asked for it: an append-only log in the state directory, chained and signed (chain.ts), each entry on the disk before the
 * next is begun. A disk that cannot be written stops nothing: what waits is bounded, what is dropped is counted and said in the log itself.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { type FileHandle, open, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { DurableFiles, readBounded } from '../oci/files.ts';
import {
  bounded,
  CHECKPOINT,
  type Entry,
  GENESIS,
  hashOf,
  headOf,
  isSigned,
  isSignedHead,
  lineOf,
  parseEntry,
  parseHead,
  signed,
} from './chain.ts';
import { FILE_BYTES_MAX, FILES_MAX, fileName, headPath, logFiles, signingKeyOf, spkiOf } from './files.ts';

/** Entries that wait for the disk. */
export const WAITING_MAX = 256;
/** Entries that are kept in memory for `history`. */
export const RECENT_MAX = 200;
const HEAD_BYTES_MAX = 4_096;
/** After a failure, until the disk is tried again. */
const RETRY_MS = 5_000;

export interface AuditOptions {
  /** Epoch ms. */
  readonly now: () => number;
  /** Told when the disk fails, and when it works again. */
  readonly event: (level: 'info' | 'error', message: string, fields: Record<string, unknown>) => void;
  /** Fewer in tests. */
  readonly fileBytesMax?: number;
  readonly filesMax?: number;
}

interface Waiting {
  readonly at: string;
  readonly kind: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export class AuditLog {
  readonly #directory: string;
  readonly #options: AuditOptions;
  readonly #files = new DurableFiles();
  readonly #key: KeyObject;
  #file: FileHandle | null = null;
  #fileNumber = 0;
  #fileBytes = 0;
  /** Of the first entry that is kept. */
  #first = 1;
  #n = 0;
  #hash = GENESIS;
  readonly #waiting: Waiting[] = [];
  readonly #recent: Entry[] = [];
  #dropped = 0;
  #running: Promise<void> | null = null;
  #retry: NodeJS.Timeout | null = null;
  #fault: string | null = null;
  #closed = false;

  private constructor(directory: string, key: KeyObject, options: AuditOptions) {
    this.#directory = directory;
    this.#key = key;
    this.#options = options;
  }

  /** Opens or makes the log. A last line that a crash left unfinished is cut off and said so. */
  static async open(directory: string, options: AuditOptions): Promise<AuditLog> {
    const files = new DurableFiles();
    await files.makeDirectory(directory);
    const log = new AuditLog(directory, await signingKeyOf(directory, files), options);
    try {
      await log.#recover();
    } catch (error) {
      await log.#failed(error);
    }
    return log;
  }

  /** Public key to verify with, base64 of the DER SubjectPublicKeyInfo. */
  get publicKey(): string {
    return spkiOf(this.#key);
  }

  /** Number and hash of the last entry: whoever notes them elsewhere can tell later that nothing was taken off the end. */
  get head(): { readonly n: number; readonly hash: string } {
    return { n: this.#n, hash: this.#hash };
  }

  /** Why the last write failed; null: it did not. */
  get fault(): string | null {
    return this.#fault;
  }

  /** Newest first, at most {@link RECENT_MAX} since the start and of the newest file. */
  recent(): readonly Entry[] {
    return this.#recent.toReversed();
  }

  /** Appends an entry. Never throws and waits for nothing; `settled` does. */
  append(kind: string, fields: Readonly<Record<string, unknown>>): void {
    if (this.#closed) return;
    if (this.#waiting.length >= WAITING_MAX) {
      this.#dropped++;
      return;
    }
    this.#waiting.push({ at: new Date(this.#options.now()).toISOString(), kind, fields: bounded(fields) });
    this.#run();
  }

  /** Resolves when what was appended is on the disk, or cannot be written. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async close(): Promise<void> {
    await this.settled();
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    await this.#file?.close();
    this.#file = null;
  }

  #run(): void {
    this.#running ??= this.#write().finally(() => {
      this.#running = null;
    });
  }

  async #write(): Promise<void> {
    try {
      // After a failure: what was written then is signed now.
      if (this.#file === null) await this.#recover();
      for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
        await this.#rotate(next.at);
        if (this.#dropped > 0) {
          const dropped = this.#dropped;
          await this.#line({ at: next.at, kind: 'dropped', fields: { entries: dropped } });
          this.#dropped -= dropped;
        }
        await this.#line(next);
        this.#waiting.shift();
        await this.#sign();
      }
      if (this.#fault !== null) this.#options.event('info', 'the audit log is written again', {});
      this.#fault = null;
    } catch (error) {
      await this.#failed(error);
    }
  }

  /** Tells it once, and tries again later. */
  async #failed(error: unknown): Promise<void> {
    const reason = error instanceof Error ? error.message : String(error);
    if (this.#fault === null) this.#options.event('error', 'the audit log cannot be written', { reason });
    this.#fault = reason;
    // What was half written is looked at anew.
    await this.#letGo();
    if (!this.#closed) this.#retry = setTimeout(() => this.#run(), RETRY_MS).unref();
  }

  /** Closes the file after a failure; the next entry opens it again, and looks at what it ends with. */
  async #letGo(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    try {
      await file?.close();
    } catch (error) {
      this.#options.event('error', 'a file of the audit log cannot be closed', {
        reason: error instanceof Error ? error.message : String(error),
      });
    }
  }

  async #line(waiting: Waiting): Promise<void> {
    const entry = signed({ n: this.#n + 1, prev: this.#hash, ...waiting }, this.#key);
    const line = lineOf(entry);
    const bytes = Buffer.from(`${line}\n`, 'utf8');
    await this.#file?.appendFile(bytes);
    await this.#file?.datasync();
    this.#fileBytes += bytes.byteLength;
    this.#n = entry.n;
    this.#hash = hashOf(line);
    this.#remember(entry);
  }

  #remember(entry: Entry): void {
    this.#recent.push(entry);
    if (this.#recent.length > RECENT_MAX) this.#recent.shift();
  }

  async #sign(): Promise<void> {
    const head = headOf(this.#first, this.#n, this.#hash, this.#key);
    await this.#files.write(headPath(this.#directory), Buffer.from(`${JSON.stringify(head)}\n`), 0o600);
  }

  /** A full file is followed by another, which begins with a checkpoint; beyond the bound the oldest goes. */
  async #rotate(at: string): Promise<void> {
    if (this.#fileBytes < (this.#options.fileBytesMax ?? FILE_BYTES_MAX)) return;
    await this.#file?.close();
    this.#fileNumber++;
    this.#file = await open(join(this.#directory, fileName(this.#fileNumber)), 'a', 0o600);
    this.#fileBytes = 0;
    await this.#line({ at, kind: CHECKPOINT, fields: {} });
    const names = await logFiles(this.#directory);
    const old = names.slice(0, Math.max(0, names.length - (this.#options.filesMax ?? FILES_MAX)));
    if (old.length === 0) return;
    const [kept = ''] = names.slice(old.length);
    const [first = ''] = await linesOf(join(this.#directory, kept));
    this.#first = parseEntry(first)?.n ?? this.#first;
    // First the signature, then the removal: in between there is more than is signed for, never less.
    await this.#sign();
    for (const name of old) await this.#files.remove(join(this.#directory, name));
  }

  /** Takes up where the files end. */
  async #recover(): Promise<void> {
    await this.#file?.close();
    const names = await logFiles(this.#directory);
    let name = names.at(-1) ?? fileName(1);
    let text = await textOf(join(this.#directory, name));
    let torn = 0;
    // One that was begun and got no line: the log ends in the one before.
    while (names.length > 1 && !text.includes('\n')) {
      torn += Buffer.byteLength(text);
      await this.#files.remove(join(this.#directory, name));
      names.pop();
      name = names.at(-1) ?? name;
      text = await textOf(join(this.#directory, name));
    }
    const path = join(this.#directory, name);
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    if (whole !== text) await truncate(path, Buffer.byteLength(whole));
    torn += Buffer.byteLength(text) - Buffer.byteLength(whole);
    const lines = whole.split('\n').slice(0, -1);
    const last = lines.at(-1);
    this.#n = last === undefined ? 0 : (parseEntry(last)?.n ?? 0);
    this.#hash = last === undefined ? GENESIS : hashOf(last);
    const [oldest = ''] = await linesOf(join(this.#directory, names[0] ?? name));
    this.#first = parseEntry(oldest)?.n ?? 1;
    this.#fileNumber = Number.parseInt(name, 10);
    this.#fileBytes = Buffer.byteLength(whole);
    if (this.#recent.length === 0)
      for (const line of lines.slice(-RECENT_MAX)) {
        const entry = parseEntry(line);
        if (entry !== undefined) this.#remember(entry);
      }
    this.#file = await open(path, 'a', 0o600);
    const at = new Date(this.#options.now()).toISOString();
    if (torn > 0) await this.#line({ at, kind: 'recovered', fields: { bytesCut: torn } });
    await this.#compare(at, last);
    if (this.#n > 0) await this.#sign();
  }

  /** What is missing, or was not written by this gateway, must not be covered by the next signature: it stays visible as a gap. */
  async #compare(at: string, last: string | undefined): Promise<void> {
    const read = await readBounded(headPath(this.#directory), HEAD_BYTES_MAX);
    const head = read.state === 'read' ? parseHead(Buffer.from(read.bytes).toString('utf8')) : undefined;
    const entry = last === undefined ? undefined : parseEntry(last);
    const public_ = createPublicKey(this.#key);
    const foreign = last !== undefined && (entry === undefined || !isSigned(entry, public_));
    const known = head !== undefined && isSignedHead(head, public_) ? head : undefined;
    // Between the first entry and the first signature there may have been a crash.
    const lost = known === undefined && (head !== undefined || this.#n > 1);
    const cut = known !== undefined && known.n > this.#n;
    if (!foreign && !lost && !cut) return;
    const found = this.#n;
    this.#n = Math.max(this.#n, known?.n ?? 0) + 1;
    this.#options.event('error', 'the audit log was changed while nobody wrote it', {
      found,
      signed: known?.n ?? null,
    });
    await this.#line({ at, kind: 'broken', fields: { found, signed: known?.n ?? null, foreign } });
  }
}

/** A whole file of the log; a little more than its bound for the last entry. */
async function textOf(path: string): Promise<string> {
  const read = await readBounded(path, FILE_BYTES_MAX * 2);
  if (read.state === 'too_large') throw new Error(`${path} is larger than any file of the audit log`);
  return read.state === 'read' ? Buffer.from(read.bytes).toString('utf8') : '';
}

/** Its lines, an unfinished last one among them. */
export async function linesOf(path: string): Promise<string[]> {
  const text = await textOf(path);
  const lines = text.split('\n');
  return lines.at(-1) === '' ? lines.slice(0, -1) : lines;
}
