/** What goes into the audit log: of the events that are logged those that change what serves, and what operators ask for. */
import { join } from 'node:path';
import { Serial } from '../../base/serial.ts';
import type { AuditView } from '../../admin/control-view.ts';
import type { AuditKind } from '../../config/webhook.ts';
import { type Receiver, type ReceiverState, Webhooks } from '../webhooks/webhooks.ts';
import { AuditLog } from './log.ts';

/** Kinds of entries by the event that they are made of. */
const KINDS: Readonly<Record<string, AuditKind>> = {
  'gateway started': 'started',
  draining: 'stopping',
  'channel index taken': 'channel',
  'bundle activated': 'activated',
  'bundle rejected': 'rejected',
  'starting with the seed bundle': 'seed',
  'starting with a bundle that was taken back': 'last_resort',
  'state rebuilt': 'state',
  'kept bundle passed over': 'passed_over',
  'trust policy taken': 'trust',
  'trust policy refused; the former one counts on': 'trust_refused',
  'the bundle that serves is not trusted any more; it serves on until another is taken': 'distrusted',
  'the configuration is stale; it serves on': 'stale',
  'bundle is tried by a share of identities': 'tried',
  'bundle is tried by a larger share': 'step',
  'bundle is tried in another cell': 'cell',
  'bundle is not tried any more': 'superseded',
  'bundle taken back': 'reverted',
  'what was taken back may be taken again': 'released',
  'bundle pinned': 'pinned',
  'pin is over': 'unpinned',
  'asked for by an operator': 'admin',
};

type Event = (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;

export interface JournalParts {
  readonly stateDir: string;
  readonly log: Event;
  /** Told of every entry that is made. */
  readonly receivers: readonly Receiver[];
  /** Names this gateway to them. */
  readonly gateway: string;
  /** Epoch ms. */
  readonly now: () => number;
}

/** Entries that are kept until the log is open. */
const EARLY_MAX = 64;

export class Journal {
  readonly #parts: JournalParts;
  #audit: AuditLog | null = null;
  #webhooks: Webhooks | null = null;
  /** Opening and closing, one after the other. */
  readonly #tasks = new Serial();
  #early: { readonly kind: AuditKind; readonly fields: Record<string, unknown> }[] = [];

  constructor(parts: JournalParts) {
    this.#parts = parts;
  }

  /** From now on entries are written. No other process may write them: after a hand-over has been granted. */
  open(): Promise<void> {
    return this.#tasks.run(async () => {
      const { stateDir, receivers, gateway, log, now } = this.#parts;
      if (this.#audit !== null) return;
      const audit = await AuditLog.open(join(stateDir, 'audit'), { now, event: log });
      const directory = join(stateDir, 'webhooks');
      if (receivers.length > 0)
        this.#webhooks = await Webhooks.open({ directory, receivers, gateway, event: log, now });
      // Not before both are open: what happens meanwhile is told to both, in its order.
      this.#audit = audit;
      for (const { kind, fields } of this.#early.splice(0)) this.#keep(kind, fields);
    });
  }

  /** Logs an event, and keeps it if it is of those that are kept. */
  readonly event: Event = (level, message, fields) => {
    this.#parts.log(level, message, fields);
    const kind = KINDS[message];
    if (kind === undefined) return;
    if (this.#audit !== null) this.#keep(kind, fields);
    else if (this.#early.length < EARLY_MAX) this.#early.push({ kind, fields });
  };

  #keep(kind: AuditKind, fields: Record<string, unknown>): void {
    this.#audit?.append(kind, fields);
    this.#webhooks?.tell(kind, fields);
  }

  /** Somebody who reaches the admin listener wants something done. */
  asked(action: string, fields: Record<string, unknown>): void {
    this.event('info', 'asked for by an operator', { action, ...fields });
  }

  /** Writes nothing until `open`: another process does. */
  suspend(): Promise<void> {
    return this.#tasks.run(async () => {
      const [audit, webhooks] = [this.#audit, this.#webhooks];
      this.#audit = null;
      this.#webhooks = null;
      await audit?.close();
      await webhooks?.close();
    });
  }

  view(): AuditView | null {
    const audit = this.#audit;
    if (audit === null) return null;
    return { ...audit.head, publicKey: audit.publicKey, fault: audit.fault };
  }

  /** How those are kept told who are to be. */
  receivers(): readonly ReceiverState[] {
    return this.#webhooks?.states() ?? [];
  }

  /** Newest first. */
  recent(): ReturnType<AuditLog['recent']> {
    return this.#audit?.recent() ?? [];
  }
}
