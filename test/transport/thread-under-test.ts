/** A worker with one lane that refuses everything; ends when told to. */
import { parentPort, workerData } from 'node:worker_threads';
import { present } from '../../src/base/assert.ts';
import { Exchange } from '../../src/data/exchange.ts';
import { REFUSALS } from '../../src/data/refusal.ts';
import type { TransportEvents } from '../../src/data/transport/transport.ts';
import { makeUwsTransport } from '../../src/data/transport/uws/index.ts';

const port = present(parentPort, 'parent');
const { laneIndex, port: listenPort } = workerData as { laneIndex: number; port: number };

const events: TransportEvents = {
  begin: (wire) => {
    wire.refuse(REFUSALS.policy_denied, `abcdef-0${laneIndex}-00000001`);
    return new Exchange(0);
  },
  wake: () => undefined,
  failed: () => undefined,
  head: () => undefined,
  refused: () => undefined,
  finished: () => undefined,
  aborted: () => undefined,
};

const transport = await makeUwsTransport({ events, laneIndex });
const bound = await transport.listen({
  id: 'test',
  address: '127.0.0.1',
  port: listenPort,
  tls: null,
  http2: false,
  proxyProtocolFrom: [],
  forwardedFrom: [],
});
port.on('message', () => {
  transport.close();
  port.close();
});
port.postMessage(bound);
