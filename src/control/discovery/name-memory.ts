/**
 * What names led to last, kept over restarts: a gateway that starts while no DNS server answers has endpoints all the same. Written when a name leads elsewhere, whole or not at
 * all; what cannot be read is told and left, what cannot be written is told and tried again with the next change.
 */
import { isIP } from 'node:net';
import { dirname } from 'node:path';
import Type, { type Static } from 'typebox';
import { Value } from 'typebox/value';
import { Serial } from '../../base/serial.ts';
import { DurableFiles, readBounded } from '../oci/files.ts';
import { ADDRESSES_MAX, SRV_RECORDS_MAX } from './resolver.ts';

/** Names that are kept; beyond, those that led elsewhere longest ago go. */
export const REMEMBERED_MAX = 1_024;
/** Largest file. Unit: bytes. */
const FILE_BYTES_MAX = 8 * 1024 * 1024;
const FORMAT = 1;
/** Addresses of one SRV name: all of all of its targets. */
const FOUND_MAX = ADDRESSES_MAX * SRV_RECORDS_MAX;

const Name = Type.String({ minLength: 1, maxLength: 255 });
const Port = Type.Integer({ minimum: 0, maximum: 65_535 });
const Word16 = Type.Integer({ minimum: 0, maximum: 65_535 });

const RememberedName = Type.Object(
  {
    /** By question, as `NameWatch` asks. */
    addresses: Type.Record(Type.String({ maxLength: 300 }), Type.Array(Name, { maxItems: ADDRESSES_MAX })),
    records: Type.Array(Type.Object({ target: Name, port: Port, priority: Word16, weight: Word16 }), {
      maxItems: SRV_RECORDS_MAX,
    }),
    found: Type.Array(
      Type.Object({ host: Name, port: Port, name: Name, priority: Word16, weight: Type.Union([Word16, Type.Null()]) }),
      { maxItems: FOUND_MAX },
    ),
    /** Epoch ms of the answer. */
    answeredAt: Type.Number({ minimum: 0 }),
  },
  { additionalProperties: false },
);
export type RememberedName = Static<typeof RememberedName>;

const File = Type.Object(
  { format: Type.Literal(FORMAT), names: Type.Record(Type.String({ maxLength: 300 }), RememberedName) },
  { additionalProperties: false },
);

type Event = (level: 'info' | 'warn', message: string, fields: Record<string, unknown>) => void;

export class NameMemory {
  readonly #file: string;
  readonly #event: Event;
  readonly #files = new DurableFiles();
  readonly #tasks = new Serial();
  readonly #names = new Map<string, RememberedName>();
  #changed = false;

  constructor(file: string, event: Event) {
    this.#file = file;
    this.#event = event;
  }

  /** Reads the file; none is no fault. */
  async load(): Promise<void> {
    try {
      const read = await readBounded(this.#file, FILE_BYTES_MAX);
      if (read.state === 'absent') return;
      if (read.state === 'too_large') throw new Error(`it is longer than ${FILE_BYTES_MAX} bytes`);
      const value: unknown = JSON.parse(Buffer.from(read.bytes).toString('utf8'));
      if (!Value.Check(File, value)) throw new Error('it is of another form');
      for (const [key, name] of Object.entries(value.names).slice(-REMEMBERED_MAX))
        if (areAddresses(name)) this.#names.set(key, name);
    } catch (error) {
      this.#event('warn', 'what names led to last is not known', { file: this.#file, reason: messageOf(error) });
    }
  }

  /** What a name led to last, by `keyOf`. */
  recall(key: string): RememberedName | undefined {
    return this.#names.get(key);
  }

  /** A name leads elsewhere; `undefined`: nowhere any more. Never fails and waits for nothing; `settled` does. */
  keep(key: string, name: RememberedName | undefined): void {
    this.#names.delete(key);
    if (name !== undefined) this.#names.set(key, name);
    for (const oldest of this.#names.keys()) {
      if (this.#names.size <= REMEMBERED_MAX) break;
      this.#names.delete(oldest);
    }
    this.#changed = true;
    void this.#tasks.run(() => this.#save());
  }

  /** When what was kept is on the disk, or cannot be written. */
  settled(): Promise<void> {
    return this.#tasks.idle();
  }

  async #save(): Promise<void> {
    // One write for all that came while the one before went on.
    if (!this.#changed) return;
    this.#changed = false;
    try {
      const text = Buffer.from(JSON.stringify({ format: FORMAT, names: Object.fromEntries(this.#names) }));
      if (text.length > FILE_BYTES_MAX) throw new Error(`they would need more than ${FILE_BYTES_MAX} bytes`);
      await this.#files.makeDirectory(dirname(this.#file));
      await this.#files.write(this.#file, text, 0o600);
    } catch (error) {
      this.#event('warn', 'what names lead to cannot be kept', { file: this.#file, reason: messageOf(error) });
    }
  }
}

/** Nothing but addresses may come out of a file: a name in their place would be asked for by the transport. */
function areAddresses({ addresses, found }: RememberedName): boolean {
  return Object.values(addresses).flat().every(isAddress) && found.every(({ host }) => isAddress(host));
}

function isAddress(text: string): boolean {
  return isIP(text) !== 0;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
