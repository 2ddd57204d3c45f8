/** HTTP/2 over TLS, several streams a connection, by h2load; nginx beside it. HAProxy too where it is installed. */
import { plainBundle } from '../test/harness/bundle.ts';
import { testAuthority } from '../test/harness/certs.ts';
import { startGateway } from './lib/gateway.ts';
import { h2load, hasH2load } from './lib/h2load.ts';
import { hasHaproxy, hasNginx, haproxyProxy, nginxProxy, upstream } from './lib/peers.ts';
import { checkAnswer, bothFile } from './plain.ts';
import { figures, interleaved } from './lib/rounds.ts';
import type { Bench } from './lib/bench.ts';

/** Unit: connections. */
const CONNECTIONS = 16;
/** Unit: streams of one connection at once. */
const STREAMS = 10;

export const http2: Bench = async (options) => {
  if (!hasH2load) {
    console.error('  h2load is not installed: nothing is measured (apt-get install nghttp2-client)');
    return [];
  }
  const up = await upstream();
  const leaf = testAuthority().leaf();
  const gateway = await startGateway(plainBundle([`127.0.0.1:${up.port}`]));
  const peers = [
    ...(hasNginx ? [await nginxProxy(up.port, leaf)] : []),
    ...(hasHaproxy ? [await haproxyProxy(up.port, { ...leaf, bothFile: bothFile() })] : []),
  ];
  try {
    const targets = [{ ...gateway, port: gateway.httpsPort }, ...peers].map((s) => ({
      name: s.name,
      pid: s.pid,
      load: { url: `https://127.0.0.1:${s.port}/bench`, connections: CONNECTIONS, streams: STREAMS },
    }));
    const measured = await interleaved(targets, options, (t) => checkAnswer(t.load.url), h2load);
    return figures(measured, gateway.name, options.rounds);
  } finally {
    for (const s of [gateway, ...peers, up]) await s.stop();
  }
};
