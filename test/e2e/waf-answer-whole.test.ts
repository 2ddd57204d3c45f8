/**
 * Nobody gets an answer past the WAF in a form in which its rules see nothing: no parts, no codings, no differences. On each transport, over real sockets.
 */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import type { Explanation } from '../../src/admin/explain.ts';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import type { TestUpstream } from '../harness/upstream.ts';
import { fieldOf } from '../conformance/http1/responses.ts';
import { askRaw, codeOf } from './client.ts';
import { Given, untilIdle } from './given.ts';
import { wafRoute } from './waf-route.ts';

const LEAK = 'the secret recipe';
const RULES = `SecResponseBodyAccess On
SecRule RESPONSE_BODY "@contains ${LEAK}" "id:100,phase:4,deny,msg:'a leak'"
`;
const HELD_BYTES = 16 * 1024;
const clean = Buffer.from(`<p>${'red shoes '.repeat(50)}</p>`);
const leaking = Buffer.concat([clean, Buffer.from(LEAK)]);
/** What compresses to less than itself by little, and to more than what is inspected. */
const noise = Buffer.from(
  Array.from({ length: 9_000 }, (_, i) => ((i * i * 2_654_435_761) >>> 7).toString(36)).join(' '),
);

const CODERS: Readonly<Record<string, (body: Buffer) => Buffer>> = {
  gzip: gzipSync,
  br: brotliCompressSync,
  deflate: deflateSync,
  zstd: zstdCompressSync,
};

interface Got {
  readonly status: number;
  readonly body: string;
  readonly field: (name: string) => string;
}

/** Answers as a server that knows ranges: the part when one is asked for, with its own type. */
function ranged(response: ServerResponse, range: string | undefined): void {
  const found = /^bytes=(\d+)-(\d+)$/.exec(range ?? '');
  if (found === null) {
    response.writeHead(200, { 'content-type': 'text/html', 'accept-ranges': 'bytes' });
    response.end(leaking);
    return;
  }
  const [from, to] = [Number(found[1]), Number(found[2])];
  response.writeHead(206, {
    'content-type': 'text/html',
    'content-range': `bytes ${from}-${to}/${leaking.length}`,
  });
  response.end(leaking.subarray(from, to + 1));
}

