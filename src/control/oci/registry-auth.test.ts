import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RegistryAuth, type RegistryAuthOptions } from './registry-auth.ts';

const SECRET = { username: 'u', password: 'p' };

function world(
  more: Partial<RegistryAuthOptions> = {},
  answer: unknown = { token: 'abc.def', expires_in: 100 },
  status = 200,
) {
  const asked: { url: string; authorization: string | undefined }[] = [];
  const clock = { ms: 0 };
  const auth = new RegistryAuth({
    origin: new URL('https://registry.example'),
    repository: 'edge/config',
    credentials: () => SECRET,
    tokenHosts: [],
    insecure: false,
    now: () => clock.ms,
    fetch: async (url, headers) => {
      asked.push({ url: url.href, authorization: headers['authorization'] });
      await Promise.resolve();
      return { status, bytes: new TextEncoder().encode(typeof answer === 'string' ? answer : JSON.stringify(answer)) };
    },
    ...more,
  });
  return { auth, asked, clock };
}
const bearer = (realm: string, more = '') => `Bearer realm="${realm}",service="s & t"${more}`;

describe('the token flow', () => {
  it('asks for its own scope, not for the one in the challenge', async () => {
    const { auth, asked } = world();
    const header = await auth.answer(
      bearer('https://registry.example/token?account=x', ',scope="repository:*:*"'),
      'pull',
    );
    assert.equal(header, 'Bearer abc.def');
    assert.deepEqual(asked, [
      {
        url: 'https://registry.example/token?account=x&service=s+%26+t&scope=repository%3Aedge%2Fconfig%3Apull',
        authorization: `Basic ${Buffer.from('u:p').toString('base64')}`,
      },
    ]);
  });

  it('keeps a token for four fifths of its life, one for each action', async () => {
    const { auth, clock } = world();
    await auth.answer(bearer('https://registry.example/t'), 'pull');
    clock.ms = 79_999;
    assert.equal(await auth.header('pull'), 'Bearer abc.def');
    assert.equal(await auth.header('pull,push'), undefined);
    clock.ms = 80_000;
    assert.equal(await auth.header('pull'), undefined);
  });

  it('takes 60 seconds when no life is said, and an hour at most', async () => {
    for (const [expires, untilMs] of [
      [undefined, 48_000],
      [-1, 48_000],
      ['100', 48_000],
      [1e9, 2_880_000],
    ] as const) {
      const { auth, clock } = world({}, { access_token: 'x', expires_in: expires });
      await auth.answer(bearer('https://registry.example/t'), 'pull');
      clock.ms = untilMs - 1;
      assert.equal(await auth.header('pull'), 'Bearer x', String(expires));
      clock.ms = untilMs;
      assert.equal(await auth.header('pull'), undefined, String(expires));
    }
  });

  it('fetches one token for any number of requests that are refused at once', async () => {
    const { auth, asked } = world();
    await Promise.all([1, 2, 3, 4].map(() => auth.answer(bearer('https://registry.example/t'), 'pull')));
    assert.equal(asked.length, 1);
  });

  it('drops a token that was refused', async () => {
    const { auth, asked } = world();
    await auth.answer(bearer('https://registry.example/t'), 'pull');
    await auth.answer(bearer('https://registry.example/t'), 'pull');
    assert.equal(asked.length, 2);
  });

  it('goes without a password where none is configured', async () => {
    const { auth, asked } = world({ credentials: undefined });
    await auth.answer(bearer('https://registry.example/t'), 'pull');
    assert.equal(asked[0]?.authorization, undefined);
  });

  for (const [realm, more, expected] of [
    ['https://registry.example/t', {}, 'token'],
    ['https://registry.example:8443/t', {}, 'token'],
    ['https://auth.example/t', {}, 'realm_refused'],
    ['https://registry.example.attacker.test/t', {}, 'realm_refused'],
    ['https://auth.example/t', { tokenHosts: ['auth.example'] }, 'token'],
    ['https://auth.example:444/t', { tokenHosts: ['auth.example'] }, 'realm_refused'],
    ['http://registry.example/t', {}, 'realm_refused'],
    ['http://registry.example/t', { insecure: true }, 'token'],
    ['https://u:p@registry.example/t', {}, 'realm_refused'],
    ['ftp://registry.example/t', { insecure: true }, 'realm_refused'],
    ['/token', {}, 'realm_refused'],
    ['', {}, 'realm_refused'],
    ['https://auth.docker.io/token', { origin: new URL('https://registry-1.docker.io') }, 'token'],
    ['https://auth.docker.io/token', {}, 'realm_refused'],
    ['http://127.0.0.1:5001/t', { origin: new URL('http://127.0.0.1:5000') }, 'token'],
    ['http://127.0.0.1:5001/t', {}, 'realm_refused'],
  ] as const) {
    it(`with ${JSON.stringify(more)} sends the password to ${JSON.stringify(realm)}: ${expected}`, async () => {
      const { auth, asked } = world(more);
      if (expected === 'token') {
        await auth.answer(bearer(realm), 'pull');
        return;
      }
      await assert.rejects(auth.answer(bearer(realm), 'pull'), { code: expected });
      assert.equal(asked.length, 0);
    });
  }

  for (const [what, answer, status, code] of [
    ['no JSON', 'x', 200, 'protocol'],
    ['no token', {}, 200, 'protocol'],
    ['null', null, 200, 'protocol'],
    ['a token that would break the header', { token: 'a\r\nx: y' }, 200, 'protocol'],
    ['a token that is no text', { token: 1 }, 200, 'protocol'],
    ['401', {}, 401, 'unauthorized'],
    ['403', {}, 403, 'unauthorized'],
    ['500', {}, 500, 'server_error'],
    ['a redirect', {}, 307, 'server_error'],
  ] as const) {
    it(`gives no header when the service answers with ${what}`, async () => {
      const { auth } = world({}, answer, status);
      await assert.rejects(auth.answer(bearer('https://registry.example/t'), 'pull'), { code });
    });
  }
});

describe('Basic', () => {
  it('is used when it is asked for, and from then on at once', async () => {
    const { auth, asked } = world();
    assert.equal(await auth.header('pull'), undefined);
    const header = await auth.answer('Basic realm="x"', 'pull');
    assert.equal(header, `Basic ${Buffer.from('u:p').toString('base64')}`);
    assert.equal(await auth.header('pull,push'), header);
    assert.equal(asked.length, 0);
  });

  it('gives way to a token where both are offered', async () => {
    const { auth } = world();
    assert.equal(
      await auth.answer(`Basic realm="x", ${bearer('https://registry.example/t')}`, 'pull'),
      'Bearer abc.def',
    );
  });

  it('is not tried without credentials, nor with a user name that it cannot carry', async () => {
    await assert.rejects(world({ credentials: () => undefined }).auth.answer('Basic realm="x"', 'pull'), {
      code: 'unauthorized',
    });
    await assert.rejects(
      world({ credentials: () => ({ username: 'a:b', password: '' }) }).auth.answer('Basic realm="x"', 'pull'),
      { code: 'unauthorized' },
    );
  });

  it('asks for the credentials each time, so that a changed password counts', async () => {
    let password = 'one';
    const { auth } = world({ credentials: () => ({ username: 'u', password }) });
    const before = await auth.answer('Basic realm="x"', 'pull');
    password = 'two';
    assert.notEqual(await auth.header('pull'), before);
  });
});
