/** What must hold for bodies: flat memory, back-pressure, inspection, limits. */
import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { BodyState } from '../../../src/data/transport/transport.ts';
import { RawConnection } from '../../harness/raw-client.ts';
import { TestUpstream } from '../../harness/upstream.ts';
import { endpointAt, eventually, LaneUnderTest, SUITE_TIMEOUT_MS, type TransportName } from '../lane-under-test.ts';

const PATIENCE_MS = 20_000;
/** What is streamed through; CNX_TEST_STREAM_BYTES makes it shorter on a slow machine. */
const STREAM_BYTES = Number(process.env['CNX_TEST_STREAM_BYTES'] ?? 1024 * 1024 * 1024);
const CHUNK = Buffer.alloc(256 * 1024, 'x');
/** Resident memory may grow by this much while it streams: buffers of both sockets, and what the collector has not seen yet. */
const GROWTH_BYTES_MAX = 160 * 1024 * 1024;

/** Largest resident memory seen while `work` ran, above what it was before. */
async function growthDuring(work: () => Promise<void>): Promise<number> {
  const before = process.memoryUsage.rss();
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss());
  }, 20);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return most - before;
}

/** Sends so many bytes as fast as they are taken; resolves with the answer's body. */
function upload(port: number, bytes: number, chunked: boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = chunked ? {} : { 'content-length': String(bytes) };
    const request = httpRequest({ host: '127.0.0.1', port, method: 'POST', path: '/sink', headers }, (answer) => {
      let text = '';
      answer.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
      answer.on('end', () => resolve(text));
    });
    request.on('error', reject);
    let left = bytes;
    const write = (): void => {
      while (left > 0) {
        const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
        left -= chunk.length;
        if (!request.write(chunk)) {
          request.once('drain', write);
          return;
        }
      }
      request.end();
    };
    write();
  });
}

function download(port: number, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, path }, (answer) => {
      let bytes = 0;
      answer.on('data', (chunk: Buffer) => (bytes += chunk.length));
      answer.on('end', () => resolve(bytes));
      answer.on('error', reject);
    });
    request.on('error', reject);
    request.end();
  });
}

