/** Tokens on a running gateway, with real keys and an issuer that goes down and comes back. The unit tables have the rest of the attacks. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { AUDIENCE, ISSUER, TestIssuer } from '../harness/issuer.ts';
import { ask, codeOf, type Heard } from './client.ts';
import { Given } from './given.ts';

const REMOTE = 'https://remote.test';
/** Shortest time between two fetches for an unknown key id that a bundle can ask for. */
const COOLDOWN_MS = 1_000;

interface Echoed {
  readonly headers: Readonly<Record<string, string>>;
}

describe('tokens', () => {
  const given = new Given();
  let inline: TestIssuer;
  let remote: TestIssuer;
  let gateway: TestGateway;

  before(async () => {
    const upstream = await given.upstream();
    inline = await TestIssuer.make();
    remote = await given.issuer();
    const common = {
      audiences: [AUDIENCE],
      algorithms: ['ES256'],
      claimHeaders: { sub: 'x-user', 'org.id': 'x-org' },
    };
    const route = (id: string, issuers: readonly string[]): object => ({
      id,
      match: { path: { prefix: `/${id}` } },
      access: 'public',
      reason: 'tokens are tested apart from policies',
      issuers,
      respond: { stripPrefix: `/${id}` },
    });
    gateway = await given.gateway({
      bundle: plainBundle([upstream.address], {
        issuers: {
          issuers: [
            { id: 'inline', issuer: ISSUER, jwks: inline.jwks, ...common },
            { id: 'remote', issuer: REMOTE, jwksUrl: remote.jwksUrl, cooldownMs: COOLDOWN_MS, ...common },
          ],
        },
        routes: { routes: [route('inline', ['inline']), route('remote', ['remote']), route('open', [])] },
      }),
      bootstrap: { lanes: 2 },
    });
  });
  after(() => given.end());

  const send = (path: string, token: string, headers: Readonly<Record<string, string>> = {}): Promise<Heard> =>
    ask(gateway.ports.http, path, {
      headers: { ...(token === '' ? {} : { authorization: `Bearer ${token}` }), ...headers },
    });
  const echoed = (heard: Heard): Echoed => {
    assert.equal(heard.status, 200, heard.body);
    return JSON.parse(heard.body) as Echoed;
  };
  const remoteToken = (kid: string): Promise<string> => remote.token({ iss: REMOTE }, { kid });

  it('claims become headers, and whatever the client sends under these names is removed', async () => {
    const token = await inline.token({ sub: 'alice', org: { id: 'acme' } });
    const spoofed = { 'x-user': 'root', 'X-Org': 'evil' };
    for (let n = 0; n < 2; n++) {
      // The second time it comes from the cache.
      const { headers } = echoed(await send('/inline/echo', token, spoofed));
      assert.deepEqual([headers['x-user'], headers['x-org']], ['alice', 'acme']);
    }
    const without = echoed(await send('/inline/echo', await inline.token({ sub: 'bob' }), spoofed));
    assert.deepEqual([without.headers['x-user'], without.headers['x-org']], ['bob', undefined]);
    // On a route without issuers, too: an upstream believes these headers wherever they come from.
    const open = echoed(await send('/open/echo', '', spoofed));
    assert.deepEqual([open.headers['x-user'], open.headers['x-org']], [undefined, undefined]);
  });

  it('what is not a good token of the right issuer is refused, and the cache believes nobody twice', async () => {
    const now = Math.floor(Date.now() / 1000);
    const good = await inline.token();
    const [head = '', payload = '', signature = ''] = good.split('.');
    const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const none = `${encode({ alg: 'none' })}.${payload}.`;
    const [jwk] = inline.jwks.keys;
    const hmacHead = encode({ alg: 'HS256', kid: 'first' });
    const hmac = createHmac('sha256', JSON.stringify(jwk)).update(`${hmacHead}.${payload}`).digest('base64url');
    const foreign = await TestIssuer.make();
    const cases: readonly (readonly [code: string, token: string])[] = [
      ['token_missing', ''],
      ['token_malformed', 'abc'],
      ['token_malformed', `${head}.${payload}`],
      ['token_invalid', `${head}.${encode({ iss: ISSUER, aud: AUDIENCE, sub: 'root', exp: now + 60 })}.${signature}`],
      ['token_invalid', await foreign.token()],
      ['token_invalid', `${hmacHead}.${payload}.${hmac}`],
      ['token_expired', await inline.token({ exp: now - 3600 })],
      ['token_invalid', await inline.token({ nbf: now + 3600 })],
      ['token_invalid', await inline.token({ aud: 'other' })],
      ['token_invalid', await inline.token({ iss: REMOTE })],
      ['token_invalid', await inline.token({}, { without: ['exp'] })],
      ['token_malformed', 'x'.repeat(9_000)],
    ];
    assert.equal((await send('/inline/', good)).status, 200);
    for (const [n, [code, token]] of cases.entries()) {
      const heard = await send('/inline/', token);
      assert.deepEqual([heard.status, codeOf(heard)], [401, code], `case ${n}`);
      assert.match(String(heard.headers['www-authenticate']), /^Bearer /);
    }
    assert.equal((await send('/inline/', none)).status, 401);
    // A good token of one issuer is none on another's route.
    assert.equal(codeOf(await send('/remote/', good)), 'token_invalid');
  });

  it('keys of a remote issuer are fetched, refetched for a new key id, and kept when it is down', async () => {
    await gateway.until('the first keys are there', async () => {
      return (await send('/remote/', await remoteToken('first'))).status === 200;
    });
    await remote.addKey('second');
    // In both lanes: connections are spread over them, all of so many to the same one once in half a million runs.
    await gateway.until('the second key is there', async () => {
      const token = await remoteToken('second');
      const heard = await Promise.all(Array.from({ length: 20 }, () => send('/remote/', token)));
      return heard.every((h) => h.status === 200);
    });

    await remote.stop();
    // New tokens, so that no cache answers for the keys.
    for (const kid of ['first', 'second']) {
      for (let n = 0; n < 4; n++) {
        const token = await remote.token({ iss: REMOTE, jti: `${kid}-${n}` }, { kid });
        assert.equal((await send('/remote/', token)).status, 200, `${kid} while the issuer is down`);
      }
    }
    // An unknown key id cannot be looked up, and makes the known ones no worse.
    await remote.addKey('third');
    assert.equal(codeOf(await send('/remote/', await remoteToken('third'))), 'token_invalid');
    assert.equal((await send('/remote/', await remote.token({ iss: REMOTE, jti: 'again' }))).status, 200);

    // It answers, but with nonsense: the same.
    remote.mode = 'garbage';
    await remote.serve();
    const asked = remote.fetches;
    await gateway.until('it was asked', async () => {
      assert.equal(codeOf(await send('/remote/', await remoteToken('third'))), 'token_invalid');
      return remote.fetches > asked;
    });
    assert.equal((await send('/remote/', await remote.token({ iss: REMOTE, jti: 'still' }))).status, 200);

    remote.mode = 'keys';
    await gateway.until('the third key is there', async () => {
      return (await send('/remote/', await remoteToken('third'))).status === 200;
    });
  });

  it('a key that the issuer takes back is believed no more, cached tokens included', async () => {
    const token = await remoteToken('second');
    assert.equal((await send('/remote/', token)).status, 200);
    remote.removeKey('second');
    await remote.addKey('fourth');
    await gateway.until('the keys were fetched anew', async () => {
      return (await send('/remote/', await remoteToken('fourth'))).status === 200;
    });
    // Both lanes get the new keys; a connection may meet either.
    await gateway.until('it is refused everywhere', async () => {
      const heard = await Promise.all(Array.from({ length: 6 }, () => send('/remote/', token)));
      return heard.every((h) => codeOf(h) === 'token_invalid');
    });
  });

  it('a flood of unknown key ids costs the issuer at most one fetch a cool-down, and good tokens nothing', async () => {
    const good = await remoteToken('first');
    const fetches = remote.fetches;
    const from = Date.now();
    const flood = Array.from({ length: 200 }, async (_, n) => {
      const token = await remote.token({ iss: REMOTE }, { kid: 'first', header: { kid: `unknown-${n}` } });
      const heard = await send('/remote/', token);
      assert.equal(codeOf(heard), 'token_invalid');
    });
    const served = Promise.all(Array.from({ length: 20 }, () => send('/remote/', good)));
    await Promise.all(flood);
    for (const heard of await served) assert.equal(heard.status, 200);
    // One at once, and one for each cool-down that has passed since.
    const allowed = 1 + Math.ceil((Date.now() - from) / COOLDOWN_MS);
    assert.ok(remote.fetches - fetches <= allowed, `${remote.fetches - fetches} fetches, ${allowed} allowed`);
    await gateway.stop();
  });
});
