/** Free loopback ports, for what cannot be told to listen on port 0 and say which it got. */
import { type AddressInfo, createServer, type Server } from 'node:net';

/**
 * `count` ports that were free together a moment ago. Another process may take one before it is used: whoever starts something on them
 * tries again with fresh ones when that is refused.
 */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  const ports: number[] = [];
  try {
    for (let n = 0; n < count; n++) {
      const server = createServer();
      servers.push(server);
      ports.push(await listening(server));
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
