/** What must hold for WebSockets: messages both ways, close codes both ways, subprotocols, refusals, bounded buffers. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import type { RawData } from 'ws';
import type { AddressInfo } from 'node:net';
import { freePorts } from '../../harness/ports.ts';
import { TestUpstream } from '../../harness/upstream.ts';
import { CAPABILITIES } from '../capabilities.ts';
import { endpointAt, eventually, LaneUnderTest, SUITE_TIMEOUT_MS, type TransportName } from '../lane-under-test.ts';

const PATIENCE_MS = 10_000;

const opened = async (socket: WebSocket): Promise<void> => void (await once(socket, 'open'));
const message = async (socket: WebSocket): Promise<[string, boolean]> => {
  const [data, isBinary] = (await once(socket, 'message')) as [RawData, boolean];
  return [(data as Buffer).toString('latin1'), isBinary];
};
const closed = async (socket: WebSocket): Promise<[number, string]> => {
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer];
  return [code, reason.toString()];
};

export function websockets(transport: TransportName): void {
  const can = CAPABILITIES[transport];
  /** Bytes of an echoed message of five and a close with a code: messages only, or frames with their heads and the client's masks. */
  const echoed = can.relaysMessages ? [5, 5] : [6 + 5 + 6 + 2, 2 + 5 + 2 + 2];
  describe(`${transport}: WebSockets`, { timeout: SUITE_TIMEOUT_MS }, () => {
    let origin: WebSocketServer;
    let lane: LaneUnderTest;
    const handshakes: IncomingMessage[] = [];
    /** How connections ended at the origin, by the path asked for. */
    const endings = new Map<string, [number, string]>();
    before(async () => {
      origin = new WebSocketServer({
        port: 0,
        host: '127.0.0.1',
        handleProtocols: (offered) => (offered.has('chat') ? 'chat' : false),
      });
      await once(origin, 'listening');
      origin.on('connection', (socket, request) => {
        handshakes.push(request);
        socket.on('error', () => undefined);
        socket.on('close', (code, reason) => endings.set(request.url ?? '', [code, reason.toString()]));
        socket.on('message', (data, isBinary) => {
          const text = (data as Buffer).toString('latin1');
          if (text === 'close 4001') socket.close(4001, 'asked for');
          else if (text === 'close') socket.close();
          else if (text === 'cut') socket.terminate();
          else if (text === 'flood') for (let i = 0; i < 400; i++) socket.send(Buffer.alloc(100_000));
          else socket.send(data, { binary: isBinary });
        });
      });
      lane = await LaneUnderTest.start({
        transport,
        endpoints: [endpointAt((origin.address() as AddressInfo).port)],
        websocket: true,
      });
    });
    after(() => {
      lane.close();
      for (const client of origin.clients) client.terminate();
      origin.close();
    });

    const open = async (path = '/', protocols: string[] = []): Promise<WebSocket> => {
      const socket = new WebSocket(`ws://127.0.0.1:${lane.port}${path}`, protocols, {
        headers: { 'x-own': '1' },
        perMessageDeflate: false,
        handshakeTimeout: PATIENCE_MS,
      });
      await opened(socket);
      return socket;
    };

    it('messages pass both ways, text as text and bytes as bytes', async () => {
      const socket = await open('/room?id=1');
      socket.send('hello');
      assert.deepEqual(await message(socket), ['hello', false]);
      socket.send(Buffer.from([0, 255, 1]));
      assert.deepEqual(await message(socket), ['\u0000\u00ff\u0001', true]);
      socket.send('x'.repeat(500_000));
      assert.equal((await message(socket))[0].length, 500_000);
      const request = handshakes.at(-1);
      assert.equal(request?.url, '/room?id=1');
      assert.equal(request?.headers['x-own'], '1');
      assert.equal(request?.headers['via'], '1.1 cloudnexus');
      socket.close();
      await closed(socket);
    });

    it('a subprotocol is agreed between the ends', async () => {
      const socket = await open('/', ['other', 'chat']);
      assert.equal(socket.protocol, 'chat');
      socket.close();
      await closed(socket);
    });

    it('close codes pass from the client', async () => {
      const socket = await open('/coded');
      socket.close(4002, 'bye');
      await eventually(() => endings.has('/coded'), 'the origin heard it');
      assert.deepEqual(endings.get('/coded'), [4002, 'bye']);
      const silent = await open('/silent');
      silent.close();
      await eventually(() => endings.has('/silent'), 'the origin heard it');
      assert.equal(endings.get('/silent')?.[0], 1005);
    });

    it('close codes pass from the origin', async () => {
      const socket = await open();
      socket.send('close 4001');
      assert.deepEqual(await closed(socket), [4001, 'asked for']);
      const silent = await open();
      silent.send('close');
      assert.equal((await closed(silent))[0], 1005);
      const cut = await open();
      cut.send('cut');
      assert.equal((await closed(cut))[0], 1006);
    });

    it('a client that vanishes frees the origin', async () => {
      const socket = await open('/vanishes');
      socket.terminate();
      await eventually(() => endings.has('/vanishes'), 'the origin heard it');
      await eventually(() => lane.transport.openExchanges === 0, 'the exchange ended');
    });

    it('each is one exchange, told once with its bytes', async () => {
      await eventually(() => lane.transport.openExchanges === 0, 'all ended');
      const from = lane.seen.length;
      const socket = await open();
      socket.send('12345');
      await message(socket);
      socket.close(1000);
      await closed(socket);
      const seen = (await lane.ended(from + 1))[from];
      assert.deepEqual(
        [seen?.status, seen?.upstreamStatus, seen?.bytesIn, seen?.bytesOut, seen?.aborted],
        [101, 101, ...echoed, false],
      );
      assert.equal(
        lane.columns.inflight.reduce((sum, n) => sum + n, 0),
        0,
      );
    });

    it('a client that does not read stops the origin', async () => {
      const socket = await open();
      socket.pause();
      socket.send('flood');
      await eventually(
        () => [...origin.clients].some((one) => one.bufferedAmount > 1_000_000),
        'the origin is held back',
      );
      let bytes = 0;
      socket.on('message', (data) => (bytes += (data as Buffer).length));
      socket.resume();
      await eventually(() => bytes === 40_000_000, 'everything arrived');
      socket.close();
      await closed(socket);
    });

    if (can.relaysMessages) {
      it('a message beyond the limit ends the connection', async () => {
        const socket = await open();
        socket.on('error', () => undefined);
        socket.send(Buffer.alloc(2_000_000));
        await closed(socket);
        await eventually(() => lane.transport.openExchanges === 0, 'the exchange ended');
      });
    } else {
      it('a message of any size is between the two ends', async () => {
        const socket = await open();
        socket.send(Buffer.alloc(20_000_000));
        assert.equal((await message(socket))[0].length, 20_000_000);
        socket.close();
        await closed(socket);
      });
    }

    it('an origin that refuses the handshake is heard by the client', async () => {
      const plain = await TestUpstream.start();
      const own = await LaneUnderTest.start({ transport, endpoints: [endpointAt(plain.port)], websocket: true });
      const socket = new WebSocket(`ws://127.0.0.1:${own.port}/status/403`);
      socket.on('error', () => undefined);
      const [, answer] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
      assert.equal(answer.statusCode, 403);
      assert.equal(answer.headers['x-upstream'], 'upstream');
      answer.resume();
      await own.ended(1);
      own.close();
      await plain.stop();
    });

    it('an origin that cannot be reached is a refusal, after another was tried', async () => {
      const [dead = 0] = await freePorts(1);
      const own = await LaneUnderTest.start({ transport, endpoints: [endpointAt(dead)], websocket: true });
      const socket = new WebSocket(`ws://127.0.0.1:${own.port}/`);
      socket.on('error', () => undefined);
      const [, answer] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
      assert.equal(answer.statusCode, 502);
      answer.resume();
      assert.equal((await own.ended(1))[0]?.attempts, 2);
      own.close();
    });

    it('a route that does not allow them refuses the handshake', async () => {
      const own = await LaneUnderTest.start({
        transport,
        endpoints: [endpointAt((origin.address() as AddressInfo).port)],
      });
      const socket = new WebSocket(`ws://127.0.0.1:${own.port}/`);
      socket.on('error', () => undefined);
      const [, answer] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
      assert.equal(answer.statusCode, 403);
      answer.resume();
      own.close();
    });

    it('draining asks both ends to go elsewhere, or waits for them', async () => {
      const own = await LaneUnderTest.start({
        transport,
        endpoints: [endpointAt((origin.address() as AddressInfo).port)],
        websocket: true,
      });
      const socket = new WebSocket(`ws://127.0.0.1:${own.port}/`);
      await opened(socket);
      const drained = own.transport.drain(can.relaysMessages ? 5_000 : 300);
      if (can.relaysMessages) {
        assert.equal((await closed(socket))[0], 1001);
        await drained;
        own.close();
        return;
      }
      // Nothing can be said within a tunnel. It goes on until the deadline, and ends with the lane.
      socket.send('still');
      assert.deepEqual(await message(socket), ['still', false]);
      await drained;
      const ended = closed(socket);
      own.close();
      assert.equal((await ended)[0], 1006);
    });

    it('ran without a stage having thrown', () => assert.deepEqual(lane.bugs, []));
  });
}