export function bodies(transport: TransportName): void {
  describe(`${transport}: bodies`, { timeout: SUITE_TIMEOUT_MS }, () => {
    let upstream: TestUpstream;
    let lane: LaneUnderTest;
    before(async () => {
      upstream = await TestUpstream.start();
      lane = await LaneUnderTest.start({ transport, endpoints: [endpointAt(upstream.port)] });
    });
    after(async () => {
      lane.close();
      await upstream.stop();
    });

    it(`of ${STREAM_BYTES} bytes stream to the client in flat memory`, async () => {
      const growth = await growthDuring(async () =>
        assert.equal(await download(lane.port, `/stream/${STREAM_BYTES}`), STREAM_BYTES),
      );
      assert.ok(growth < GROWTH_BYTES_MAX, `memory grew by ${growth} bytes`);
    });

    it(`of ${STREAM_BYTES} bytes stream to the upstream in flat memory`, async () => {
      const growth = await growthDuring(async () =>
        assert.equal(await upload(lane.port, STREAM_BYTES, false), String(STREAM_BYTES)),
      );
      assert.ok(growth < GROWTH_BYTES_MAX, `memory grew by ${growth} bytes`);
    });

    it('in chunks stream both ways', async () => {
      const bytes = 20_000_000;
      assert.equal(await download(lane.port, `/chunked/${bytes}`), bytes);
      assert.equal(await upload(lane.port, bytes, true), String(bytes));
    });

    for (const kind of ['stream', 'chunked']) {
      it(`that a client does not read (${kind}) stop the upstream, and go on when it reads again`, async () => {
        const bytes = 200_000_000;
        const from = upstream.streamedBytes;
        const connection = await RawConnection.open({ port: lane.port, receivedBytesMax: 2 * bytes });
        connection.socket.pause();
        connection.send(`GET /${kind}/${bytes} HTTP/1.1\r\nHost: a\r\n\r\n`);
        // Sent until every buffer on the way is full: the same figure twice in a row.
        let last = -1;
        await eventually(() => {
          const now = upstream.streamedBytes - from;
          const still = now > 0 && now === last;
          last = now;
          return still;
        }, 'the upstream was stopped');
        await new Promise((resolve) => setTimeout(resolve, 300));
        const held = upstream.streamedBytes - from;
        assert.ok(held < 60_000_000, `the upstream wrote ${held} bytes to a client that reads nothing`);
        connection.socket.resume();
        await eventually(() => connection.receivedBytes > bytes, 'the whole body arrived', PATIENCE_MS);
        connection.destroy();
      });
    }

    it('that an upstream does not read stop the client', async () => {
      const slow = await TestUpstream.start({ behaviours: { stuck: (request) => request.pause() } });
      const own = await LaneUnderTest.start({ transport, endpoints: [endpointAt(slow.port)] });
      const connection = await RawConnection.open({ port: own.port });
      connection.send('POST /stuck HTTP/1.1\r\nHost: a\r\nContent-Length: 200000000\r\n\r\n');
      let sent = 0;
      let full = false;
      connection.socket.on('error', () => undefined);
      const pump = (): void => {
        while (sent < 200_000_000) {
          sent += CHUNK.length;
          if (!connection.socket.write(CHUNK)) {
            connection.socket.once('drain', pump);
            return;
          }
        }
        full = true;
      };
      pump();
      let last = -1;
      for (let still = 0; still < 5; ) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        still = sent === last ? still + 1 : 0;
        last = sent;
      }
      assert.equal(full, false);
      assert.ok(sent < 60_000_000, `the client sent ${sent} bytes to an upstream that reads nothing`);
      connection.destroy();
      own.close();
      await slow.stop();
    });

    it('are inspected whole or up to a limit, and forwarded whole', async () => {
      const table: readonly [number, number, BodyState][] = [
        [0, 100, BodyState.Complete],
        [50, 100, BodyState.Complete],
        [100, 100, BodyState.Complete],
        [101, 100, BodyState.Cut],
        [50_000, 100, BodyState.Cut],
        [300_000, 200_000, BodyState.Cut],
        [300_000, 400_000, BodyState.Complete],
      ];
      for (const [size, limit, state] of table) {
        for (const chunked of [false, true]) {
          let said: BodyState | undefined;
          let looked: Buffer = Buffer.alloc(0);
          const own = await LaneUnderTest.start({
            transport,
            endpoints: [endpointAt(upstream.port)],
            inspect: limit,
            inspected: (body, found) => {
              looked = body;
              said = found;
            },
          });
          assert.equal(await upload(own.port, size, chunked), String(size));
          assert.equal(said, state, `${size} of ${limit}`);
          if (state === BodyState.Complete) assert.equal(looked.length, size);
          else assert.equal(looked.length, limit);
          assert.ok(looked.every((byte) => byte === 0x78));
          own.close();
        }
      }
    });

    it('that arrive in pieces are inspected when the last one is here', async () => {
      let looked = '';
      const own = await LaneUnderTest.start({
        transport,
        endpoints: [endpointAt(upstream.port)],
        inspect: 1_000,
        inspected: (body) => {
          looked = body.toString('latin1');
        },
      });
      const connection = await RawConnection.open({ port: own.port });
      connection.send('POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc');
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(looked, '');
      assert.equal(own.seen.length, 0);
      connection.send('def');
      await new Promise((resolve) => setTimeout(resolve, 20));
      connection.send('ghi');
      assert.ok(await connection.until((got) => got.includes('abcdefghi'), PATIENCE_MS));
      assert.equal(looked, 'abcdefghi');
      connection.destroy();
      own.close();
    });

    it('beyond the limit are refused, declared or not, and never reach the upstream whole', async () => {
      const own = await LaneUnderTest.start({
        transport,
        endpoints: [endpointAt(upstream.port)],
        limits: { bodyBytesMax: 100_000 },
      });
      const from = upstream.requests.length;
      const declared = await RawConnection.open({ port: own.port });
      declared.send('POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n');
      assert.ok(await declared.until((got) => got.includes('body_too_large'), PATIENCE_MS));
      assert.match(declared.received().toString('latin1'), /^HTTP\/1\.1 413 /);
      assert.equal(upstream.requests.length, from);
      declared.destroy();
      const chunked = await RawConnection.open({ port: own.port });
      chunked.send('POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
      for (let i = 0; i < 20; i++) chunked.send(`2710\r\n${'x'.repeat(10_000)}\r\n`);
      assert.ok(await chunked.until((got) => got.includes('body_too_large'), PATIENCE_MS));
      chunked.destroy();
      const [first, second] = await own.ended(2);
      assert.equal(first?.refusal, 'body_too_large');
      assert.equal(second?.refusal, 'body_too_large');
      await eventually(() => upstream.requests.slice(from).every((seen) => seen.aborted), 'the upstream was let go');
      assert.ok(upstream.requests.slice(from).every((seen) => !seen.complete));
      own.close();
    });

    it('of exactly the limit pass', async () => {
      const own = await LaneUnderTest.start({
        transport,
        endpoints: [endpointAt(upstream.port)],
        limits: { bodyBytesMax: 100_000 },
      });
      assert.equal(await upload(own.port, 100_000, false), '100000');
      assert.equal(await upload(own.port, 100_000, true), '100000');
      own.close();
    });

    it('of events arrive one by one, not when the stream ends', async () => {
      const events = await TestUpstream.start({
        behaviours: {
          events: (request, response) => {
            response.writeHead(200, { 'content-type': 'text/event-stream' });
            response.flushHeaders();
            setTimeout(() => response.write('data: 1\n\n'), 50);
            request.on('close', () => undefined);
          },
        },
      });
      const own = await LaneUnderTest.start({ transport, endpoints: [endpointAt(events.port)] });
      const client = await RawConnection.open({ port: own.port });
      client.send('GET /events HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.ok(await client.until((got) => got.includes('data: 1'), PATIENCE_MS));
      client.destroy();
      own.close();
      await events.stop();
    });

    it('ran without a stage having thrown', () => assert.deepEqual(lane.bugs, []));
  });
}
