/** Chromium over HTTP/2: a page with resources, an upload, an event stream and a WebSocket; the page tells its own server what it saw. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, createServer as createRelay, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { WebSocketServer } from 'ws';
import { Given, untilIdle } from '../e2e/given.ts';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { listening } from '../harness/ports.ts';

const RESOURCES = 24;
const UPLOAD_BYTES = 2 * 1024 * 1024;
const MESSAGE_BYTES = 1024 * 1024;
/** A ClientHello, which may come in pieces, is about so long. */
const HELLO_BYTES = 2_000;
/** Longest time for a browser to start and do all that, milliseconds. */
const PATIENCE_MS = 90_000;

const PAGE = `<!doctype html><title>page</title><link rel="icon" href="data:,">
${Array.from({ length: RESOURCES }, (_, n) => `<script src="/resource/${n}.js"></script>`).join('\n')}
<script type="module">
const seen = { scripts: globalThis.count ?? 0 };
try {
  const upload = await fetch('/sink', { method: 'POST', body: new Blob([new Uint8Array(${UPLOAD_BYTES})]) });
  seen.sunk = Number(await upload.text());
  seen.large = (await (await fetch('/large')).arrayBuffer()).byteLength;
  const leaving = new AbortController();
  const endless = await fetch('/endless', { signal: leaving.signal });
  await endless.body.getReader().read();
  leaving.abort();
  seen.events = await new Promise((resolve, reject) => {
    const source = new EventSource('/events');
    const got = [];
    source.onmessage = ({ data }) => {
      got.push(data);
      if (got.length === 3) { source.close(); resolve(got); }
    };
    source.onerror = () => reject(new Error('no events'));
  });
  const socket = new WebSocket('wss://' + location.host + '/socket');
  socket.binaryType = 'arraybuffer';
  await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = () => reject(new Error('no socket')); });
  const back = new Promise((resolve) => { socket.onmessage = ({ data }) => resolve(data.byteLength); });
  socket.send(new Uint8Array(${MESSAGE_BYTES}));
  seen.message = await back;
  const closed = new Promise((resolve) => { socket.onclose = ({ code, wasClean }) => resolve([code, wasClean]); });
  socket.close(4000, 'done');
  seen.closed = await closed;
} catch (error) {
  seen.error = String(error);
}
const entries = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
seen.protocols = [...new Set(entries.map((entry) => entry.nextHopProtocol))];
seen.entries = entries.length;
await fetch('/report', { method: 'POST', body: JSON.stringify(seen) });
</script>`;

