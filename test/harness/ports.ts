/** Free loopback ports, for what cannot be told to listen on port 0 and say which it got. */
import { randomInt } from 'node:crypto';
import type { Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';

/** Below the range that systems give out by themselves: a port of that range, free a moment ago, is soon somebody else's, and a listener that shares its port (SO_REUSEPORT) would share it in silence. */
const FROM = 20_000;
const TO = 32_000;
/** Test files run side by side, each in a process: one takes ports of its own part, so that none is taken by another between its choice and its use. */
const PARTS = 32;
const PART = (TO - FROM) / PARTS;
const TRIES = 200;
/** One after the other: who was told that a port is free, to meet nobody there, does not meet who asked next. */
let next = randomInt(PART);

/**
 * `count` ports that were free together a moment ago. Another process may take one before it is used: whoever starts something on them
 * tries again with fresh ones when that is refused.
 */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  const ports: number[] = [];
  try {
    for (let tries = 0; ports.length < count; tries++) {
      if (tries >= TRIES) throw new Error(`no ${count} free ports between ${FROM} and ${TO}`);
      const server = createServer();
      const candidate = FROM + (process.pid % PARTS) * PART + (next++ % PART);
      const port = await listening(server, candidate).catch(() => 0);
      if (port === 0) continue;
      servers.push(server);
      ports.push(port);
    }
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
  return ports;
}

/** Listens on any free port of the loopback address; resolves with it. */
export function listening(server: Server, port = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** Listens no more; connections that are open are cut. */
export async function closed(server: HttpServer): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
