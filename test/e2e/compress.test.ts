/** Compressed answers of a running gateway: what Node's decoders and curl make of them, over HTTP/1.1 and 2, from origins and from the cache. */
import assert from 'node:assert/strict';
import { createServer, type IncomingHttpHeaders, request as httpRequest, type RequestListener } from 'node:http';
import { connect } from 'node:http2';
import { after, before, describe, it } from 'node:test';
import { brotliDecompressSync, createGunzip, gunzipSync, gzipSync, zstdDecompressSync } from 'node:zlib';
import { runTool } from '../clients/tool.ts';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { listening } from '../harness/ports.ts';
import { Given } from './given.ts';

const TEXT = Array.from({ length: 4_000 }, (_, i) => `line ${i} of a text`).join('\n');
const DECODERS = { gzip: gunzipSync, br: brotliDecompressSync, zstd: zstdDecompressSync };
type Coding = keyof typeof DECODERS;
const CODINGS = ['gzip', 'br', 'zstd'] as const satisfies readonly Coding[];
const PATIENCE_MS = 30_000;

/** Pieces of a slow stream: the next one comes when the one before was heard of. */
const slow: { next: (() => void) | null } = { next: null };

const origin: RequestListener = (request, response) => {
  const path = (request.url ?? '').replace(/^\/(cached|inspected|few)/, '');
  switch (path) {
    case '/text':
      response.writeHead(200, {
        'content-type': 'text/plain; charset=utf-8',
        'content-length': TEXT.length,
        'cache-control': 'max-age=600',
        'accept-ranges': 'bytes',
        etag: '"one"',
      });
      response.end(TEXT);
      break;
    case '/pieces':
      response.writeHead(200, { 'content-type': 'application/problem+json' });
      for (let at = 0; at < TEXT.length; at += 999) response.write(TEXT.slice(at, at + 999));
      response.end();
      break;
    case '/coded':
      response.writeHead(200, { 'content-type': 'text/plain', 'content-encoding': 'gzip' }).end(gzipSync(TEXT));
      break;
    case '/events':
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(TEXT);
      break;
    case '/slow': {
      response.writeHead(200, { 'content-type': 'text/html' });
      let count = 0;
      const next = (): void => {
        response.write(`<p>piece ${count++}</p>`);
        slow.next = next;
        if (count === 4) response.end();
      };
      next();
      break;
    }
    default:
      response.writeHead(404).end();
  }
};

interface Heard {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

function ask(port: number, path: string, headers: Readonly<Record<string, string>>, method = 'GET'): Promise<Heard> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ port, path, method, headers, timeout: PATIENCE_MS }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    sent.on('timeout', () => sent.destroy(new Error(`no answer to ${path}`)));
    sent.on('error', reject);
    sent.end();
  });
}

