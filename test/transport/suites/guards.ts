/** What must hold for hostile heads: refused, connection closed, nothing of it at the upstream; and a good request still passes afterwards. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { RawConnection } from '../../harness/raw-client.ts';
import { TestUpstream } from '../../harness/upstream.ts';
import { CAPABILITIES } from '../capabilities.ts';
import { endpointAt, LaneUnderTest, SUITE_TIMEOUT_MS, type TransportName } from '../lane-under-test.ts';

const PATIENCE_MS = 10_000;

/** Heads that must be answered 400 (or the status named) and closed. Literal bytes, one char each. */
const REFUSED: readonly (readonly [name: string, bytes: string, status?: number])[] = [
  ['the same Content-Length twice', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc'],
  ['a list of lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc'],
  ['a signed length', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc'],
  ['a negative length', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc'],
  ['a hexadecimal length', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc'],
  ['a length with a space', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 3\r\n\r\nabc'],
  ['a length of 20 digits', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nabc'],
  ['an empty length', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n'],
  ['an empty transfer coding', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n'],
  ['the coding identity', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n'],
  ['an unknown coding', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'],
  ['a quoted coding', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n'],
  ['a coding after chunked', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n'],
  ['a coding before chunked', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
  ['a comma before chunked', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n'],
  [
    'chunked twice',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  [
    'length and coding',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  [
    'coding and length',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
  ],
  ['no Host', 'GET / HTTP/1.1\r\nX: a\r\n\r\n'],
  ['two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n'],
  ['an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n'],
  ['a Host with userinfo', 'GET / HTTP/1.1\r\nHost: u:p@a\r\n\r\n'],
  ['a Host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n'],
  ['a list of Hosts', 'GET / HTTP/1.1\r\nHost: a, b\r\n\r\n'],
  ['a Host with a bad port', 'GET / HTTP/1.1\r\nHost: a:b\r\n\r\n'],
  ['DEL in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\u007fb\r\n\r\n'],
  ['raw 8-bit in the target', 'GET /\u00e9 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['DEL in the target', 'GET /\u007f HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a fragment', 'GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a fragment in the query', 'GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['an encoded slash', 'GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['an encoded NUL', 'GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a path above the root', 'GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a method that is no token', 'GE(T / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a method in lower case', 'get / HTTP/1.1\r\nHost: a\r\n\r\n', 501],
  [
    'an expectation that we do not know',
    'POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\na',
    417,
  ],
  ['a head beyond the limit', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`, 431],
  ['a head beyond what is read at all', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(80_000)}\r\n\r\n`, 431],
];

/** Only where values are decoded. */
const NO_UTF8: readonly (readonly [name: string, bytes: string, status?: number])[] = [
  ['bytes that are no UTF-8 in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\u00e9b\r\n\r\n'],
];

/** Messages that hide a second request; it must never be read as one. `hidden` must not be seen by the upstream, nor by a stage. */
const SMUGGLED: readonly (readonly [name: string, bytes: string])[] = [
  [
    'after a length of 0 and another',
    'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n',
  ],
  [
    'after an empty length',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n',
  ],
  [
    'after an empty coding',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n',
  ],
  [
    'as a trailer',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX:GET /hidden HTTP/1.1\r\nHost: evil\r\n\r\n',
  ],
  [
    'after a chunk size that is none',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n',
  ],
  ['after a refusal that closes', 'GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n'],
  [
    'after a length hidden by an empty name',
    'POST /a HTTP/1.1\r\nHost: a\r\n: x\r\nContent-Length: 40\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n',
  ],
];

export function guards(transport: TransportName): void {
  const can = CAPABILITIES[transport];
  describe(`${transport}: guards`, { timeout: SUITE_TIMEOUT_MS }, () => {
    let upstream: TestUpstream;
    let lane: LaneUnderTest;
    before(async () => {
      upstream = await TestUpstream.start({
        behaviours: {
          trailed: (request, response) => {
            request.resume();
            request.on('end', () => {
              response.writeHead(200, { trailer: 'x-back' });
              response.write(JSON.stringify(request.trailers));
              response.addTrailers({ 'x-back': '2' });
              response.end();
            });
          },
        },
      });
      // Two connections: what costs one for good shows within three requests.
      lane = await LaneUnderTest.start({ transport, endpoints: [endpointAt(upstream.port, { connectionsMax: 2 })] });
    });
    after(async () => {
      lane.close();
      await upstream.stop();
    });

    async function good(): Promise<void> {
      const connection = await RawConnection.open({ port: lane.port });
      connection.send('GET /status/200 HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.ok(await connection.until((got) => got.includes('status'), PATIENCE_MS));
      connection.destroy();
    }

    afterEach(async () => {
      for (let i = 0; i < 3; i++) await good();
    });

    for (const [name, bytes, status = 400] of can.opaqueValues ? REFUSED : [...REFUSED, ...NO_UTF8]) {
      it(`${name}: answered ${status} and closed`, async () => {
        const from = upstream.requests.length;
        const connection = await RawConnection.open({ port: lane.port });
        connection.send(bytes);
        assert.ok(await connection.untilClosed(PATIENCE_MS), 'not closed');
        assert.match(connection.received().toString('latin1'), new RegExp(`^HTTP/1\\.1 ${status} `));
        assert.equal(upstream.requests.length, from);
      });
    }

    for (const [name, bytes] of SMUGGLED) {
      it(`a request hidden ${name} is never one`, async () => {
        const from = upstream.requests.length;
        const seen = lane.seen.length;
        const connection = await RawConnection.open({ port: lane.port });
        connection.send(bytes);
        await connection.untilClosed(400);
        connection.destroy();
        await lane.ended(seen);
        assert.ok(upstream.requests.slice(from).every((one) => !one.url.includes('hidden')));
        assert.ok(lane.seen.slice(seen).every((one) => !one.path.includes('hidden')));
        assert.ok(upstream.requests.length <= from + 1);
      });
    }

    if (can.trailers) {
      it('trailers pass both ways, and what follows them is the next request', async () => {
        const from = upstream.requests.length;
        const connection = await RawConnection.open({ port: lane.port });
        connection.send(
          'POST /trailed HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n',
        );
        await new Promise((resolve) => setTimeout(resolve, 20));
        connection.send('\r\nGET /status/200 HTTP/1.1\r\nHost: a\r\n\r\n');
        assert.ok(await connection.until((got) => got.includes('status'), PATIENCE_MS));
        const text = connection.received().toString('latin1');
        connection.destroy();
        assert.ok(text.includes('{"x-sum":"1"}'), text);
        assert.match(text, /\r\n0\r\nx-back: 2\r\n\r\n/i);
        assert.doesNotMatch(text, /connection: close/i);
        assert.deepEqual(
          upstream.requests.slice(from).map((one) => one.url),
          ['/trailed', '/status/200'],
        );
      });

      it('a connection goes on after a chunked request, refused or not', async () => {
        const connection = await RawConnection.open({ port: lane.port });
        for (const path of ['/stream/10', '/refused']) {
          const from = connection.receivedBytes;
          connection.send(`POST ${path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`);
          assert.ok(await connection.until((got) => got.subarray(from).includes('\r\n\r\n'), PATIENCE_MS));
        }
        connection.destroy();
      });
    } else {
      it('trailers that come after the answer are never a request', async () => {
        const from = upstream.requests.length;
        const connection = await RawConnection.open({ port: lane.port });
        connection.send(
          'POST /status/200 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n',
        );
        assert.ok(await connection.until((got) => got.includes('status\r\n0\r\n\r\n'), PATIENCE_MS));
        assert.match(connection.received().toString('latin1'), /\r\nconnection: close\r\n/i);
        connection.send('GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n');
        await connection.untilClosed(300);
        connection.destroy();
        assert.deepEqual(
          upstream.requests.slice(from).map((one) => one.url),
          ['/status/200'],
        );
      });

      it('a connection is closed after a chunked request, at once when the answer is short', async () => {
        for (const path of ['/stream/10', '/refused%2f']) {
          const connection = await RawConnection.open({ port: lane.port });
          connection.send(`POST ${path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`);
          assert.ok(await connection.untilClosed(5_000), path);
          const text = connection.received().toString('latin1');
          assert.match(text, /^HTTP\/1\.1 [24]00 /);
          assert.equal(text.match(/connection: close/gi)?.length, 1);
          connection.destroy();
        }
      });
    }

    it('a PROXY header from anybody is not believed', async () => {
      const address: string[] = [];
      const own = await LaneUnderTest.start({
        transport,
        endpoints: [endpointAt(upstream.port)],
        authorize: (x) => {
          address.push(x.clientAddress);
          return 0;
        },
      });
      const connection = await RawConnection.open({ port: own.port });
      connection.send(
        '\r\n\r\n\u0000\r\nQUIT\n\u0021\u0011\u0000\u000c\u0001\u0002\u0003\u0004\u0005\u0006\u0007\u0008\u0000\u0001\u0000\u0002',
      );
      connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      await connection.until((got) => got.length > 0, 1_000);
      connection.destroy();
      assert.ok(address.every((one) => one === '127.0.0.1'));
      own.close();
    });

    it('a head in pieces is read like a head in one', async () => {
      const connection = await RawConnection.open({ port: lane.port });
      const head = 'GET /status/200 HTTP/1.1\r\nHost: a\r\nX-Long: abc\r\n\r\n';
      // Not within the request line where that fails, see docs/transport.md.
      if (can.bytewise) {
        for (let i = 0; i < 30; i++) {
          connection.send(head.slice(i, i + 1));
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      } else connection.send(head.slice(0, 30));
      await new Promise((resolve) => setTimeout(resolve, 20));
      connection.send(head.slice(30, 45));
      await new Promise((resolve) => setTimeout(resolve, 20));
      connection.send(head.slice(45));
      assert.ok(await connection.until((got) => got.includes('status'), PATIENCE_MS));
      connection.destroy();
    });

    it('pipelined requests are never answered out of order', async () => {
      const connection = await RawConnection.open({ port: lane.port });
      connection.send('GET /slow/50 HTTP/1.1\r\nHost: a\r\n\r\nGET /status/200 HTTP/1.1\r\nHost: a\r\n\r\n');
      const answered = await connection.until((got) => got.includes('status'), can.pipelines ? PATIENCE_MS : 500);
      const text = connection.received().toString('latin1');
      if (can.pipelines) assert.ok(answered);
      // Both in order, or none where the connection is cut.
      assert.ok(text === '' || text.indexOf('slow') < text.indexOf('status'));
      connection.destroy();
    });

    it('ran without a stage having thrown', () => assert.deepEqual(lane.bugs, []));
  });
}
