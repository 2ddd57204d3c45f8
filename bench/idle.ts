/** What an idle keep-alive connection costs: ten thousand of them, plain and TLS, each having carried one request. */
import { Agent as HttpAgent, get as httpGet } from 'node:http';
import { Agent as HttpsAgent, get as httpsGet } from 'node:https';
import { plainBundle } from '../test/harness/bundle.ts';
import { startGateway } from './lib/gateway.ts';
import { upstream } from './lib/peers.ts';
import { rssMib, sleep } from './lib/process.ts';
import type { Bench } from './lib/bench.ts';
import type { Figure } from './lib/row.ts';

const CONNECTIONS = 10_000;
/** Connections that are made at once. */
const AT_ONCE = 50;
/** Time for memory that was only needed while connecting to be given back. */
const SETTLE_MS = 3_000;

type Get = typeof httpGet;
type Agent = HttpAgent | HttpsAgent;

/** One request on a connection of its own, which stays open. */
function open(get: Get, agent: Agent, url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (res) => {
      res.resume();
      res.on('end', resolve);
    }).on('error', reject);
  });
}

export const idle: Bench = async () => {
  const up = await upstream();
  const figures: Figure[] = [];
  try {
    for (const [name, scheme] of [
      ['plain', 'http'],
      ['tls', 'https'],
    ] as const) {
      // A process of its own for each: what the first gave back would hide what the second takes.
      const gateway = await startGateway(plainBundle([`127.0.0.1:${up.port}`]));
      const port = scheme === 'http' ? gateway.port : gateway.httpsPort;
      const url = `${scheme}://127.0.0.1:${port}/bench`;
      const get: Get = scheme === 'http' ? httpGet : httpsGet;
      const agents: Agent[] = [];
      const one = async (): Promise<void> => {
        const agent =
          scheme === 'http'
            ? new HttpAgent({ keepAlive: true, maxSockets: 1 })
            : new HttpsAgent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false, maxCachedSessions: 0 });
        agents.push(agent);
        await open(get, agent, url);
      };
      // What the process needs once is not a connection's cost.
      for (let i = 0; i < AT_ONCE; i++) await one();
      await sleep(SETTLE_MS);
      const before = rssMib(gateway.pid);
      for (let i = 0; i < CONNECTIONS; i += AT_ONCE) await Promise.all(Array.from({ length: AT_ONCE }, one));
      await sleep(SETTLE_MS);
      const bytes = ((rssMib(gateway.pid) - before) * 2 ** 20) / CONNECTIONS;
      figures.push({ metric: `bytes_per_idle_connection_${name}`, unit: 'B', ours: bytes, rounds: 1 });
      for (const agent of agents) agent.destroy();
      await gateway.stop();
    }
    return figures;
  } finally {
    await up.stop();
  }
};
