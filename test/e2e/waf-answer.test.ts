/**
 * The WAF and answers, on a running gateway with the Core Rule Set's own rules: what leaks is replaced, everything else passes as it was, and what may not be held is not.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, get as httpGet, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import type { Explanation } from '../../src/admin/explain.ts';
import { plainBundle } from '../harness/bundle.ts';
import { crsDirectory } from '../harness/crs.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { listening } from '../harness/ports.ts';
import type { TestUpstream } from '../harness/upstream.ts';
import { type Ask, ask, codeOf, type Heard, idOf, PATIENCE_MS } from './client.ts';
import { Given, untilIdle } from './given.ts';
import { wafRoute } from './waf-route.ts';

const crs = crsDirectory();
const ALLOWED = 'SecAction "id:100,phase:1,pass,nolog,setvar:tx.allowed_methods=GET HEAD POST PUT"';
const LEAK =
  'You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version for the right syntax to use near';
const page = (text: string): string => `<html><body><h1>Shop</h1><p>${text}</p></body></html>`;
/** Longer than what a lane matches itself. */
const LANE_BYTES = 4_096;
const LONG = 'lorem ipsum dolor sit amet '.repeat(1_000);
/** What is held back at most. */
const HELD_BYTES = 64 * 1024;
const DOWNLOAD = Buffer.alloc(1024 * 1024, LEAK);

function route(id: string, waf: object, more: object = {}): object {
  return wafRoute(id, waf, { cell: 'one', ...more });
}

/** Every file of the rule set by its name in the bundle. */
function crsFiles(directory: string): Record<string, Buffer> {
  const files: Record<string, Buffer> = {
    'waf/crs-setup.conf': readFileSync(join(directory, 'crs-setup.conf.example')),
  };
  for (const name of readdirSync(join(directory, 'rules'))) {
    if (!name.endsWith('.example')) files[`waf/${name}`] = readFileSync(join(directory, 'rules', name));
  }
  return files;
}

