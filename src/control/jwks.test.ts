import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, beforeEach, describe, it } from 'node:test';
import type { IssuerPlan } from '../snapshot/snapshot.ts';
import { JWKS_BYTES_MAX, JwksFetcher } from './jwks.ts';

const KEYS = '{"keys":[{"kty":"EC"}]}';
const HOUR = 3_600_000;

describe('keys of remote issuers', () => {
  let server: Server;
  let url: string;
  let asked = 0;
  /** How the issuer answers now. */
  let answer: (response: ServerResponse) => void;
  let published: [url: string, jwks: string][];
  let said: string[];
  let fetcher: JwksFetcher;
  let changed: () => void;

  const issuer = (more: Partial<IssuerPlan> = {}): IssuerPlan =>
    ({ jwksUrl: url, jwksRefreshMs: HOUR, jwksCooldownMs: HOUR, ...more }) as IssuerPlan;

  /** Resolves when so many answers were published or failures told. */
  async function settled(count: number): Promise<void> {
    while (published.length + said.length < count)
      await new Promise<void>((resolve) => {
        changed = resolve;
      });
  }

  beforeEach(async () => {
    server = createServer((_, response) => {
      asked++;
      answer(response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
    asked = 0;
    answer = (response) => response.end(KEYS);
    published = [];
    said = [];
    changed = () => {};
    fetcher = new JwksFetcher(
      (from, jwks) => {
        published.push([from, jwks]);
        changed();
      },
      (message) => {
        said.push(message);
        changed();
      },
    );
  });
  afterEach(async () => {
    await fetcher.stop();
    server.closeAllConnections();
    server.close();
  });

  it('are fetched at once and published as they came', async () => {
    fetcher.follow([issuer()]);
    await settled(1);
    assert.deepEqual(published, [[url, KEYS]]);
    const [state] = fetcher.states();
    assert.equal(state?.failure, '');
    assert.ok((state?.fetchedAt ?? 0) > 0);
  });

  it('are refreshed, and published again, so that who waits for a key learns that it did not come', async () => {
    fetcher.follow([issuer({ jwksRefreshMs: 5 })]);
    await settled(3);
    assert.ok(asked >= 3);
    assert.deepEqual(published[2], [url, KEYS]);
  });

  it('are fetched once for issuers that share an address', async () => {
    fetcher.follow([issuer(), issuer({ id: 'other' })]);
    await settled(1);
    fetcher.follow([issuer()]);
    assert.equal(asked, 1);
    assert.equal(fetcher.states().length, 1);
  });

  const failures: readonly (readonly [what: string, answer: (response: ServerResponse) => void, why: RegExp])[] = [
    ['a status of failure', (r) => r.writeHead(500).end(KEYS), /status 500/],
    ['a redirect, which is not followed', (r) => r.writeHead(302, { location: '/other' }).end(KEYS), /status 302/],
    ['what is no JSON', (r) => r.end('<html>'), /JSON/],
    ['JSON without keys', (r) => r.end('{"keys":{}}'), /no array `keys`/],
    ['nothing but null', (r) => r.end('null'), /no array `keys`/],
    ['more than is read', (r) => r.end(`{"keys":[],"x":"${'x'.repeat(JWKS_BYTES_MAX)}"}`), /more than 1048576 bytes/],
    ['a connection that breaks off', (r) => r.destroy(), /socket|other side|closed/i],
    [
      'half an answer',
      (r) => {
        r.writeHead(200, { 'content-length': '1000' });
        r.write('{"keys":');
        setImmediate(() => r.destroy());
      },
      /terminated|aborted|other side|closed/i,
    ],
  ];
  for (const [what, fails, why] of failures) {
    it(`stay as they were last good after ${what}`, async () => {
      answer = (response) => {
        if (asked === 1) response.end(KEYS);
        else fails(response);
      };
      fetcher.follow([issuer({ jwksRefreshMs: 1 })]);
      await settled(2);
      assert.deepEqual(published, [[url, KEYS]]);
      assert.match(said[0] ?? '', why);
      assert.match(said[0] ?? '', /the last good ones stay$/);
      assert.match(fetcher.states()[0]?.failure ?? '', why);
      assert.ok((fetcher.states()[0]?.fetchedAt ?? 0) > 0, 'when they were good is still known');
    });
  }

  it('that never came are said to be none, and come later', async () => {
    answer = (response) => {
      if (asked === 1) response.writeHead(503).end();
      else response.end(KEYS);
    };
    fetcher.follow([issuer({ jwksRefreshMs: 1 })]);
    await settled(2);
    assert.match(said[0] ?? '', /there are none yet$/);
    assert.equal(fetcher.states()[0]?.failure, '');
    assert.equal(published.length, 1);
  });

  it('are refetched for an unknown key id once in a cool-down, and for known issuers only', async () => {
    fetcher.follow([issuer({ jwksCooldownMs: HOUR })]);
    await settled(1);
    for (let i = 0; i < 100; i++) fetcher.unknownKid(url);
    fetcher.unknownKid('http://127.0.0.1:1/other');
    fetcher.follow([issuer({ jwksCooldownMs: 0 })]);
    fetcher.unknownKid(url);
    fetcher.unknownKid(url);
    await settled(2);
    assert.equal(asked, 2, 'while one fetch runs there is no second');
  });

  it('of an issuer that is in no snapshot any more are not published', async () => {
    const held = Promise.withResolvers<ServerResponse>();
    answer = (response) => held.resolve(response);
    fetcher.follow([issuer()]);
    const late = await held.promise;
    fetcher.follow([]);
    assert.deepEqual(fetcher.states(), []);
    late.end(KEYS);
    const other = issuer({ jwksUrl: `${url}?other` });
    answer = (response) => response.end(KEYS);
    fetcher.follow([other]);
    await settled(1);
    assert.deepEqual(published, [[other.jwksUrl, KEYS]]);
  });

  it('are not asked for after the end, and its connection is closed', async () => {
    const arrived = Promise.withResolvers<ServerResponse>();
    answer = (response) => arrived.resolve(response);
    fetcher.follow([issuer()]);
    const { socket } = await arrived.promise;
    assert.ok(socket !== null);
    const closed = once(socket, 'close');
    await fetcher.stop();
    await closed;
    fetcher.unknownKid(url);
    fetcher.follow([]);
    assert.deepEqual([published, fetcher.states(), asked], [[], [], 1]);
  });
});

after(() => {
  const timers = process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout');
  assert.ok(timers.length <= 1, `timers that keep the process: ${timers.length}`);
});
