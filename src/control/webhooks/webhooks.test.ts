import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate as immediately, setTimeout as sleep } from 'node:timers/promises';
import { Journal } from '../audit/journal.ts';
import { signatureOf, WAITING_MAX, Webhooks, type WebhooksParts } from './webhooks.ts';

const SECRET = 'shared';

interface Got {
  readonly type: string;
  readonly data: { readonly n?: number };
}

/** Of receivers, by their directories. */
const urls = new Map<string, string>();

/** A receiver that answers what it is told, and checks what it gets. */
async function given(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'cnx-webhooks-'));
  const got: Got[] = [];
  const answers = { status: 204, asked: 0, slowly: false, slowPath: '' };
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString('utf8')));
    request.on('end', () => {
      answers.asked++;
      const { 'webhook-id': id = '', 'webhook-timestamp': time = '', 'webhook-signature': signature } = request.headers;
      assert.equal(signature, signatureOf(SECRET, String(id), String(time), body));
      if (answers.status < 300) got.push(JSON.parse(body) as Got);
      response.writeHead(answers.status);
      if (!answers.slowly && request.url !== answers.slowPath) return void response.end();
      const drip = setInterval(() => response.write('.'), 10);
      response.once('close', () => clearInterval(drip));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  urls.set(directory, url);
  const opened: Webhooks[] = [];
  t.after(async () => {
    for (const one of opened) await one.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  });
  const open = async (more: Partial<WebhooksParts> = {}, kinds: readonly string[] = []): Promise<Webhooks> => {
    const webhooks = await Webhooks.open({
      directory,
      receivers: [{ id: 'ops', url, secret: SECRET, kinds }],
      gateway: 'gw-1',
      event: () => undefined,
      now: Date.now,
      pauseFirstMs: 5,
      ...more,
    });
    opened.push(webhooks);
    return webhooks;
  };
  const until = async (condition: () => boolean): Promise<void> => {
    for (let i = 0; !condition(); i++) {
      assert.ok(i < 2_000, JSON.stringify({ got, answers }));
      await sleep(10);
    }
  };
  return { directory, got, answers, open, until };
}

test('events arrive in order, signed, and only those that are wanted', async (t) => {
  const { got, open, until, directory } = await given(t);
  const webhooks = await open({}, ['reverted']);
  for (let n = 0; n < 5; n++) {
    webhooks.tell('activated', { n });
    webhooks.tell('reverted', { n });
  }
  await until(() => got.length === 5);
  assert.deepEqual(
    got.map(({ type, data }) => [type, data.n]),
    [0, 1, 2, 3, 4].map((n) => ['cnx.reverted', n]),
  );
  await until(() => readdirSync(join(directory, 'ops')).length === 0);
});

test('a receiver that fails is tried again, also by the process that comes next', async (t) => {
  const { got, answers, open, until } = await given(t);
  answers.status = 500;
  const first = await open();
  first.tell('reverted', { n: 1 });
  first.tell('reverted', { n: 2 });
  await until(() => answers.asked >= 3);
  await first.close();
  assert.equal(got.length, 0);
  answers.status = 204;
  await open();
  await until(() => got.length === 2);
  assert.deepEqual(
    got.map(({ data }) => data.n),
    [1, 2],
  );
});

test('a receiver whose answers never end is told on, and tried again only where it has refused', async (t) => {
  const { got, answers, open, until } = await given(t);
  Object.assign(answers, { status: 200, slowly: true });
  const webhooks = await open({ timeoutMs: 300 });
  for (const n of [1, 2, 3]) webhooks.tell('activated', { n });
  await until(() => got.length === 3);
  answers.status = 500;
  webhooks.tell('activated', { n: 4 });
  await until(() => answers.asked >= 6);
  assert.match(webhooks.states()[0]?.fault ?? '', /it answered 500/);
  assert.deepEqual(
    got.map(({ data }) => data.n),
    [1, 2, 3],
  );
});

test('an event that says very much is told, cut', async (t) => {
  const { got, open, until } = await given(t);
  const webhooks = await open();
  webhooks.tell('rejected', { n: 1, reason: 'x'.repeat(100_000) });
  webhooks.tell('rejected', { n: 2, problems: Array.from({ length: 5_000 }, () => 'x'.repeat(100)) });
  webhooks.tell('activated', { n: 3 });
  await until(() => got.some(({ data }) => data.n === 3));
  assert.deepEqual(
    got.map(({ type }) => type),
    ['cnx.rejected', 'cnx.rejected', 'cnx.activated'],
  );
});

test('what happens while a journal is being opened is told to receivers as well, in its order', async (t) => {
  const { directory, got, until } = await given(t);
  const url = String(urls.get(directory));
  const journal = new Journal({
    stateDir: directory,
    log: () => undefined,
    receivers: [{ id: 'ops', url, secret: SECRET, kinds: [] }],
    gateway: 'gw-1',
    now: Date.now,
  });
  t.after(() => journal.suspend());
  let n = 0;
  const opening = { over: false };
  void journal.open().then(() => (opening.over = true));
  journal.event('info', 'bundle pinned', { n: n++ });
  while (!opening.over) {
    // The log is open, its receivers are not.
    if (journal.view() !== null) journal.event('info', 'bundle pinned', { n: n++ });
    await immediately();
  }
  journal.event('info', 'bundle pinned', { n: n++ });
  const told = n;
  await until(() => got.length === told);
  assert.deepEqual(
    got.map(({ data }) => data.n),
    Array.from({ length: told }, (_, i) => i),
  );
});

test('a disk that cannot be read for a while holds events back, and loses none', async (t) => {
  const { directory, got, answers, open, until } = await given(t);
  answers.status = 500;
  const events: string[] = [];
  const webhooks = await open({ event: (_, message) => events.push(message) });
  webhooks.tell('reverted', { n: 1 });
  await until(() => answers.asked > 0);
  const path = join(directory, 'ops', '000000000001.json');
  // A file that every read of fails.
  renameSync(path, `${path}.kept`);
  symlinkSync('/proc/self/mem', path);
  const failed = 'the events of a webhook cannot be read or removed; it is tried again';
  await until(() => events.includes(failed));
  unlinkSync(path);
  renameSync(`${path}.kept`, path);
  answers.status = 204;
  await until(() => got.length === 1);
  assert.equal(events.filter((message) => message === failed).length, 1);
});

test('a file that holds no event, or half of one, is passed over, counted and told; those behind it arrive', async (t) => {
  const { directory, got, answers, open, until } = await given(t);
  answers.status = 500;
  const first = await open();
  for (const n of [1, 2, 3, 4]) first.tell('reverted', { n });
  await until(() => answers.asked > 0 && first.states()[0]?.waiting === 4);
  await first.close();
  for (const [number, body] of [
    [1, ''],
    [2, '{"id":"5e'],
    [3, 'null'],
  ] as const)
    writeFileSync(join(directory, 'ops', `00000000000${number}.json`), body);
  answers.status = 204;
  const told: unknown[] = [];
  const webhooks = await open({ event: (_level, message, { reason }) => told.push(`${message}: ${String(reason)}`) });
  await until(() => got.length === 1);
  assert.deepEqual(
    got.map(({ data }) => data.n),
    [4],
  );
  assert.deepEqual(
    told,
    [1, 2, 3].map((n) => `an event for a webhook was lost: its file, number ${n}, holds no event`),
  );
  assert.equal(webhooks.states()[0]?.dropped, 3);
});

test('a receiver that answers slowly holds up no other one of the same origin', async (t) => {
  const { directory, got, answers, open, until } = await given(t);
  const url = String(urls.get(directory));
  const slow = `${url}-slow`;
  Object.assign(answers, { status: 200, slowPath: new URL(slow).pathname });
  const webhooks = await open({
    receivers: [
      { id: 'slow', url: slow, secret: SECRET, kinds: ['activated'] },
      { id: 'ops', url, secret: SECRET, kinds: ['reverted'] },
    ],
  });
  const waiting = () => webhooks.states().map((state) => state.waiting);
  webhooks.tell('activated', { n: 1 });
  await until(() => got.length === 1);
  webhooks.tell('reverted', { n: 2 });
  await until(() => got.length === 2 && waiting()[1] === 0);
  assert.deepEqual(waiting(), [1, 0], 'its answer has not ended');
});

test('what waits is bounded: the oldest go', async (t) => {
  const { got, answers, open, until } = await given(t);
  answers.status = 500;
  const webhooks = await open({ queueMax: 3 });
  for (let n = 0; n < 10; n++) webhooks.tell('reverted', { n });
  await until(() => answers.asked > 1 && webhooks.states()[0]?.waiting === 3);
  assert.deepEqual(webhooks.states(), [{ id: 'ops', waiting: 3, dropped: 7, fault: 'it answered 500' }]);
  answers.status = 204;
  await until(() => got.length === 3);
  assert.deepEqual(
    got.map(({ data }) => data.n),
    [7, 8, 9],
  );
});

test('what waits for the disk is bounded: what comes when it is full is dropped, counted and told once', async (t) => {
  const { answers, open, until } = await given(t);
  answers.status = 503;
  const told: Record<string, unknown>[] = [];
  const webhooks = await open({
    queueMax: 4 * WAITING_MAX,
    event: (_level, message, fields) => void (message.includes('dropped') && told.push(fields)),
  });
  const state = () => webhooks.states()[0] ?? assert.fail();
  // All within one turn: as far as memory knows, the disk hangs.
  for (let n = 0; n < WAITING_MAX + 50; n++) webhooks.tell('activated', { n });
  assert.equal(state().dropped, 50);
  assert.equal(told.length, 1);
  await until(() => state().waiting === WAITING_MAX);
  webhooks.tell('activated', { n: -1 });
  await until(() => state().waiting === WAITING_MAX + 1);
  assert.equal(state().dropped, 50, 'and there is room again');
  assert.equal(told.length, 1);
});

test('a key is the text that it is, or what its base64 after whsec_ says, as libraries of Standard Webhooks take it', () => {
  // The vector of standardwebhooks.com.
  const [id, at, body] = ['msg_p5jXN8AQM9LWM0D4loKWxJek', '1614265330', '{"test": 2432232314}'];
  assert.equal(
    signatureOf('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', id, at, body),
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  );
  assert.equal(
    signatureOf('plain', id, at, body),
    `v1,${createHmac('sha256', 'plain').update(`${id}.${at}.${body}`).digest('base64')}`,
  );
});
