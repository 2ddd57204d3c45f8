/**
 * The state directory is this process's own. Two that write one audit log break its chain, and each would remove blobs that the other has just kept; so a gateway holds a socket
 * `<stateDir>/in-use-<n>.sock` from before it reads anything there until it has ended or handed over. Whether anybody holds it is for the system to say: a socket of a process that is gone takes
 * no connection.
 *
 * Whoever wants it looks at the highest number; where nobody answers there, it gives its own socket, which listens already, the next number (`link`, which fails where that is taken), and looks
 * again. The highest number is never removed but after a higher one was made. So of two that want it at once, or that both find the same one dead, one sees the other's number: either that it
 * is taken, or that it is higher than its own.
 */
import { randomBytes } from 'node:crypto';
import { link, readdir, unlink } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { makeDirectory } from '../../base/make-directory.ts';
import { isAnswered, unlessAbsent } from './offer.ts';
import { forOwnerOnly, socketPath } from './talk.ts';

/** Without a number: of versions that knew none. */
const CLAIMED = /^in-use(?:-([1-9][0-9]{0,14}))?\.sock$/;
/** Listens already, and has no number yet. */
const UNCLAIMED = /^in-use-[0-9a-f]{12}\.new$/;
/** Each further one means that another process has come further meanwhile. */
const TRIES_MAX = 32;

type Event = (level: 'warn', message: string, fields: Record<string, unknown>) => void;

export class StateClaim {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /**
   * Rejects when another process holds it, or gets it first. What one left behind that was killed counts for nothing. Where no socket can be had (a file system without them or without links, a path
   * too long), that is said, and nothing holds another process off: null.
   */
  static async take(stateDir: string, event: Event): Promise<StateClaim | null> {
    await makeDirectory(stateDir, 0o700);
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const former = await highestOf(stateDir);
      if (former !== null && (await isAnswered(join(stateDir, former.name)))) break;
      const server = createServer((socket) => socket.destroy()).unref();
      try {
        if (await claimed(server, stateDir, (former?.number ?? 0) + 1)) return new StateClaim(server);
        server.close();
      } catch (error) {
        server.close();
        const reason = error instanceof Error ? error.message : String(error);
        event('warn', 'nothing keeps another gateway from this state directory', { reason });
        return null;
      }
    }
    throw new Error(
      `another gateway runs with the state directory ${stateDir}: end it first, take its place with --take-over, or give this one a stateDir of its own`,
    );
  }

  /** Another process may take it. The file stays, with nobody who answers. */
  release(): void {
    this.#server.close();
  }
}

/** False: another process was first. */
async function claimed(server: Server, stateDir: string, number: number): Promise<boolean> {
  const own = join(stateDir, `in-use-${number}.sock`);
  const unclaimed = socketPath(join(stateDir, `in-use-${randomBytes(6).toString('hex')}.new`));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    forOwnerOnly(() => server.listen(unclaimed, resolve));
  });
  try {
    await link(unclaimed, own);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Taken; or whoever has it has cleared away what had no number.
    if (code === 'EEXIST' || code === 'ENOENT') return false;
    throw error;
  } finally {
    await unlink(unclaimed).catch(unlessAbsent);
  }
  const highest = await highestOf(stateDir);
  if (highest !== null && highest.number > number) {
    await unlink(own).catch(unlessAbsent);
    return false;
  }
  await clear(stateDir, number);
  return true;
}

async function highestOf(stateDir: string): Promise<{ readonly name: string; readonly number: number } | null> {
  let highest: { readonly name: string; readonly number: number } | null = null;
  for (const name of await readdir(stateDir)) {
    const number = numberOf(name);
    if (number !== null && (highest === null || number > highest.number)) highest = { name, number };
  }
  return highest;
}

/** What those before have left behind. */
async function clear(stateDir: string, own: number): Promise<void> {
  for (const name of await readdir(stateDir)) {
    const number = numberOf(name);
    const path = join(stateDir, name);
    const goes = number === null ? UNCLAIMED.test(name) && !(await isAnswered(path)) : number < own;
    if (goes) await unlink(path).catch(unlessAbsent);
  }
}

function numberOf(name: string): number | null {
  const found = CLAIMED.exec(name);
  return found === null ? null : Number(found[1] ?? 0);
}
