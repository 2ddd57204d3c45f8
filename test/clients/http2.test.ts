/** The HTTP/2 client of Node against a running gateway. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { type ClientHttp2Session, connect } from 'node:http2';
import { type AddressInfo, connect as connectTo, createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PATIENCE_MS } from '../e2e/client.ts';
import { Given, untilIdle } from '../e2e/given.ts';
import { plainBundle } from '../harness/bundle.ts';
import { testAuthority } from '../harness/certs.ts';
import type { TestGateway } from '../harness/gateway.ts';

const STREAMS = 100;
const BODY_BYTES = 70_000;
const LONG_BYTES = 12_000_000;
/** What of it is on its way at once: a slow link has it for longer than a gateway takes to end. */
const WINDOW_BYTES = 4_000_000;
/** What a slow link carries in one of its ticks. */
const TICK_BYTES = 64 * 1024;
const TICK_MS = 20;

interface Heard {
  readonly status: number;
  readonly body: Buffer;
}

function ask(session: ClientHttp2Session, path: string, body?: Buffer): Promise<Heard> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': path, ':method': body === undefined ? 'GET' : 'POST' });
    const chunks: Buffer[] = [];
    let status = 0;
    stream.setTimeout(PATIENCE_MS, () => stream.destroy(new Error(`no answer within ${PATIENCE_MS} ms`)));
    stream.on('response', (head) => (status = head[':status'] ?? 0));
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', reject);
    stream.on('end', () => resolve({ status, body: Buffer.concat(chunks) }));
    stream.end(body);
  });
}

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** A link to a port that carries little of what comes from there in each of its ticks; its own port. */
async function slowLink(given: Given, port: number): Promise<number> {
  const link = createServer((near) => {
    const far = connectTo({ port, host: '127.0.0.1' });
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
    near.pipe(far);
    void (async () => {
      for (;;) {
        const ended = far.readableEnded || far.destroyed;
        const piece = (far.read(Math.min(TICK_BYTES, far.readableLength)) as Buffer | null) ?? null;
        if (piece !== null) near.write(piece);
        else if (ended) break;
        await sleep(TICK_MS);
      }
      near.end();
    })();
  });
  await new Promise<void>((resolve) => link.listen(0, '127.0.0.1', resolve));
  given.ends(() => link.close());
  return (link.address() as AddressInfo).port;
}

describe("Node's HTTP/2", () => {
  const given = new Given();
  let gateway: TestGateway;

  before(async () => {
    const upstream = await given.upstream();
    gateway = await given.gateway({
      bundle: plainBundle([upstream.address]),
      bootstrap: { transport: 'native' },
      listener: { http2: true },
    });
  });
  after(() => given.end());

  function session(tls: boolean): ClientHttp2Session {
    const made = tls
      ? connect(`https://localhost:${gateway.ports.https}`, { ca: testAuthority().certificate })
      : connect(`http://127.0.0.1:${gateway.ports.http}`);
    // Told by its streams as well.
    made.on('error', () => undefined);
    given.ends(() => made.destroy());
    return made;
  }

  it('has a hundred uploads under way on one connection, and each comes back as it was', async () => {
    for (const tls of [false, true]) {
      const one = session(tls);
      const bodies = Array.from({ length: STREAMS }, () => randomBytes(BODY_BYTES));
      const heard = await Promise.all(bodies.map((body) => ask(one, '/body', body)));
      assert.deepEqual(
        heard.map(({ status, body }) => [status, digest(body)]),
        bodies.map((body) => [200, digest(body)]),
      );
      one.close();
    }
    await untilIdle(gateway);
  });

  it('leaves streams unread while others go on, and cancels them', async () => {
    const one = session(true);
    const stuck = Array.from({ length: 4 }, (_, n) => {
      const stream = one.request({ ':path': `/stream/${(n + 1) * 5_000_000}` });
      stream.on('error', () => undefined);
      return stream;
    });
    await Promise.all(stuck.map((stream) => new Promise((resolve) => stream.once('response', resolve))));
    for (let n = 0; n < 10; n++) {
      // Small: the connection's window is taken by the unread ones but for what Node gives back.
      const { status } = await ask(one, '/status/200');
      assert.equal(status, 200);
    }
    for (const stream of stuck) stream.close();
    await untilIdle(gateway);
    assert.equal((await ask(one, '/status/200')).status, 200);
    one.close();
  });

  it('gets all of an answer over a slow link when the gateway leaves meanwhile', async () => {
    const upstream = await given.upstream();
    const leaving = await given.gateway({
      bundle: plainBundle([upstream.address]),
      bootstrap: { transport: 'native', drainDeadlineMs: 60_000 },
      listener: { http2: true },
    });
    const one = connect(`http://127.0.0.1:${await slowLink(given, leaving.ports.http)}`, {
      settings: { initialWindowSize: WINDOW_BYTES },
    });
    one.on('error', () => undefined);
    given.ends(() => one.destroy());
    await new Promise((resolve) => one.once('connect', resolve));
    one.setLocalWindowSize(WINDOW_BYTES);
    const long = ask(one, `/stream/${LONG_BYTES}`);
    await ask(one, '/status/200');
    await leaving.stop();
    assert.equal((await long).body.length, LONG_BYTES);
  });

  it('is told by GOAWAY when the gateway leaves, and what is under way ends well', async () => {
    const one = session(true);
    const slow = ask(one, '/slow/1500');
    // The request is there before the signal is.
    await ask(one, '/status/200');
    const away = new Promise<number>((resolve) => one.once('goaway', resolve));
    const stopped = gateway.stop();
    assert.equal(await away, 0);
    assert.deepEqual([(await slow).status, (await slow).body.toString()], [200, 'slow']);
    await stopped;
  });
});