describe('waf: answers', { skip: crs === null ? 'the Core Rule Set is not here' : false }, () => {
  const given = new Given();
  let upstream: TestUpstream;
  let gateway: TestGateway;
  let sendSecond: (() => void) | undefined;

  before(async () => {
    upstream = await given.upstream({
      behaviours: {
        leak: (_, response) => {
          response.writeHead(500, { 'content-type': 'text/html; charset=utf-8' });
          response.end(page(LEAK));
        },
        'long-leak': (_, response) => {
          response.writeHead(200, { 'content-type': 'text/html' });
          response.end(page(`${LONG}${LEAK}`));
        },
        'late-leak': (_, response) => {
          response.writeHead(200, { 'content-type': 'text/html' });
          response.end(page(`${'x'.repeat(HELD_BYTES)}${LEAK}`));
        },
        page: (_, response) => {
          response.writeHead(200, { 'content-type': 'text/html', 'x-kept': 'yes' });
          response.end(page('red shoes'));
        },
        'long-page': (_, response) => {
          response.writeHead(200, { 'content-type': 'text/html' });
          response.end(page(LONG));
        },
        download: (_, response) => {
          response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': DOWNLOAD.length });
          response.end(DOWNLOAD);
        },
        part: (_, response) => {
          response.writeHead(206, {
            'content-type': 'text/html',
            'content-range': 'bytes 0-9/100',
            'content-length': 10,
          });
          response.end('0123456789');
        },
        events: (_, response) => {
          response.writeHead(200, { 'content-type': 'text/event-stream' });
          response.write('data: one\n\n');
          sendSecond = (): void => {
            response.end('data: two\n\n');
          };
        },
        coding: (request, response) => {
          response.writeHead(200, { 'content-type': 'text/plain' });
          response.end(request.headers['accept-encoding'] ?? 'none');
        },
      },
    });
    const http = createServer((_, response) => response.end('no socket'));
    const sockets = new WebSocketServer({ server: http });
    sockets.on('connection', (socket) => socket.on('message', (data: Buffer) => socket.send(data, { binary: false })));
    const socketPort = await listening(http);
    given.ends(() => {
      for (const client of sockets.clients) client.terminate();
      sockets.close();
      http.close();
    });
    const files = crsFiles(crs as string);
    const rules = Object.keys(files).filter((name) => name.endsWith('.conf'));
    const data = Object.keys(files).filter((name) => name.endsWith('.data'));
    gateway = await given.gateway({
      bundle: plainBundle([], {
        cells: {
          cells: [
            { id: 'one', endpoints: [{ address: upstream.address }] },
            { id: 'sockets', endpoints: [{ address: `127.0.0.1:${socketPort}` }] },
          ],
        },
        waf: {
          mode: 'block',
          rules: [...rules.slice(0, 1), 'waf/allowed.conf', ...rules.slice(1)],
          data,
          laneBytesMax: LANE_BYTES,
          responses: { inspect: true, bodyBytes: HELD_BYTES },
        },
        files: { ...files, 'waf/allowed.conf': ALLOWED },
        routes: {
          routes: [
            route('block', {}),
            route('socket', {}, { websocket: true, cell: 'sockets' }),
            route('detect', { mode: 'detect' }),
            route('unseen', { responses: { inspect: false } }),
            route('strict', { responses: { beyond: 'refuse' } }),
          ],
        },
      }),
      bootstrap: { lanes: 2 },
    });
  });
  after(() => given.end());

  const send = (path: string, options: Ask = {}): Promise<Heard> =>
    ask(gateway.ports.http, path, {
      ...options,
      headers: { host: 'shop.test', 'user-agent': 'Mozilla/5.0', accept: '*/*', ...options.headers },
    });
  const explained = async (heard: Heard): Promise<Explanation> =>
    (await gateway.admin(`/v1/explain/${idOf(heard)}`)) as Explanation;

  for (const [what, path] of [
    ['a short page', '/block/leak'],
    ['a long page, in the pool', '/block/long-leak'],
  ] as const) {
    it(`${what} that leaks is replaced, and the record says why`, async () => {
      const heard = await send(path);
      assert.equal(heard.status, 403);
      assert.equal(codeOf(heard), 'waf_answer_blocked');
      assert.doesNotMatch(heard.body, /SQL|Shop/);
      const account = await explained(heard);
      assert.equal(account.refusal?.code, 'waf_answer_blocked');
      assert.equal(account.refusal?.stage, 'respond');
      assert.ok((account.waf.answerScore ?? 0) >= 4, 'its outbound score');
      assert.ok(
        account.waf.matches.some(({ rule }) => rule >= 951_000 && rule < 952_000),
        JSON.stringify(account.waf),
      );
      assert.notEqual(account.upstream, null);
    });
  }

  it('what leaks nothing passes as it was', async () => {
    const short = await send('/block/page');
    assert.deepEqual([short.status, short.body, short.headers['x-kept']], [200, page('red shoes'), 'yes']);
    const long = await send('/block/long-page');
    assert.deepEqual([long.status, long.body === page(LONG)], [200, true]);
  });

  it('in detect mode it is recorded, and passes', async () => {
    const heard = await send('/detect/leak');
    assert.equal(heard.status, 500);
    assert.match(heard.body, /SQL syntax/);
    const account = await explained(heard);
    assert.equal(account.waf.verdict, 'detected');
    assert.ok(account.waf.matches.some(({ rule }) => rule >= 951_000 && rule < 952_000));
  });

  it('a route that does not inspect answers does not', async () => {
    const heard = await send('/unseen/leak');
    assert.match(heard.body, /SQL syntax/);
    assert.equal((await explained(heard)).waf.verdict, 'pass');
  });

  it('beyond what is held the rest passes, or the answer is refused', async () => {
    const passed = await send('/block/late-leak');
    assert.deepEqual([passed.status, passed.body.length], [200, page('').length + HELD_BYTES + LEAK.length]);
    const refused = await send('/strict/late-leak');
    assert.deepEqual([refused.status, codeOf(refused)], [502, 'waf_answer_failed']);
  });

  it('the upstream is asked for what rules can see into', async () => {
    const headers = { 'accept-encoding': 'gzip, br' };
    assert.equal((await send('/block/coding', { headers })).body, 'identity');
    assert.equal((await send('/unseen/coding', { headers })).body, 'gzip, br');
  });

  it('downloads and ranges pass', async () => {
    const whole = await send('/block/download');
    assert.deepEqual([whole.status, whole.body.length], [200, DOWNLOAD.length]);
    const part = await send('/block/part');
    assert.deepEqual([part.status, part.body], [206, '0123456789']);
    const head = await send('/block/page', { method: 'HEAD' });
    assert.deepEqual([head.status, head.body, head.headers['x-kept']], [200, '', 'yes']);
  });

  it('of an event stream the first event arrives before the second is sent', async () => {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      httpGet(
        {
          host: '127.0.0.1',
          port: gateway.ports.http,
          path: '/block/events',
          headers: { host: 'shop.test', 'user-agent': 'Mozilla/5.0', accept: 'text/event-stream' },
          timeout: PATIENCE_MS,
        },
        resolve,
      ).on('error', reject);
    });
    let text = '';
    for await (const chunk of answer) {
      text += String(chunk);
      if (text === 'data: one\n\n') sendSecond?.();
    }
    assert.equal(text, 'data: one\n\ndata: two\n\n');
  });

  it('WebSockets are relayed', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.ports.http}/socket/`, {
      handshakeTimeout: PATIENCE_MS,
      headers: { host: 'shop.test', 'user-agent': 'Mozilla/5.0', accept: '*/*' },
    });
    const said = await new Promise<string>((resolve, reject) => {
      socket.on('open', () => socket.send(LEAK));
      socket.on('message', (data: Buffer) => resolve(data.toString()));
      socket.on('error', reject);
    });
    assert.equal(said, LEAK);
    socket.terminate();
  });

  it('nothing stays in flight', async () => {
    await untilIdle(gateway);
  });
});