describe('compression', () => {
  const given = new Given();
  let gateway: TestGateway;

  before(async () => {
    const server = createServer(origin);
    const port = await listening(server);
    given.ends(() => {
      server.closeAllConnections();
      server.close();
    });
    const open = { access: 'public', reason: 'everything, for a test' };
    const route = (id: string, prefix: string, more: object): object => ({
      id,
      match: { path: { prefix } },
      ...open,
      ...more,
    });
    gateway = await given.gateway({
      bundle: plainBundle([`127.0.0.1:${port}`], {
        routes: {
          routes: [
            route('cached', '/cached', { compress: {}, cache: {} }),
            route('few', '/few', { compress: { algorithms: ['gzip'], types: ['application/json'] } }),
            route('all', '/', { compress: {} }),
          ],
        },
      }),
      bootstrap: { transport: 'native' },
      listener: { http2: true },
    });
  });
  after(() => given.end());

  it('gives each client what it takes, and says so', async () => {
    for (const coding of CODINGS) {
      for (const path of ['/text', '/pieces']) {
        const heard = await ask(gateway.ports.http, path, { 'accept-encoding': coding });
        assert.equal(heard.headers['content-encoding'], coding);
        assert.equal(heard.headers['content-length'], undefined);
        assert.equal(heard.headers['vary'], 'accept-encoding');
        assert.equal(heard.headers['accept-ranges'], undefined);
        assert.equal(heard.headers['etag'], path === '/text' ? 'W/"one"' : undefined);
        assert.ok(heard.body.length < TEXT.length / 3);
        assert.equal(DECODERS[coding](heard.body).toString(), TEXT);
      }
    }
  });

  it('changes nothing for a client that takes none, but for Vary', async () => {
    for (const headers of [{}, { 'accept-encoding': 'identity' }, { 'accept-encoding': 'br;q=0' }]) {
      const heard = await ask(gateway.ports.http, '/text', headers);
      assert.equal(heard.body.toString(), TEXT);
      assert.equal(heard.headers['content-encoding'], undefined);
      assert.equal(heard.headers['etag'], '"one"');
      assert.equal(heard.headers['accept-ranges'], 'bytes');
      assert.equal(heard.headers['vary'], 'accept-encoding');
    }
  });

  it('leaves alone what is coded, event streams, and what the route does not name', async () => {
    const all = { 'accept-encoding': 'gzip, br, zstd' };
    const coded = await ask(gateway.ports.http, '/coded', all);
    assert.equal(gunzipSync(coded.body).toString(), TEXT);
    const events = await ask(gateway.ports.http, '/events', all);
    assert.equal(events.headers['content-encoding'], undefined);
    assert.equal(events.body.toString(), TEXT);
    const other = await ask(gateway.ports.http, '/few/text', all);
    assert.equal(other.headers['content-encoding'], undefined);
    assert.equal(other.headers['vary'], undefined);
    const named = await ask(gateway.ports.http, '/few/pieces', all);
    assert.equal(named.headers['content-encoding'], undefined, 'application/problem+json is not application/json');
  });

  it('answers HEAD as it would answer GET', async () => {
    const headers = { 'accept-encoding': 'br' };
    const get = await ask(gateway.ports.http, '/text', headers);
    const head = await ask(gateway.ports.http, '/text', headers, 'HEAD');
    for (const name of ['content-encoding', 'content-length', 'etag', 'vary', 'accept-ranges', 'content-type']) {
      assert.equal(head.headers[name], get.headers[name], name);
    }
    assert.equal(head.body.length, 0);
  });

  it('compresses what is stored once for clients of every kind', async () => {
    const plain = await ask(gateway.ports.http, '/cached/text', {});
    assert.equal(plain.body.toString(), TEXT);
    for (const coding of CODINGS) {
      const heard = await ask(gateway.ports.http, '/cached/text', { 'accept-encoding': coding });
      assert.match(String(heard.headers['cache-status']), /hit/);
      assert.equal(heard.headers['content-encoding'], coding);
      assert.equal(heard.headers['etag'], 'W/"one"');
      assert.equal(DECODERS[coding](heard.body).toString(), TEXT);
    }
    // The tag that it was given is good for the next question.
    const known = { 'accept-encoding': 'br', 'if-none-match': 'W/"one"' };
    const same = await ask(gateway.ports.http, '/cached/text', known);
    assert.equal(same.status, 304);
    assert.equal(same.headers['etag'], 'W/"one"');
    // A part is a part of what is stored, never of what was made of it.
    const part = await ask(gateway.ports.http, '/cached/text', { 'accept-encoding': 'br', range: 'bytes=0-9' });
    assert.equal(part.status, 206);
    assert.equal(part.body.toString(), TEXT.slice(0, 10));
    assert.equal(part.headers['content-encoding'], undefined);
  });

  it('gives what has come when the origin pauses', async () => {
    await new Promise<void>((resolve, reject) => {
      const sent = httpRequest(
        { port: gateway.ports.http, path: '/slow', headers: { 'accept-encoding': 'gzip' }, timeout: PATIENCE_MS },
        (response) => {
          assert.equal(response.headers['content-encoding'], 'gzip');
          let text = '';
          let seen = 0;
          response
            .pipe(createGunzip())
            .on('data', (chunk: Buffer) => {
              text += chunk.toString();
              // Only what was seen brings the next one: a gateway that held a piece back would never end.
              while (seen < 4 && text.includes(`<p>piece ${seen}</p>`)) {
                seen++;
                slow.next?.();
              }
            })
            .on('end', resolve)
            .on('error', reject);
        },
      );
      sent.on('timeout', () => sent.destroy(new Error('a piece was held back')));
      sent.on('error', reject);
      sent.end();
    });
  });

  it('does the same over HTTP/2', async () => {
    for (const coding of CODINGS) {
      const session = connect(`http://127.0.0.1:${gateway.ports.http}`);
      const stream = session.request({ ':path': '/text', 'accept-encoding': coding });
      const chunks: Buffer[] = [];
      const heads = await new Promise<Record<string, unknown>>((resolve, reject) => {
        let fields: Record<string, unknown> = {};
        stream.on('response', (headers) => (fields = headers));
        stream.on('data', (chunk: Buffer) => chunks.push(chunk));
        stream.on('end', () => resolve(fields));
        stream.on('error', reject);
      });
      session.close();
      assert.equal(heads['content-encoding'], coding);
      assert.equal(heads['content-length'], undefined);
      assert.equal(DECODERS[coding](Buffer.concat(chunks)).toString(), TEXT);
    }
  });

  it('is read by curl', async () => {
    const url = `http://127.0.0.1:${gateway.ports.http}/text`;
    for (const version of ['--http1.0', '--http1.1', '--http2-prior-knowledge']) {
      const ran = await runTool('curl', ['--silent', '--show-error', '--compressed', version, '--max-time', '40', url]);
      assert.equal(ran.code, 0, ran.said);
      assert.equal(ran.stdout, TEXT);
    }
  });

  it('is counted', async () => {
    const named = (name: string, coding: string, text: string): number =>
      Number(new RegExp(`^${name}\\{algorithm="${coding}"\\} (\\d+)`, 'm').exec(text)?.[1]);
    for (;;) {
      const { body } = await gateway.probe('/metrics');
      const ready = CODINGS.every((coding) => named('cnx_compressed_answers_total', coding, body) > 0);
      if (!ready) continue;
      for (const coding of CODINGS) {
        const before = named('cnx_compressed_in_bytes_total', coding, body);
        assert.ok(before > 2 * named('cnx_compressed_out_bytes_total', coding, body));
      }
      return;
    }
  });
});
