/**
 * How far a gateway had come, by its own audit log: the second place where that stands, so that losing the state file, or having an older one put back, is not enough to lead it back. Only
 * entries that its own key has signed count, and they only ever raise.
 */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { type Digest, parseDigest } from '../oci/digest.ts';
import { readBounded } from '../oci/files.ts';
import { type Entry, isSigned, lineOf, parseEntry } from './chain.ts';
import { FILES_MAX, KEY_BYTES_MAX, keyPath, logFiles } from './files.ts';
import { linesOf } from './log.ts';

/** Signatures that are checked; read from the newest entry on, few are needed. */
const VERIFIED_MAX = 4_096;
/** Digests that may be remembered as taken back. */
const REVERTED_MAX = 64;
/** Pins that are remembered besides the last. */
const FORMER_PINS_MAX = 16;

export interface Pin {
  readonly digest: Digest;
  /** Milliseconds since 1970. */
  readonly untilMs: number;
}

export interface Marks {
  /** The highest of a trust policy that has counted; 0: no entry says so. */
  readonly epoch: number;
  /** Within that epoch. */
  readonly highestSeq: number;
  readonly highestDigest: Digest | undefined;
  readonly floor: number;
  /** What was made to serve last. */
  readonly active: Digest | undefined;
  /** Taken back, and not let in again since; oldest first. */
  readonly quarantined: ReadonlyMap<Digest, string>;
  /** What was said last. */
  readonly pin: Pin | undefined;
  /** That were ended, or followed by another; newest first. */
  readonly formerPins: readonly Pin[];
  /** The newest channel index that has counted. */
  readonly channel: ChannelMark | undefined;
}

export interface ChannelMark {
  readonly epoch: number;
  readonly seq: number;
  readonly digest: Digest;
  /** What it assigned to this gateway. */
  readonly bundle: Digest;
}

/** At the begin of an epoch. */
const NOTHING_COUNTED = { highestSeq: 0, highestDigest: undefined as Digest | undefined, floor: 0 };
/** Kinds of entries that say something here. */
const KINDS = new Set(['activated', 'trust', 'channel', 'reverted', 'released', 'pinned', 'unpinned']);
const KIND = /"kind":"([a-z]+)"/;

/** Reads a log's directory; undefined when there is none, or nothing in it that counts. Throws what reading throws. */
export async function readMarks(directory: string): Promise<Marks | undefined> {
  const pem = await readBounded(keyPath(directory), KEY_BYTES_MAX);
  if (pem.state !== 'read') return undefined;
  const reading = new Reading(createPublicKey(createPrivateKey(Buffer.from(pem.bytes))));
  const names = (await logFiles(directory)).slice(-FILES_MAX).toReversed();
  for (const name of names)
    for (const line of (await linesOf(join(directory, name))).toReversed())
      if (KINDS.has(KIND.exec(line)?.[1] ?? '') && !reading.take(line)) return reading.marks;
  return reading.marks;
}

/** Takes lines newest first: of what can be said twice, what was said last counts. */
class Reading {
  readonly #key: KeyObject;
  #verified = 0;
  #activated = { epoch: 0, ...NOTHING_COUNTED };
  #active: Digest | undefined;
  #channel: ChannelMark | undefined;
  /** Null: nothing was said. */
  #pin: Marks['pin'] | null = null;
  readonly #formerPins: Pin[] = [];
  /** Let in again after they were taken back. */
  readonly #released = new Set<Digest>();
  readonly #quarantined = new Map<Digest, string>();

  constructor(key: KeyObject) {
    this.#key = key;
  }

  get marks(): Marks | undefined {
    if (this.#verified === 0) return undefined;
    return {
      ...this.#activated,
      active: this.#active,
      quarantined: new Map([...this.#quarantined].toReversed()),
      pin: this.#pin ?? undefined,
      formerPins: this.#formerPins,
      channel: this.#channel,
    };
  }

  /** False: enough was read. */
  take(line: string): boolean {
    const entry = parseEntry(line);
    if (entry === undefined || lineOf(entry) !== line) return true;
    const apply = this.#meaningOf(entry);
    if (apply === undefined) return true;
    if (this.#verified === VERIFIED_MAX) return false;
    if (!isSigned(entry, this.#key)) return true;
    this.#verified++;
    apply();
    return true;
  }

  /** What an entry changes if it is believed; undefined: nothing that is not known from a later one. */
  #meaningOf({ kind, fields }: Entry): (() => void) | undefined {
    const digest = parseDigest(fields['digest']);
    switch (kind) {
      case 'activated':
        return digest && this.#raise(digest, fields);
      case 'channel':
        return digest && this.#follow(digest, fields);
      case 'trust': {
        const epoch = countOf(fields['epoch']);
        if (epoch <= this.#activated.epoch) return undefined;
        return () => void (this.#activated = { epoch, ...NOTHING_COUNTED });
      }
      case 'pinned': {
        const untilMs = Date.parse(String(fields['until']));
        if (digest === undefined || !Number.isFinite(untilMs)) return undefined;
        if (this.#pin === null) return () => void (this.#pin = { digest, untilMs });
        if (this.#formerPins.length === FORMER_PINS_MAX) return undefined;
        return () => void this.#formerPins.push({ digest, untilMs });
      }
      case 'unpinned':
        return this.#pin === null ? () => void (this.#pin = undefined) : undefined;
      case 'released': {
        const list: unknown = fields['digests'];
        const digests = (Array.isArray(list) ? list : []).map(parseDigest).filter((item) => item !== undefined);
        return () => {
          for (const item of digests) this.#released.add(item);
        };
      }
      default: {
        const known = digest === undefined || this.#released.has(digest) || this.#quarantined.has(digest);
        if (known || this.#quarantined.size === REVERTED_MAX) return undefined;
        return () => void this.#quarantined.set(digest, String(fields['reason']));
      }
    }
  }

  #raise(digest: Digest, fields: Entry['fields']): (() => void) | undefined {
    const [epoch, seq, floor] = [countOf(fields['epoch']), countOf(fields['seq']), countOf(fields['floor'])];
    const first = this.#active === undefined;
    const known = this.#activated;
    const raises = epoch > known.epoch || (epoch === known.epoch && (seq > known.highestSeq || floor > known.floor));
    if (!first && !raises) return undefined;
    return () => {
      if (first) this.#active = digest;
      if (!raises) return;
      const base = epoch > known.epoch ? NOTHING_COUNTED : known;
      const higher = base.highestDigest === undefined || seq > base.highestSeq;
      this.#activated = {
        epoch,
        highestSeq: higher ? seq : base.highestSeq,
        highestDigest: higher ? digest : base.highestDigest,
        floor: Math.max(base.floor, floor),
      };
    };
  }

  #follow(digest: Digest, fields: Entry['fields']): (() => void) | undefined {
    const [epoch, seq, bundle] = [countOf(fields['epoch']), countOf(fields['seq']), parseDigest(fields['bundle'])];
    const known = this.#channel;
    const newer = known === undefined || epoch > known.epoch || (epoch === known.epoch && seq > known.seq);
    if (bundle === undefined || !newer) return undefined;
    return () => void (this.#channel = { epoch, seq, digest, bundle });
  }
}

/** Entries of versions that did not write a number say 0. */
function countOf(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : 0;
}
