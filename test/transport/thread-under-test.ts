/** A worker with one lane that refuses everything; ends when told to, in whichever way. */
import { parentPort, workerData } from 'node:worker_threads';
import { present } from '../../src/base/assert.ts';
import { Exchange } from '../../src/data/exchange.ts';
import { REFUSALS } from '../../src/data/refusal.ts';
import type { TransportEvents } from '../../src/data/transport/transport.ts';
import { makerOf, type TransportName } from './lane-under-test.ts';

const port = present(parentPort, 'parent');
const {
  laneIndex,
  port: listenPort,
  transport: name,
} = workerData as { laneIndex: number; port: number; transport: TransportName };

const events: TransportEvents = {
  begin: (wire) => {
    if (wire.path === '/throws') throw new Error('thrown in begin');
    wire.refuse(REFUSALS.policy_denied, `abcdef-0${laneIndex}-00000001`);
    return new Exchange(0);
  },
  wake: () => undefined,
  failed: () => undefined,
  hedgeDue: () => undefined,
  attemptFailed: () => undefined,
  head: () => undefined,
  shown: () => undefined,
  refused: () => undefined,
  finished: () => undefined,
  aborted: () => undefined,
};

const maker = await makerOf(name);
const transport = await maker({ events, laneIndex });
const bound = await transport.listen({
  id: 'test',
  address: '127.0.0.1',
  port: listenPort,
  tls: null,
  http2: false,
  proxyProtocolFrom: [],
  forwardedFrom: [],
});
port.on('message', (how: 'close' | 'exit' | 'throw') => {
  if (how === 'exit') process.exit(7);
  if (how === 'throw') throw new Error('asked for');
  transport.close();
  port.close();
});
port.postMessage(bound);
