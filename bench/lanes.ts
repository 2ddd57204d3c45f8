/** Two lanes beside two nginx workers, load and upstream on the same two cores: what is lost by sharing. */
import { plainBundle } from '../test/harness/bundle.ts';
import { startGateway } from './lib/gateway.ts';
import { hasNginx, nginxProxy, upstream } from './lib/peers.ts';
import { figures, interleaved } from './lib/rounds.ts';
import { checkAnswer, target } from './plain.ts';
import type { Bench } from './lib/bench.ts';

const LANES = 2;

export const lanes: Bench = async (options) => {
  const up = await upstream();
  const gateway = await startGateway(plainBundle([`127.0.0.1:${up.port}`]), { lanes: LANES, core: null });
  const peers = hasNginx ? [await nginxProxy(up.port, null, { workers: LANES, core: null })] : [];
  try {
    const targets = [gateway, ...peers].map((s) => target(s, 'http', s.port));
    const measured = await interleaved(targets, options, (t) => checkAnswer(t.load.url));
    return figures(measured, gateway.name, options.rounds);
  } finally {
    for (const s of [gateway, ...peers, up]) await s.stop();
  }
};
