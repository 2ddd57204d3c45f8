/**
 * Lanes have a socket each on one port (SO_REUSEPORT), and the kernel lets any process of the same user join them: two gateways would get a share each of the same
 * clients, without a word to either.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { ListenerPlan } from '../snapshot/listener-plans.ts';

/** Throws for the first listener whose port somebody listens on. `inherited`: sockets of each that are another process's as well. */
export async function refuseTaken(plans: readonly ListenerPlan[], inherited: readonly number[] = []): Promise<void> {
  for (const [i, { id, address, port }] of plans.entries())
    if (port !== 0 && (inherited[i] ?? 0) === 0 && (await isTaken(address, port)))
      throw new Error(
        `listener ${id}: ${address}:${port} is already in use; end who listens there, choose another port, or take the place of a gateway with --take-over`,
      );
}

/** What else is wrong with an address the lanes tell. */
async function isTaken(host: string, port: number): Promise<boolean> {
  const server = createServer();
  server.listen({ host, port, exclusive: true });
  try {
    await once(server, 'listening');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
  }
  server.close();
  await once(server, 'close');
  return false;
}
