/**
 * Where the time of a proxied request goes: the gateway beside its own engine without JavaScript and a worker of nginx, each on one core, CPU split into the kernel's
 * part and their own. What the engine alone takes is the floor under what the gateway can reach: no decision costs less than none.
 */
import { plainBundle } from '../test/harness/bundle.ts';
import { freePorts } from '../test/harness/ports.ts';
import { builtExample } from './lib/example.ts';
import { startGateway } from './lib/gateway.ts';
import { hasNginx, nginxProxy, type Server, upstream } from './lib/peers.ts';
import { ended, listening, pinned, PROXY_CORE } from './lib/process.ts';
import { figures, interleaved } from './lib/rounds.ts';
import { checkAnswer, target } from './plain.ts';
import type { Bench } from './lib/bench.ts';

/** `native/transport/examples/proxy.rs`: the engine with one verdict for all. */
async function engineAlone(to: number): Promise<Server> {
  const [port = 0] = await freePorts(1);
  const child = pinned(PROXY_CORE, [builtExample('proxy'), `127.0.0.1:${port}`, `127.0.0.1:${to}`]);
  await listening(port);
  return { name: 'engine', port, pid: child.pid ?? 0, stop: () => ended(child) };
}

export const engine: Bench = async (options) => {
  const up = await upstream();
  const gateway = await startGateway(plainBundle([`127.0.0.1:${up.port}`]));
  const others = [await engineAlone(up.port), ...(hasNginx ? [await nginxProxy(up.port, null)] : [])];
  try {
    const targets = [gateway, ...others].map((s) => target(s, 'http', s.port));
    const measured = await interleaved(targets, options, (t) => checkAnswer(t.load.url));
    return figures(measured, gateway.name, options.rounds);
  } finally {
    for (const s of [gateway, ...others, up]) await s.stop();
  }
};