for (const transport of ['native', 'uws'] as const) {
  describe(`waf: answers are seen whole (${transport})`, () => {
    const given = new Given();
    let upstream: TestUpstream;
    let gateway: TestGateway;

    before(async () => {
      upstream = await given.upstream({
        behaviours: {
          file: (request, response) => ranged(response, request.headers.range),
          asked: (request, response) => {
            response.writeHead(200, { 'content-type': 'text/plain' });
            const { range, 'if-range': ifRange, 'a-im': aim, 'accept-encoding': coding } = request.headers;
            response.end(JSON.stringify([range ?? '', ifRange ?? '', aim ?? '', coding ?? '']));
          },
          // Though nobody asks for it.
          part: (request, response) => {
            const body = request.url?.includes('leak') === true ? leaking : clean;
            response.writeHead(206, {
              'content-type': 'text/html',
              'content-range': `bytes 0-${body.length - 1}/9999`,
            });
            response.end(body);
          },
          parts: (_, response) => {
            response.writeHead(206, { 'content-type': 'multipart/byteranges; boundary=x' });
            response.end(`--x\r\nContent-Type: text/html\r\nContent-Range: bytes 0-1/9\r\n\r\n${LEAK}\r\n--x--\r\n`);
          },
          // `/coded/<coding>/<what>`: with its name in capitals, which mean nothing.
          coded: (request, response) => {
            const [, , coding = '', what] = (request.url ?? '').split('/');
            const plain = what === 'clean' ? clean : what === 'leak' ? leaking : Buffer.concat([noise, leaking]);
            const body = CODERS[coding]?.(plain) ?? plain;
            response.writeHead(200, { 'Content-Type': 'text/html', 'CONTENT-ENCODING': coding });
            response.end(body);
          },
        },
      });
      gateway = await given.gateway({
        bundle: plainBundle([], {
          cells: { cells: [{ id: 'one', endpoints: [{ address: upstream.address }] }] },
          waf: { mode: 'block', rules: ['waf/test.conf'], responses: { inspect: true, bodyBytes: HELD_BYTES } },
          files: { 'waf/test.conf': RULES },
          routes: {
            routes: [
              wafRoute('block', {}),
              wafRoute('strict', { responses: { beyond: 'refuse' } }),
              wafRoute('refuse', { responses: { coded: 'refuse' } }),
              wafRoute('pass', { responses: { coded: 'pass' } }),
              wafRoute('detect', { mode: 'detect' }),
              wafRoute('heads', { responses: { bodyBytes: 0 } }),
            ],
          },
        }),
        bootstrap: { transport, lanes: 1 },
      });
    });
    after(() => given.end());

    /** Exactly these fields, also those that a library would not send. */
    const send = async (path: string, fields: readonly string[] = []): Promise<Got> => {
      const lines = [`GET ${path} HTTP/1.1`, 'Host: shop.test', ...fields, '', ''];
      const answer = await askRaw({ port: gateway.ports.http }, lines.join('\r\n'));
      answer.connection.destroy();
      const field = (name: string): string => fieldOf(answer, name) ?? '';
      return { status: answer.status, body: answer.body.toString('latin1'), field };
    };
    const detailOf = async (got: Got): Promise<string> =>
      ((await gateway.admin(`/v1/explain/${got.field('x-request-id')}`)) as Explanation).detail;

    it('a part of a leak is not to be had: the whole is judged', async () => {
      const half = clean.length + (LEAK.length >> 1);
      for (const fields of [
        [],
        [`Range: bytes=0-${half}`],
        [`Range: bytes=${half}-${leaking.length - 1}`],
        ['RANGE: bytes=0-9', 'range: bytes=10-19'],
        [`Range: bytes=${half}-${leaking.length - 1}`, 'If-Range: "x"'],
      ]) {
        const heard = await send('/block/file', fields);
        assert.deepEqual([heard.status, codeOf(heard)], [403, 'waf_answer_blocked'], fields.join());
      }
    });

    it('the upstream hears of no part, difference or coding; where bodies are not looked into it does', async () => {
      const fields = ['Range: bytes=0-9', 'If-Range: "x"', 'A-IM: vcdiff', 'Accept-Encoding: gzip'];
      for (const route of ['block', 'detect', 'pass'])
        assert.deepEqual(JSON.parse((await send(`/${route}/asked`, fields)).body), ['', '', '', 'identity'], route);
      assert.deepEqual(JSON.parse((await send('/heads/asked', fields)).body), ['bytes=0-9', '"x"', 'vcdiff', 'gzip']);
    });

    it('a part that nobody asked for is judged as what it is sent as; several in one are refused', async () => {
      assert.equal((await send('/block/part')).status, 206);
      assert.equal(codeOf(await send('/block/part?leak')), 'waf_answer_blocked');
      const parts = await send('/block/parts');
      assert.deepEqual([parts.status, codeOf(parts)], [502, 'waf_answer_failed']);
      const watched = await send('/detect/parts');
      assert.equal(watched.status, 206);
      assert.match(await detailOf(watched), /nobody had asked for: the answer was not inspected/);
      assert.equal((await send('/pass/parts')).status, 206);
    });

    for (const coding of Object.keys(CODERS)) {
      it(`an answer in ${coding} is judged by what it says, and passes as it came`, async () => {
        const heard = await send(`/block/coded/${coding}/clean`);
        assert.deepEqual([heard.status, heard.field('content-encoding')], [200, coding]);
        assert.equal(heard.body, (CODERS[coding] as (body: Buffer) => Buffer)(clean).toString('latin1'));
        assert.equal(codeOf(await send(`/block/coded/${coding}/leak`)), 'waf_answer_blocked');
        assert.equal(codeOf(await send(`/refuse/coded/${coding}/clean`)), 'waf_answer_failed');
        assert.equal((await send(`/detect/coded/${coding}/leak`)).status, 200);
        const passed = await send(`/pass/coded/${coding}/leak`);
        assert.equal(passed.status, 200);
        assert.match(await detailOf(passed), /only its head was inspected/);
      });
    }

    it('an answer that is too long once decoded is one that is too long', async () => {
      assert.ok(gzipSync(noise).length > HELD_BYTES);
      assert.equal((await send('/block/coded/gzip/long')).status, 200);
      assert.equal(codeOf(await send('/strict/coded/gzip/long')), 'waf_answer_failed');
    });

    it('what is coded in a way that is not read is refused, and only told of in detect mode', async () => {
      const heard = await send('/block/coded/compress/clean');
      assert.deepEqual([heard.status, codeOf(heard)], [502, 'waf_answer_failed']);
      const watched = await send('/detect/coded/compress/clean');
      assert.equal(watched.status, 200);
      assert.match(await detailOf(watched), /coded in a way that is not read: the answer was not inspected/);
    });

    it('nothing stays in flight', async () => {
      await untilIdle(gateway);
    });
  });
}
