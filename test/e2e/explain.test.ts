/** Why was this request answered so? Asked of a running gateway that has every stage, and of its log when it is gone. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { Explanation } from '../../src/admin/explain.ts';
import { run as explain } from '../../src/cli/explain.ts';
import { ask, type Heard, idOf } from './client.ts';
import { fullBundle } from './full.ts';
import { Given } from './given.ts';
import { TestIssuer } from '../harness/issuer.ts';

async function told(...args: string[]): Promise<string> {
  let out = '';
  let err = '';
  const code = await explain(args, { stdout: (s) => (out += s), stderr: (s) => (err += s), env: {} });
  assert.equal(code, 0, err);
  return out;
}

describe('explain', () => {
  const given = new Given();
  after(() => given.end());

  it('tells each stage of an allowed and of every kind of refused request, from the gateway and from its log', async () => {
    const upstream = await given.upstream();
    const issuer = await TestIssuer.make();
    const gateway = await given.gateway({ bundle: fullBundle(upstream.address, issuer), bootstrap: { lanes: 2 } });
    const { http } = gateway.ports;
    const admin = `http://127.0.0.1:${gateway.ports.admin}`;
    const token = await issuer.token({ roles: ['admin'], tenant: 'acme' });
    const bearer = { authorization: `Bearer ${token}`, 'x-request-id': 'my-own-7' };
    const post = (headers: Readonly<Record<string, string>>): Promise<Heard> =>
      ask(http, '/echo/1?password=S3CR3T&page=2', { method: 'POST', body: 'hi', headers });

    const allowed = await post(bearer);
    assert.equal(allowed.status, 200, allowed.body);
    const account = JSON.parse(await told(idOf(allowed), '--admin', admin, '--json')) as Explanation;
    assert.deepEqual(
      [account.status, account.route, account.tenant, account.subject, account.cell, account.clientRequestId],
      [200, 'api', 'acme', 'alice', 'one', 'my-own-7'],
    );
    assert.equal(account.query, 'password=***&page=2');
    assert.deepEqual(account.stages.map((s) => [s.stage, s.decision]).at(-1), ['forward', 'forwarded']);
    assert.ok(account.stages.every((s) => s.decision !== 'refused'));

    const reader = await issuer.token({ roles: ['reader'], tenant: 'acme' });
    const key = { 'x-key': 'explain' };
    const refused: readonly (readonly [RegExp, Heard])[] = [
      [/refused with 401 token_missing by authenticate/, await post({})],
      [
        /refused with 403 policy_denied by authorize[^]*policy roles/,
        await post({ authorization: `Bearer ${reader}` }),
      ],
      [/refused with 403 waf_blocked by waf[^]*\b1001\b[^]*ARGS:q/, await ask(http, '/?q=union+select')],
      [/refused with 429 rate_limited by admit[^]*limit few/, await overLimit(key)],
      [/refused with 400 bad_target by normalize/, await ask(http, '/%zz')],
    ];
    async function overLimit(headers: Readonly<Record<string, string>>): Promise<Heard> {
      for (let n = 0; n < 2; n++) await ask(http, '/limited', { headers });
      return ask(http, '/limited', { headers });
    }
    const texts: string[] = [];
    for (const [pattern, heard] of refused) {
      const text = await told(idOf(heard), '--admin', admin);
      assert.match(text, pattern);
      texts.push(text);
    }

    await gateway.stop();
    const directory = mkdtempSync(join(tmpdir(), 'cnx-explain-'));
    given.ends(() => rmSync(directory, { recursive: true }));
    const log = join(directory, 'log');
    writeFileSync(log, gateway.stdout);
    for (const [n, [, heard]] of refused.entries()) {
      // The same words, whether the gateway lives or not.
      assert.equal(await told('--log', log, idOf(heard)), texts[n]);
    }
    for (const secret of ['S3CR3T', token, token.split('.')[2] ?? '', reader])
      assert.ok(!gateway.stdout.includes(secret));
  });
});
