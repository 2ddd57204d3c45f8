/**
 * The state directory is this process's own. Two that write one audit log break its chain, and each would remove blobs that the other has just kept; so a gateway holds `<stateDir>/in-use.sock`
 * from before it reads anything there until it has ended or handed over.
 */
import { mkdir, unlink } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { isAnswered, unlessAbsent } from './offer.ts';
import { forOwnerOnly } from './talk.ts';

const CLAIM_SOCKET = 'in-use.sock';

type Event = (level: 'warn', message: string, fields: Record<string, unknown>) => void;

export class StateClaim {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /**
   * Rejects when another process holds it. What one left behind that was killed counts for nothing. Where no socket can be had (a file system without them, a path too long), that is
   * said, and nothing holds another process off: null.
   */
  static async take(stateDir: string, event: Event): Promise<StateClaim | null> {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    const path = join(stateDir, CLAIM_SOCKET);
    if (await isAnswered(path))
      throw new Error(
        `another gateway runs with the state directory ${stateDir}: end it first, take its place with --take-over, or give this one a stateDir of its own`,
      );
    const server = createServer((socket) => socket.destroy()).unref();
    try {
      await unlink(path).catch(unlessAbsent);
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        forOwnerOnly(() => server.listen(path, resolve));
      });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      event('warn', 'nothing keeps another gateway from this state directory', { reason });
      return null;
    }
    return new StateClaim(server);
  }

  /** Another process may take it. The file goes with it. */
  release(): void {
    this.#server.close();
  }
}
