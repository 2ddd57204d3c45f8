/** The side of a hand-over that follows: it asks the process that serves, prepares itself, accepts from the same sockets, and only then tells the other to leave. */
import { unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { TransportAddon } from '../../native/transport.ts';
import type { ListenerPlan } from '../../snapshot/listener-plans.ts';
import { unlessAbsent } from './offer.ts';
import { forOwnerOnly, HAND_OVER_INBOX, HAND_OVER_SOCKET, HAND_OVER_VERSION, socketPath, Talk } from './talk.ts';

/** Time for the serving process to end what it writes: a bundle that it has begun to take is taken first. */
const GRANT_MS = 60_000;
/** And to send its sockets, or to leave. */
const ANSWER_MS = 30_000;

export type InboxAddon = Pick<
  TransportAddon,
  'inboxOpen' | 'inboxReceive' | 'inboxCount' | 'inboxClose' | 'takeTicketKeys'
>;

export class TakeOver {
  /** What the other process serves. */
  readonly digest: string;
  /** Ports for probes and operators that it will close; null: it did not say. */
  readonly shown: readonly number[] | null;
  readonly #talk: Talk;
  readonly #inbox: string;
  readonly #addon: InboxAddon;

  private constructor(digest: string, shown: readonly number[] | null, talk: Talk, inbox: string, addon: InboxAddon) {
    this.digest = digest;
    this.shown = shown;
    this.#talk = talk;
    this.#inbox = inbox;
    this.#addon = addon;
  }

  /** Asks the process that serves with this state directory, which writes nothing there from then on. Rejects when there is none, or when it refuses. */
  static async ask(stateDir: string, addon: InboxAddon): Promise<TakeOver> {
    const path = socketPath(join(stateDir, HAND_OVER_SOCKET));
    const socket = connect(path);
    const talk = new Talk(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', (error: Error) =>
        reject(
          new Error(
            `nothing to take over: nobody answers at ${path} (${error.message}); is a gateway serving with this state directory, with transport: native? Without one, run without --take-over`,
            { cause: error },
          ),
        ),
      );
    });
    talk.say({ kind: 'ask', version: HAND_OVER_VERSION });
    const { digest = '', shown = null } = await heard(talk.hear('granted', GRANT_MS));
    return new TakeOver(digest, shown, talk, join(stateDir, HAND_OVER_INBOX), addon);
  }

  /** Gets the listening sockets, and the keys of session tickets, so that clients go on with their sessions; for each listener, how many there are for it. Both processes have them then. */
  async sockets(listeners: readonly ListenerPlan[]): Promise<readonly number[]> {
    // One that a process left behind which ended in the midst of this.
    await unlink(this.#inbox).catch(unlessAbsent);
    forOwnerOnly(() => this.#addon.inboxOpen(this.#inbox));
    this.#talk.say({ kind: 'take' });
    const { sockets = 0, ticketKeys } = await heard(this.#talk.hear('sent', ANSWER_MS));
    const received = this.#addon.inboxReceive();
    if (received !== sockets) throw new Error(`of ${sockets} sockets ${received} arrived; the running gateway goes on`);
    if (ticketKeys !== undefined && !this.#addon.takeTicketKeys(Buffer.from(ticketKeys, 'base64')))
      throw new Error('what arrived as keys of session tickets are none; the running gateway goes on');
    // Port 0 asks for one that nobody has.
    return listeners.map(({ address, port }) => (port === 0 ? 0 : this.#addon.inboxCount(address, port)));
  }

  /** This process accepts: the other is told to leave. Rejects when it does not, and then goes on itself. */
  async commit(): Promise<void> {
    this.#talk.say({ kind: 'serving' });
    await heard(this.#talk.hear('yours', ANSWER_MS));
  }

  /** Always called: ends the connection. Sockets that no lane took are closed here; the other process drains what waits in them. */
  async close(): Promise<void> {
    this.#talk.end();
    this.#addon.inboxClose();
    await unlink(this.#inbox).catch(unlessAbsent);
  }
}

async function heard<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw new Error(
      `the running gateway does not hand over: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  }
}
