import assert from 'node:assert/strict';
import { describe, it, before } from 'node:test';
import { CompactSign, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { TestWire, testExchange, testRoute } from '../../../test/harness/wire.ts';
import type { IssuerPlan, Snapshot } from '../../snapshot/snapshot.ts';
import { Authenticator } from '../authn/authenticator.ts';
import { importKeys } from '../authn/keys.ts';
import { Credential, type Exchange } from '../exchange.ts';
import { Verdict } from '../verdict.ts';
import { AuthenticateStage, openAuthn } from './authenticate.ts';

const NOW = 1_800_000_000;
const ISSUER = 'https://issuer.example';

interface Keys {
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}
let es: Keys;
let other: Keys;
let rs: Keys;

async function keys(algorithm: string, kid: string): Promise<Keys> {
  const pair = await generateKeyPair(algorithm, { extractable: true });
  return {
    privateKey: pair.privateKey,
    jwk: { ...(await exportJWK(pair.publicKey)), kid, alg: algorithm },
  };
}

before(async () => {
  es = await keys('ES256', 'es');
  other = await keys('ES256', 'other');
  rs = await keys('RS256', 'rs');
});

function plan(over: Partial<IssuerPlan> = {}): IssuerPlan {
  return {
    id: 'main',
    issuer: ISSUER,
    audiences: ['shop'],
    algorithms: ['ES256', 'RS256'],
    clockSkewSeconds: 30,
    tokenBytesMax: 4096,
    requiredClaims: ['exp', 'sub'],
    claimHeaders: ['tenant', 'x-tenant', 'sub', 'x-subject'],
    rolesClaim: 'roles',
    jwks: JSON.stringify({ keys: [es.jwk, rs.jwk] }),
    jwksUrl: null,
    jwksRefreshMs: 60_000,
    jwksCooldownMs: 30_000,
    ...over,
  };
}

const good = { iss: ISSUER, aud: 'shop', sub: 'anna', tenant: 't1', roles: ['reader'], exp: NOW + 60 };

function token(claims: object, key = es, header: object = {}): Promise<string> {
  return new SignJWT(claims as Record<string, unknown>)
    .setProtectedHeader({ alg: key.jwk.alg ?? '', kid: key.jwk.kid ?? '', ...header })
    .sign(key.privateKey);
}

/** Of a token that fits any key, so that nobody asks for the one it names. */
const nameless = { kid: undefined };

/** Signs an arbitrary payload text, as a careless issuer might. */
function signText(payload: string, header: object = {}): Promise<string> {
  return new CompactSign(Buffer.from(payload))
    .setProtectedHeader({ alg: 'ES256', kid: 'es', ...header })
    .sign(es.privateKey);
}

function unsigned(header: object, claims: object, signature = ''): string {
  const part = (o: object): string => Buffer.from(JSON.stringify(o)).toString('base64url');
  return `${part(header)}.${part(claims)}.${signature}`;
}

class Bench {
  readonly authenticator: Authenticator;
  readonly stage: AuthenticateStage;
  readonly asked: string[] = [];
  #woken: (() => void) | null = null;
  readonly authn;

  constructor(issuers: readonly IssuerPlan[] = [plan()]) {
    this.authenticator = new Authenticator(
      () => this.#woken?.(),
      (url) => this.asked.push(url),
      () => NOW * 1000,
    );
    this.stage = new AuthenticateStage(this.authenticator);
    this.authn = openAuthn({ issuers } as unknown as Snapshot, this.authenticator);
  }

  /** Runs the stage to its verdict, over its wait if it has one. */
  async run(
    authorization: string | null,
    issuers: readonly number[] = [0],
    fields: readonly string[] = [],
  ): Promise<{ x: Exchange; wire: TestWire; verdict: Verdict; waited: boolean }> {
    const wire = new TestWire({
      headers: [...(authorization === null ? [] : ['authorization', authorization]), ...fields],
    });
    const x = testExchange(wire, { authn: this.authn }, testRoute({ public: false, issuers }));
    x.now = NOW * 1000;
    const woken = new Promise<void>((resolve) => (this.#woken = resolve));
    let verdict = this.stage.enter(x);
    const waited = verdict === Verdict.Wait;
    if (waited) {
      await woken;
      verdict = this.stage.enter(x);
    }
    return { x, wire, verdict, waited };
  }
}

describe('a token of an accepted issuer', () => {
  it('is verified once, then comes from the cache without a wait', async () => {
    const bench = new Bench();
    const t = await token(good);
    const first = await bench.run(`Bearer ${t}`);
    assert.equal(first.verdict, Verdict.Next);
    assert.equal(first.waited, true);
    assert.equal(first.x.credential, Credential.VerifiedToken);
    assert.equal(first.x.identity?.subject, 'anna');
    assert.deepEqual(first.x.identity?.roles, ['reader']);
    const second = await bench.run(`bearer ${t}`);
    assert.equal(second.waited, false);
    assert.equal(second.x.credential, Credential.CachedToken);
  });

  it('puts claims into headers, and copies sent by clients never pass', async () => {
    const { wire } = await new Bench().run(`Bearer ${await token(good)}`);
    assert.deepEqual(wire.upstreamEdits, [
      'remove x-tenant',
      'remove x-subject',
      'set x-tenant: t1',
      'set x-subject: anna',
    ]);
  });

  it('has no copies with underscores beside it, which many upstreams take for the same field', async () => {
    const bench = new Bench();
    const t = await token(good);
    for (const name of ['x_tenant', 'x_subject']) {
      const { x, verdict } = await bench.run(`Bearer ${t}`, [0], [name, 'root']);
      assert.equal(verdict, Verdict.Refuse, name);
      assert.equal(x.refusal?.code, 'bad_header', name);
      assert.equal(x.detail, `a field passes for ${name.replace('_', '-')}, which only the gateway sets`);
    }
    assert.equal((await bench.run(null, [], ['x_tenant', 'root'])).x.refusal?.code, 'bad_header', 'on any route');
    assert.equal((await bench.run(`Bearer ${t}`, [0], ['x_other', 'a'])).verdict, Verdict.Next);
  });

  it('is no longer taken from the cache when it expires', async () => {
    const bench = new Bench([plan({ clockSkewSeconds: 0 })]);
    const t = await token({ ...good, exp: NOW + 1 });
    await bench.run(`Bearer ${t}`);
    assert.equal(bench.authenticator.cached(`Bearer ${t}`, bench.authn.issuers, [0], (NOW + 2) * 1000), null);
  });

  it('is not accepted on a route of another issuer', async () => {
    const bench = new Bench([plan(), plan({ id: 'second', issuer: 'https://second.example' })]);
    const t = await token(good);
    await bench.run(`Bearer ${t}`, [0]);
    const { x } = await bench.run(`Bearer ${t}`, [1]);
    assert.equal(x.refusal?.code, 'token_invalid');
  });

  it('is looked at again after its issuer has changed keys', async () => {
    const bench = new Bench([plan({ jwks: null, jwksUrl: 'https://issuer.example/keys' })]);
    bench.authenticator.setKeys('https://issuer.example/keys', JSON.stringify({ keys: [es.jwk] }));
    const t = await token(good);
    assert.equal((await bench.run(`Bearer ${t}`)).verdict, Verdict.Next);
    await bench.authn.issuers[0]?.setKeys(JSON.stringify({ keys: [other.jwk] }));
    assert.equal(bench.authenticator.cached(`Bearer ${t}`, bench.authn.issuers, [0], NOW * 1000), null);
  });
});

describe('keys of a remote issuer', () => {
  const url = 'https://issuer.example/keys';
  it('leave verified tokens in the cache when they come again unchanged', async () => {
    const bench = new Bench([plan({ jwks: null, jwksUrl: url })]);
    const keys = JSON.stringify({ keys: [es.jwk] });
    await bench.authn.issuers[0]?.setKeys(keys);
    const t = await token(good);
    await bench.run(`Bearer ${t}`);
    await bench.authn.issuers[0]?.setKeys(keys);
    assert.notEqual(bench.authenticator.cached(`Bearer ${t}`, bench.authn.issuers, [0], NOW * 1000), null);
  });

  it('that are replaced while a token is verified with them leave it out of the cache', async () => {
    for (let i = 0; i < 10; i++) {
      const bench = new Bench([plan({ jwks: null, jwksUrl: url })]);
      const [issuer] = bench.authn.issuers;
      await issuer?.setKeys(JSON.stringify({ keys: [es.jwk] }));
      const t = await token(good);
      const running = bench.run(`Bearer ${t}`);
      for (let turn = 0; turn < i; turn++) await Promise.resolve();
      await Promise.all([running, issuer?.setKeys(JSON.stringify({ keys: [other.jwk] }))]);
      assert.equal(bench.authenticator.cached(`Bearer ${t}`, bench.authn.issuers, [0], NOW * 1000), null);
    }
  });

  it('of a snapshot that goes on serving come to it, though another one was opened after it', async () => {
    const url = 'https://id.example/jwks';
    const remote = plan({ jwks: null, jwksUrl: url });
    const bench = new Bench([remote]);
    bench.authenticator.setKeys(url, JSON.stringify({ keys: [es.jwk] }));
    // Tried, and taken back: the first one is not opened again.
    const tried = bench.authenticator.open({
      issuers: [{ ...remote, audiences: ['shop', 'more'] }],
    } as unknown as Snapshot);
    bench.authenticator.retain(new Set([...bench.authn.issuers, ...tried]));
    bench.authenticator.retain(new Set(bench.authn.issuers));
    assert.equal((await bench.run(`Bearer ${await token(good)}`)).verdict, Verdict.Next);
    // The key is withdrawn and replaced by another.
    bench.authenticator.setKeys(url, JSON.stringify({ keys: [other.jwk] }));
    assert.equal((await bench.run(`Bearer ${await token(good, other)}`)).verdict, Verdict.Next);
    const { verdict } = await bench.run(`Bearer ${await token(good, es, nameless)}`);
    assert.equal(verdict, Verdict.Refuse, 'signed with the key that was withdrawn');
  });

  it('of an issuer that no live snapshot has come to nobody', async () => {
    const url = 'https://id.example/jwks';
    const bench = new Bench([plan({ jwks: null, jwksUrl: url })]);
    bench.authenticator.retain(new Set());
    bench.authenticator.setKeys(url, JSON.stringify({ keys: [es.jwk] }));
    assert.equal(bench.authn.issuers[0]?.generation, 0);
    assert.equal(
      bench.authenticator.open({ issuers: [bench.authn.issuers[0]?.plan] } as unknown as Snapshot)[0]?.generation,
      0,
    );
  });

  it('that came last count, though those before them take longer to read', async () => {
    const url = 'https://id.example/jwks';
    const bench = new Bench([plan({ jwks: null, jwksUrl: url })]);
    const many = Array.from({ length: 63 }, (_, i) => ({ ...rs.jwk, kid: `rs${i}` }));
    bench.authenticator.setKeys(url, JSON.stringify({ keys: [...many, es.jwk] }));
    bench.authenticator.setKeys(url, JSON.stringify({ keys: [other.jwk] }));
    assert.equal((await bench.run(`Bearer ${await token(good, other)}`)).verdict, Verdict.Next);
    // Whatever was still being read is read by now.
    await importKeys({ keys: [...many, ...many] }, ['RS256', 'ES256']);
    const { verdict } = await bench.run(`Bearer ${await token(good, es, nameless)}`);
    assert.equal(verdict, Verdict.Refuse, 'its key was withdrawn');
    assert.equal((await bench.run(`Bearer ${await token({ ...good, sub: 'ben' }, other)}`)).verdict, Verdict.Next);
  });

  it('are asked for when a key id is unknown, and the request goes on when they come', async () => {
    const bench = new Bench([plan({ jwks: null, jwksUrl: url })]);
    bench.authenticator.setKeys(url, JSON.stringify({ keys: [other.jwk] }));
    const running = bench.run(`Bearer ${await token(good)}`);
    while (bench.asked.length === 0) await new Promise((r) => setImmediate(r));
    bench.authenticator.setKeys(url, JSON.stringify({ keys: [other.jwk, es.jwk] }));
    assert.equal((await running).verdict, Verdict.Next);
  });

  it('are asked for once a cool-down, however many unknown key ids flood in', async () => {
    const bench = new Bench([plan({ jwks: null, jwksUrl: url })]);
    bench.authenticator.setKeys(url, JSON.stringify({ keys: [other.jwk] }));
    const flood = await Promise.all(Array.from({ length: 50 }, (_, i) => token(good, es, { kid: `unknown-${i}` })));
    const issuer = bench.authn.issuers[0];
    assert.ok(issuer);
    const verifying = flood.map((t) => issuer.verify(t, 0));
    while (bench.asked.length === 0) await new Promise((r) => setImmediate(r));
    bench.authenticator.setKeys(url, JSON.stringify({ keys: [other.jwk] }));
    const results = await Promise.all(verifying);
    assert.ok(results.every((r) => r.kind === 'invalid'));
    assert.equal(bench.asked.length, 1);
    const late = await bench.authn.issuers[0]?.verify(await token(good, es, { kid: 'late' }), 0);
    assert.equal(late?.kind, 'invalid');
    assert.equal(bench.asked.length, 1);
  });

  it('stay in place when what comes is no key set', async () => {
    const bench = new Bench([plan({ jwks: null, jwksUrl: url })]);
    bench.authenticator.setKeys(url, JSON.stringify({ keys: [es.jwk] }));
    await bench.authn.issuers[0]?.setKeys('<html>down for maintenance</html>');
    assert.equal((await bench.run(`Bearer ${await token(good)}`)).verdict, Verdict.Next);
  });
});

describe('a request is refused', () => {
  const table: readonly (readonly [
    name: string,
    code: string,
    authorization: () => Promise<string | null> | string | null,
  ])[] = [
    ['without a token', 'token_missing', () => null],
    ['with another scheme', 'token_malformed', () => 'Basic dXNlcjpwYXNz'],
    ['with two tokens joined', 'token_malformed', async () => `Bearer ${await token(good)}, Bearer x`],
    ['with alg none', 'token_malformed', () => `Bearer ${unsigned({ alg: 'none' }, good)}`],
    ['with alg None', 'token_invalid', () => `Bearer ${unsigned({ alg: 'None' }, good, 'AA')}`],
    [
      'with a public RSA key used as HMAC secret',
      'token_invalid',
      () => {
        const head = Buffer.from(JSON.stringify({ alg: 'HS256', kid: 'rs' })).toString('base64url');
        return `Bearer ${head}.${Buffer.from(JSON.stringify(good)).toString('base64url')}.AAAA`;
      },
    ],
    [
      'with an algorithm that is not pinned',
      'token_invalid',
      async () => {
        const ps = await keys('PS256', 'rs');
        return `Bearer ${await token(good, ps)}`;
      },
    ],
    ['with an unknown key id', 'token_invalid', async () => `Bearer ${await token(good, other)}`],
    [
      'with the key id of another key',
      'token_invalid',
      async () => `Bearer ${await token(good, other, { kid: 'es' })}`,
    ],
    ['with an expired token', 'token_expired', async () => `Bearer ${await token({ ...good, exp: NOW - 31 })}`],
    ['before nbf', 'token_invalid', async () => `Bearer ${await token({ ...good, nbf: NOW + 31 })}`],
    ['issued in the future', 'token_invalid', async () => `Bearer ${await token({ ...good, iat: NOW + 31 })}`],
    [
      'with exp as text',
      'token_invalid',
      async () => `Bearer ${await signText(JSON.stringify({ ...good, exp: `${NOW + 60}` }))}`,
    ],
    ['without exp', 'token_invalid', async () => `Bearer ${await token({ ...good, exp: undefined })}`],
    ['for another audience', 'token_invalid', async () => `Bearer ${await token({ ...good, aud: 'bank' })}`],
    ['without an audience', 'token_invalid', async () => `Bearer ${await token({ ...good, aud: undefined })}`],
    [
      'of another issuer',
      'token_invalid',
      async () => `Bearer ${await token({ ...good, iss: 'https://evil.example' })}`,
    ],
    [
      'with a crit header',
      'token_malformed',
      async () => `Bearer ${unsigned({ alg: 'ES256', kid: 'es', crit: ['x'], x: 1 }, good, 'AAAA')}`,
    ],
    [
      'with duplicate claims',
      'token_malformed',
      async () => `Bearer ${await signText(`{"sub":"anna","sub":"root",${JSON.stringify(good).slice(1)}`)}`,
    ],
    ['with a payload that is no object', 'token_malformed', async () => `Bearer ${await signText('"anna"')}`],
    [
      'with an oversized token',
      'token_malformed',
      async () => `Bearer ${await token({ ...good, pad: 'x'.repeat(4096) })}`,
    ],
    ['with padding in base64url', 'token_malformed', async () => `Bearer ${await token(good)}=`],
    [
      'with a changed signature',
      'token_invalid',
      async () => {
        const t = await token(good);
        const at = t.length - 20;
        return `Bearer ${t.slice(0, at)}${t[at] === 'A' ? 'B' : 'A'}${t.slice(at + 1)}`;
      },
    ],
    [
      'with stripped signature',
      'token_malformed',
      async () => `Bearer ${(await token(good)).replace(/\.[^.]*$/, '.')}`,
    ],
  ];
  for (const [name, code, authorization] of table) {
    it(name, async () => {
      const { x, wire, verdict } = await new Bench().run(await authorization());
      assert.equal(verdict, Verdict.Refuse);
      assert.equal(x.refusal?.code, code, x.detail);
      assert.equal(x.identity, null);
      assert.match(wire.answerEdits.join(), /set www-authenticate: Bearer/);
    });
  }
});

describe('keys that must not verify are left out', () => {
  const table: readonly (readonly [string, () => Promise<JWK> | JWK, RegExp])[] = [
    ['a private-use key', () => ({ ...es.jwk, use: 'enc' }), /use is enc/],
    ['a key that may only sign', () => ({ ...es.jwk, key_ops: ['sign'] }), /may not verify/],
    [
      'an RSA key of 1024 bits',
      () => ({ kty: 'RSA', n: Buffer.alloc(128, 0xff).toString('base64url'), e: 'AQAB' }),
      /1024 bits/,
    ],
    [
      'an RSA key with exponent 1',
      () => ({ kty: 'RSA', n: Buffer.alloc(256, 0xff).toString('base64url'), e: 'AQ' }),
      /exponent 1/,
    ],
    [
      'a point that is not on its curve',
      () => ({ ...es.jwk, alg: 'ES256', x: Buffer.alloc(32, 7).toString('base64url') }),
      /./,
    ],
  ];
  for (const [name, jwk, why] of table) {
    it(name, async () => {
      const bench = new Bench([
        plan({ algorithms: ['ES256', 'RS256'], jwks: JSON.stringify({ keys: [await jwk()] }) }),
      ]);
      const issuer = bench.authn.issuers[0];
      const result = await issuer?.verify(await token(good), 0);
      assert.equal(result?.kind, 'invalid');
      assert.match(issuer?.rejected.join() ?? '', why);
    });
  }
});

describe('two keys of one name for one algorithm', () => {
  it('are both left out: which one is meant cannot be told', async () => {
    const twin = { ...other.jwk, kid: 'es' };
    const bench = new Bench([plan({ jwks: JSON.stringify({ keys: [es.jwk, twin] }) })]);
    const result = await bench.authn.issuers[0]?.verify(await token(good), 0);
    assert.equal(result?.kind, 'invalid');
    assert.match(bench.authn.issuers[0]?.rejected.join() ?? '', /2 keys have this name/);
  });
});
