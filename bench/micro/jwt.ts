/**
 * What a token costs: `node bench/micro/jwt.ts`. A hit in the cache of verified tokens through the authenticate stage, and a miss: signature and claims verified anew,
 * awaited one after the other. Prints one JSON row per case. Every identity is checked, and a token with one changed byte must be refused.
 */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { Authenticator } from '../../src/data/authn/authenticator.ts';
import { Issuer } from '../../src/data/authn/issuer.ts';
import { Credential } from '../../src/data/exchange.ts';
import { AuthenticateStage, openAuthn } from '../../src/data/stages/authenticate.ts';
import { Verdict } from '../../src/data/verdict.ts';
import type { IssuerPlan, Snapshot } from '../../src/snapshot/snapshot.ts';
import { TestWire, testExchange, testRoute } from '../../test/harness/wire.ts';

export interface MicroRow {
  readonly name: string;
  readonly metric: string;
  readonly unit: string;
  readonly ours: number;
}

const ROUNDS = 5;
const forgotten = { credential: Credential.None };

export async function run(hits = 100_000, misses = 500): Promise<MicroRow[]> {
  const rows: MicroRow[] = [];
  const row = (metric: string, ns: number): void => {
    rows.push({ name: 'jwt', metric, unit: 'ns', ours: Math.round(ns) });
  };
  for (const algorithm of ['ES256', 'RS256'] as const) {
    const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
    const plan: IssuerPlan = {
      id: 'bench',
      issuer: 'https://issuer.example',
      audiences: ['bench'],
      algorithms: [algorithm],
      clockSkewSeconds: 30,
      tokenBytesMax: 8_192,
      requiredClaims: ['exp', 'sub'],
      claimHeaders: ['sub', 'x-user', 'tenant', 'x-tenant'],
      rolesClaim: 'roles',
      jwks: JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: algorithm }] }),
      jwksUrl: null,
      jwksRefreshMs: 60_000,
      jwksCooldownMs: 30_000,
    };
    const token = await new SignJWT({ tenant: 'acme', roles: ['reader', 'writer'] })
      .setProtectedHeader({ alg: algorithm, kid: 'k' })
      .setIssuer(plan.issuer)
      .setAudience('bench')
      .setSubject('u-1')
      .setExpirationTime('1h')
      .sign(privateKey);

    const issuer = new Issuer(plan, () => assert.fail('keys are known'), Date.now);
    const changed = `${token.slice(0, -10)}${token.at(-10) === 'A' ? 'B' : 'A'}${token.slice(-9)}`;
    assert.equal((await issuer.verify(changed, 0)).kind, 'invalid');
    let least = Number.POSITIVE_INFINITY;
    for (let r = 0; r < ROUNDS; r++) {
      const from = performance.now();
      for (let i = 0; i < misses; i++) {
        const result = await issuer.verify(token, 0);
        if (result.kind !== 'identity' || result.identity.subject !== 'u-1') assert.fail(result.kind);
      }
      least = Math.min(least, ((performance.now() - from) * 1e6) / misses);
    }
    row(`${algorithm}, miss`, least);

    let woken: () => void = () => {};
    const authenticator = new Authenticator(
      () => woken(),
      () => assert.fail('keys are known'),
      Date.now,
    );
    const stage = new AuthenticateStage(authenticator);
    const snapshot = { issuers: [plan] } as unknown as Snapshot;
    const authn = openAuthn(snapshot, authenticator);
    const wire = new TestWire({
      headers: ['authorization', `Bearer ${token}`, 'user-agent', 'bench', 'accept', '*/*'],
    });
    const x = testExchange(wire, { snapshot, authn }, testRoute({ public: false, issuers: [0] }));
    for (let i = 0; i < 3; i++) {
      const verified = new Promise<void>((resolve) => {
        woken = resolve;
      });
      if (stage.enter(x) === Verdict.Wait) {
        await verified;
        assert.equal(stage.enter(x), Verdict.Next);
      }
      x.phase = 0;
    }
    least = Number.POSITIVE_INFINITY;
    for (let r = 0; r < ROUNDS; r++) {
      const from = performance.now();
      for (let i = 0; i < hits; i++) {
        Object.assign(x, forgotten);
        wire.upstreamEdits.length = 0;
        if (stage.enter(x) !== Verdict.Next || x.credential !== Credential.CachedToken) assert.fail('not cached');
      }
      least = Math.min(least, ((performance.now() - from) * 1e6) / hits);
    }
    assert.equal(x.identity?.subject, 'u-1');
    row(`${algorithm}, hit`, least);
  }
  return rows;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const row of await run()) console.log(JSON.stringify(row));
}