describe('Chromium', () => {
  const given = new Given();
  let gateway: TestGateway;
  let report: (text: string) => void = () => undefined;
  const reported = new Promise<string>((resolve) => (report = resolve));
  /** Answers without end that are open. */
  let endless = 0;
  let cookies = '';

  function serve(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? '/';
    let body = '';
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (path === '/report') body += chunk.toString('utf8');
    });
    if (path === '/endless') {
      endless += 1;
      response.write('begun');
      const timer = setInterval(() => response.write('more'), 20);
      response.on('close', () => {
        clearInterval(timer);
        endless -= 1;
      });
      return;
    }
    request.on('end', () => {
      if (path === '/') {
        response.writeHead(200, { 'content-type': 'text/html', 'set-cookie': ['a=1', 'b=2', 'c=3'] });
        response.end(PAGE);
      } else if (path.startsWith('/resource/')) {
        cookies = request.headers.cookie ?? '';
        response.writeHead(200, { 'content-type': 'text/javascript' });
        response.end(`globalThis.count = (globalThis.count ?? 0) + 1; // ${'x'.repeat(5_000)}`);
      } else if (path === '/events') {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        for (const n of [1, 2, 3]) setTimeout(() => response.write(`data: event ${n}\n\n`), n * 20);
      } else if (path === '/large') response.end(Buffer.alloc(UPLOAD_BYTES));
      else if (path === '/report') {
        report(body);
        response.end('thanks');
      } else response.end(String(bytes));
    });
  }

  before(async () => {
    const http = createServer(serve);
    const sockets = new WebSocketServer({ server: http });
    sockets.on('connection', (socket) => {
      socket.on('error', () => socket.terminate());
      socket.on('message', (data, binary) => socket.send(data as Buffer, { binary }));
    });
    const port = await listening(http);
    given.ends(() => {
      for (const client of sockets.clients) client.terminate();
      sockets.close();
      http.closeAllConnections();
      http.close();
    });
    gateway = await given.gateway({
      bundle: plainBundle([`127.0.0.1:${port}`], {
        routes: {
          routes: [
            {
              id: 'all',
              match: { path: { prefix: '/' } },
              access: 'public',
              reason: 'everything, for a test',
              websocket: true,
            },
          ],
        },
      }),
      bootstrap: { transport: 'native' },
    });
  });
  after(() => given.end());

  /** Passes connections on to the gateway, and keeps what each said first: the ClientHello. */
  async function observed(to: number): Promise<{ readonly port: number; readonly hellos: readonly string[] }> {
    const hellos: string[] = [];
    const open = new Set<Socket>();
    const relay = createRelay((socket) => {
      const onward = connect(to, '127.0.0.1');
      for (const [one, other] of [
        [socket, onward],
        [onward, socket],
      ] as const) {
        open.add(one);
        one.on('error', () => other.destroy());
        one.on('close', () => {
          open.delete(one);
          other.destroy();
        });
      }
      const n = hellos.push('') - 1;
      socket.on('data', (bytes) => {
        if ((hellos[n] ?? '').length < HELLO_BYTES) hellos[n] += bytes.toString('latin1');
      });
      socket.pipe(onward).pipe(socket);
    });
    const port = await listening(relay);
    given.ends(() => {
      for (const socket of open) socket.destroy();
      relay.close();
    });
    return { port, hellos };
  }

  /** Opens the page, and ends the browser once it has reported. */
  async function visit(url: string): Promise<string> {
    const profile = mkdtempSync(join(tmpdir(), 'cnx-clients-chromium-'));
    const browser = spawn(
      'chromium-headless-shell',
      [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-dev-shm-usage',
        '--disable-background-networking',
        '--no-first-run',
        '--no-proxy-server',
        // Of an authority of this test only.
        '--ignore-certificate-errors',
        `--user-data-dir=${profile}`,
        // Else it prints the page and leaves as soon as that is loaded.
        '--remote-debugging-port=0',
        url,
      ],
      // A group of its own: it starts processes that must end with it.
      { stdio: ['ignore', 'ignore', 'pipe'], detached: true },
    );
    let said = '';
    browser.stderr.setEncoding('utf8').on('data', (text: string) => (said += said.length < 20_000 ? text : ''));
    const kill = (): void => {
      if (browser.pid !== undefined && browser.exitCode === null) process.kill(-browser.pid, 'SIGKILL');
    };
    process.once('exit', kill);
    const ended = new Promise<void>((resolve) => browser.once('close', () => resolve()));
    let timer: NodeJS.Timeout | undefined;
    try {
      return await Promise.race([
        reported,
        new Promise<never>((_, reject) => {
          browser.once('error', (error) =>
            reject(new Error(`${error.message}; \`npm test\` installs what tests need`)),
          );
          browser.once('exit', (code) => reject(new Error(`the browser ended with ${code}: ${said}`)));
          timer = setTimeout(() => reject(new Error(`no report within ${PATIENCE_MS} ms: ${said}`)), PATIENCE_MS);
        }),
      ]);
    } finally {
      clearTimeout(timer);
      kill();
      await ended;
      process.off('exit', kill);
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    }
  }

  it('loads a page, uploads, listens, and speaks by a WebSocket, all over HTTP/2', async () => {
    const { port, hellos } = await observed(gateway.ports.https);
    const text = await visit(`https://127.0.0.1:${port}/`);
    const seen = JSON.parse(text) as Record<string, unknown>;
    assert.equal(seen['error'], undefined, text);
    const { scripts, sunk, large, events, message, closed, protocols } = seen;
    assert.deepEqual(
      { scripts, sunk, large, events, message, closed, protocols },
      {
        scripts: RESOURCES,
        sunk: UPLOAD_BYTES,
        large: UPLOAD_BYTES,
        events: ['event 1', 'event 2', 'event 3'],
        message: MESSAGE_BYTES,
        closed: [4000, true],
        protocols: ['h2'],
      },
    );
    assert.ok(Number(seen['entries']) > RESOURCES);
    assert.equal(cookies, 'a=1; b=2; c=3', 'crumbs of HTTP/2 are one field upstream (RFC 9113 §8.2.3)');
    await gateway.until('the answer without end has ended', () => endless === 0);
    await untilIdle(gateway);
    // For a WebSocket by HTTP/1.1 it would have opened a connection that offers nothing else.
    assert.ok(hellos.length > 0);
    for (const hello of hellos) assert.ok(hello.includes('\x02h2'), 'a connection that does not offer HTTP/2');
    await gateway.stop();
  });
});
