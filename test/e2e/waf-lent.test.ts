/**
 * Bodies that rules read in the memory of the transport, in the lane and in the pool: all of each is seen, however it comes, and when nothing is on its way nothing is held. Over real sockets.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { plainBundle } from '../harness/bundle.ts';
import { testAuthority } from '../harness/certs.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { RawConnection } from '../harness/raw-client.ts';
import { ask, askRaw, codeOf } from './client.ts';
import { Given, metricOf, untilIdle } from './given.ts';
import { wafRoute } from './waf-route.ts';

const ATTACK = 'an attack';
const RULES = `SecRequestBodyAccess On
SecResponseBodyAccess On
SecRule REQUEST_BODY "@contains ${ATTACK}" "id:100,phase:2,deny,msg:'in a request'"
SecRule RESPONSE_BODY "@contains ${ATTACK}" "id:101,phase:4,deny,msg:'in an answer'"
`;
const LANE_BYTES = 4_096;
const SEEN_BYTES = 120_000;
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
/** What the lane matches itself, what the pool does, and what is longer than rules see. */
const SIZES = [1, 3_000, 100_000, 400_000] as const;

function body(bytes: number, end = ''): Buffer {
  return Buffer.from(`a=${'x'.repeat(bytes)}${end}`);
}

describe('waf: bodies in the memory of the transport', () => {
  const given = new Given();
  let gateway: TestGateway;

  before(async () => {
    const upstream = await given.upstream({
      behaviours: {
        page: (request, response) => {
          const parts = /bytes=(\d+)(&bad)?/.exec(request.url ?? '');
          response.writeHead(200, { 'content-type': 'text/html' });
          response.end(body(Number(parts?.[1]), parts?.[2] === undefined ? '' : ATTACK));
        },
      },
    });
    gateway = await given.gateway({
      bundle: plainBundle([upstream.address], {
        waf: {
          mode: 'block',
          rules: ['waf/test.conf'],
          laneBytesMax: LANE_BYTES,
          bodyBytes: SEEN_BYTES,
          beyond: 'partial',
          responses: { inspect: true, bodyBytes: SEEN_BYTES, beyond: 'pass' },
        },
        files: { 'waf/test.conf': RULES },
        routes: { routes: [wafRoute('plain', {}), wafRoute('coded', { coded: 'decode' })] },
      }),
      // What is shed has no verdict to look at.
      bootstrap: { lanes: 2, overload: { enabled: false } },
    });
  });
  after(() => given.end());

  async function nothingIsHeld(): Promise<void> {
    await untilIdle(gateway);
    // Requests of clients that have left may be read only now, so that any of these may rise once more.
    const names = ['cnx_waf_lent_bodies', 'cnx_waf_lent_bytes', 'cnx_waf_pool_waiting'];
    await gateway.until('no body is lent, and none waits', async () => {
      const values = await Promise.all(names.map((name) => metricOf(gateway, name)));
      return values.every((value) => value === 0);
    });
  }

  for (const bytes of SIZES) {
    it(`a request of ${bytes} bytes and more is seen whole, with a length and in chunks`, async () => {
      const post = (sent: Buffer, headers: object): Promise<string> =>
        ask(gateway.ports.http, '/plain/echo', { method: 'POST', headers: { ...FORM, ...headers }, body: sent }).then(
          (heard) => (heard.status === 200 ? 'passes' : codeOf(heard)),
        );
      for (const headers of [{}, { 'transfer-encoding': 'chunked' }]) {
        assert.equal(await post(body(bytes), headers), 'passes');
        // Of what is longer only the begin is seen.
        assert.equal(await post(body(bytes, ATTACK), headers), bytes > SEEN_BYTES ? 'passes' : 'waf_blocked');
        assert.equal(await post(Buffer.concat([Buffer.from(ATTACK), body(bytes)]), headers), 'waf_blocked');
      }
      await nothingIsHeld();
    });

    it(`an answer of ${bytes} bytes and more is seen whole`, async () => {
      const get = (bad: string): Promise<string> =>
        ask(gateway.ports.http, `/plain/page?bytes=${bytes}${bad}`).then((heard) =>
          heard.status === 200 ? heard.body : codeOf(heard),
        );
      assert.equal(await get(''), body(bytes).toString());
      if (bytes < SEEN_BYTES) assert.equal(await get('&bad'), 'waf_answer_blocked');
      await nothingIsHeld();
    });

    it(`a request of ${bytes} bytes and more arrives as it was sent`, async () => {
      const sent = body(bytes, 'end');
      const heard = await ask(gateway.ports.http, '/plain/echo', { method: 'POST', headers: FORM, body: sent });
      assert.equal(heard.status, 200);
      assert.ok(heard.body.includes(sent.toString('base64')) || heard.body.includes(sent.toString()));
    });
  }

  it('a coded body is seen decoded', async () => {
    for (const [end, said] of [
      ['', 200],
      [ATTACK, 403],
    ] as const) {
      const headers = { ...FORM, 'content-encoding': 'gzip' };
      const sent = gzipSync(body(100_000, end));
      assert.equal(
        (await ask(gateway.ports.http, '/coded/echo', { method: 'POST', headers, body: sent })).status,
        said,
      );
    }
    await nothingIsHeld();
  });

  it('bodies of HTTP/2 are seen while more of them comes', async () => {
    const session = connectHttp2(`https://127.0.0.1:${gateway.ports.https}`, {
      ca: testAuthority().certificate,
      servername: 'localhost',
    });
    const statuses = await Promise.all(
      SIZES.map(async (bytes) => {
        const stream = session.request({ ':path': '/plain/echo', ':method': 'POST', ...FORM });
        stream.end(Buffer.concat([Buffer.from(ATTACK), body(bytes)]));
        const [head] = (await once(stream, 'response')) as [{ ':status'?: number }];
        stream.resume();
        return head[':status'];
      }),
    );
    session.destroy();
    assert.deepEqual(statuses, [403, 403, 403, 403]);
    await nothingIsHeld();
  });

  it('clients that go away at any time leave nothing behind', async () => {
    const head = (length: number): string =>
      `POST /plain/echo HTTP/1.1\r\nHost: shop.test\r\nContent-Type: ${FORM['content-type']}\r\nContent-Length: ${length}\r\n\r\n`;
    for (let round = 0; round < 8; round++) {
      const gone = SIZES.flatMap((bytes) =>
        [0.5, 1].map(async (share) => {
          const sent = body(bytes);
          const connection = await RawConnection.open({ port: gateway.ports.http });
          connection.send(head(sent.length));
          connection.send(sent.subarray(0, Math.floor(sent.length * share)));
          // Some go before the gateway has read it, some while the pool has it, some with the answer on its way.
          if (round % 2 === 1) await new Promise((resolve) => setTimeout(resolve, round));
          connection.destroy();
        }),
      );
      await Promise.all(gone);
    }
    await nothingIsHeld();
    const fine = await askRaw({ port: gateway.ports.http }, `${head(3)}a=b`, 'POST');
    fine.connection.destroy();
    assert.equal(fine.status, 200);
  });

  it('many at once are held only as long as they are on their way', async () => {
    const sent = body(100_000);
    await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const attack = i % 5 === 0;
        const heard = await ask(gateway.ports.http, '/plain/echo', {
          method: 'POST',
          headers: FORM,
          body: attack ? body(100_000, ATTACK) : sent,
        });
        assert.equal(heard.status, attack ? 403 : 200);
      }),
    );
    await nothingIsHeld();
  });
});
