import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Value } from 'typebox/value';
import { IssuerConfig } from '../../config/issuer.ts';
import { compileIssuers } from './issuers.ts';
import { readSecrets, secretReader } from './secrets.ts';

const directory = mkdtempSync(join(tmpdir(), 'cnx-secrets-'));
after(() => rmSync(directory, { recursive: true, force: true }));

describe('secrets', () => {
  it('come from the environment or from files, without the last line break', () => {
    const file = join(directory, 'key');
    writeFileSync(file, 'from a file\n');
    assert.deepEqual(
      [...readSecrets({ a: 'env:A', b: `file:${file}` }, { A: 'from the environment', B: 'not named' })],
      [
        ['a', 'from the environment'],
        ['b', 'from a file'],
      ],
    );
  });
  it('that are mapped and hold nothing end the start, without their value being said', () => {
    const file = join(directory, 'empty');
    writeFileSync(file, '\n');
    assert.throws(() => readSecrets({ a: 'env:A' }, {}), /secret "a" is empty: env:A holds nothing/);
    assert.throws(() => readSecrets({ a: 'env:A' }, { A: '' }), /secret "a" is empty/);
    assert.throws(() => readSecrets({ a: `file:${file}` }, {}), /secret "a" is empty/);
    assert.throws(() => readSecrets({ a: `file:${file}.not-there` }, {}), /ENOENT/);
  });
  it('that nobody mapped are a problem at the place that names them, with the nearest name and no value', () => {
    const said: string[] = [];
    const secret = secretReader(new Map([['session-key', 'hunter2']]), (part, path, message) =>
      said.push(`${part} ${path}: ${message}`),
    );
    assert.equal(secret('issuers', '/issuers/0/hmacSecret', 'session-key'), 'hunter2');
    assert.equal(secret('issuers', '/issuers/1/hmacSecret', 'sesion-key'), '');
    assert.equal(secret('routes', '/routes/0', 'constructor'), '');
    assert.deepEqual(said, [
      'issuers /issuers/1/hmacSecret: the bootstrap maps no secret "sesion-key"; did you mean "session-key"?',
      'routes /routes/0: the bootstrap maps no secret "constructor"; known: session-key',
    ]);
  });
});

/** The key of RFC 7515, appendix A.3. */
const KEY = {
  kty: 'EC',
  crv: 'P-256',
  x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
  y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
};

describe('issuers', () => {
  const issuer = (more: Partial<IssuerConfig>): IssuerConfig =>
    Value.Default(IssuerConfig, {
      id: 'a',
      issuer: 'i',
      audiences: ['x'],
      algorithms: ['ES256'],
      ...more,
    }) as IssuerConfig;
  it('are compiled with their keys inline, by address, or as a secret', () => {
    const keys = [KEY];
    const plans = compileIssuers(
      {
        issuers: [
          issuer({ jwks: { keys }, claimHeaders: { sub: 'X-User', 'org.id': 'x-org' } }),
          issuer({ jwksUrl: 'https://id.example/jwks', refreshMs: 10_000, cooldownMs: 2_000 }),
          issuer({ hmacSecret: 'key', algorithms: ['HS256'] }),
        ],
      },
      (part, path, name) => `${part} ${path} ${name}, long enough`,
      (_, path, message) => assert.fail(path + message),
    );
    assert.deepEqual(
      plans.map((p) => [p.jwks, p.jwksUrl]),
      [
        [JSON.stringify({ keys }), null],
        [null, 'https://id.example/jwks'],
        [
          JSON.stringify({
            keys: [
              { kty: 'oct', k: Buffer.from('issuers /issuers/2/hmacSecret key, long enough').toString('base64url') },
            ],
          }),
          null,
        ],
      ],
    );
    assert.deepEqual(plans[0]?.claimHeaders, ['sub', 'x-user', 'org.id', 'x-org'], 'header names are lower-case');
    assert.deepEqual([plans[1]?.jwksRefreshMs, plans[1]?.jwksCooldownMs], [10_000, 2_000]);
  });
  it('whose inline keys can verify nothing are a problem at each of these keys', () => {
    const said = (algorithms: IssuerConfig['algorithms'], ...keys: object[]): string[] => {
      const problems: string[] = [];
      compileIssuers(
        { issuers: [issuer({ jwksUrl: 'https://id.example/jwks' }), issuer({ algorithms, jwks: { keys } })] },
        () => '',
        (part, path, message) => problems.push(`${part} ${path}: ${message}`),
      );
      return problems;
    };
    assert.deepEqual(said(['RS256', 'ES256'], KEY, { ...KEY, kid: 'a', alg: 'ES256', use: 'sig' }), []);
    assert.deepEqual(said(['ES256'], KEY, {}), [
      'issuers /issuers/1/jwks/keys/1: this key can verify nothing under ES256: key type (none) does not fit ES256; remove it, or mend it or `algorithms`',
    ]);
    assert.deepEqual(said(['ES256'], { ...KEY, kid: 'a' }, { ...KEY, kid: 'a' }), [
      'issuers /issuers/1/jwks/keys/1: "a" is already the name (kid) of /issuers/1/jwks/keys/0 for ES256: neither would be used',
    ]);
    assert.match(said(['RS256'], KEY).join(), /key type EC does not fit RS256/);
    assert.match(said(['RS256', 'ES384'], KEY).join(), /under RS256, ES384: curve P-256 does not fit ES384/);
    assert.match(said(['ES256'], { ...KEY, use: 'enc' }).join(), /the key's use is enc/);
    assert.match(said(['ES256'], { ...KEY, x: KEY.y }).join(), /keys\/0: this key can verify nothing/, 'off its curve');
    assert.match(said(['ES256'], { ...KEY, x: 7 }).join(), /x is missing or no base64url/);
  });
  it('whose secret is shorter than the hash are a problem that says how long it must be', () => {
    const said: string[] = [];
    compileIssuers(
      { issuers: [issuer({ hmacSecret: 'key', algorithms: ['HS256', 'HS512'] })] },
      () => 'x'.repeat(40),
      (part, path, message) => said.push(`${part} ${path}: ${message}`),
    );
    assert.deepEqual(said, ['issuers /issuers/0/hmacSecret: the secret "key" has 40 bytes; HS512 needs at least 64']);
  });
});
