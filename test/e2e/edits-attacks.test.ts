/** Edits of a request have bounds, and what a client sends fills them: nothing that the gateway says of a request may be lost for that. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { AUDIENCE, ISSUER, type TestIssuer } from '../harness/issuer.ts';
import { listening } from '../harness/ports.ts';
import { ask, type Heard } from './client.ts';
import { Given } from './given.ts';

const CLAIMS = Array.from({ length: 40 }, (_, i) => `c${i}`);
const CLIENTS_OWN = {
  'x-forwarded-for': '203.0.113.66',
  'x-forwarded-host': 'elsewhere.example',
  'x-forwarded-proto': 'https',
  forwarded: 'for=203.0.113.66',
  'x-request-id': 'mine',
};

for (const transport of ['native', 'uws'] as const) {
  describe(`edits of a request by ${transport}`, { timeout: 120_000 }, () => {
    const given = new Given();
    let issuer: TestIssuer;
    let gateway: TestGateway;

    before(async () => {
      issuer = await given.issuer();
      // More than what edits may hold, so that it is not the upstream that says no.
      const upstream = createServer({ maxHeaderSize: 65_536 }, (request, response) => {
        response.end(JSON.stringify({ headers: request.headers }));
      });
      const port = await listening(upstream, 0);
      given.ends(() => upstream.close());
      given.ends(() => upstream.closeAllConnections());
      const route = (id: string, more: object): object => ({ id, match: { path: { prefix: `/${id}` } }, ...more });
      gateway = await given.gateway({
        bundle: plainBundle([`127.0.0.1:${port}`], {
          routes: {
            routes: [
              route('filled', {
                access: 'public',
                reason: 'fields made of what the client says',
                respond: {
                  requestHeaders: {
                    set: { 'X-A': '${header:x-a}', 'X-B': '${header:x-a}', 'X-C': '${header:x-a}${header:x-c}' },
                  },
                },
              }),
              route('claims', {
                access: 'public',
                reason: 'tokens without a policy',
                issuers: ['main'],
                respond: { requestHeaders: { set: { 'X-Own': 'ours' } } },
              }),
              route('made', {
                access: 'public',
                reason: 'tokens without a policy',
                issuers: ['main'],
                respond: {
                  requestHeaders: {
                    append: { 'X-Claim-C0': 'behind it', 'X-List': 'ours' },
                    setIfAbsent: { 'X-Claim-C1': 'nobody', 'X-Claim-C2': 'nobody', 'X-Other': 'ours' },
                  },
                },
              }),
              route('open', {
                access: 'public',
                reason: 'no tokens at all',
                respond: {
                  requestHeaders: {
                    append: { 'X-Claim-C0': 'ours' },
                    setIfAbsent: { 'X-Claim-C1': 'nobody' },
                  },
                },
              }),
            ],
          },
          issuers: {
            issuers: [
              {
                id: 'main',
                issuer: ISSUER,
                jwks: issuer.jwks,
                audiences: [AUDIENCE],
                algorithms: ['ES256'],
                claimHeaders: Object.fromEntries(CLAIMS.map((name) => [name, `x-claim-${name}`])),
              },
            ],
          },
        }),
        bootstrap: { transport },
      });
    });
    after(() => given.end());

    const seen = (heard: Heard): Record<string, string> =>
      (JSON.parse(heard.body) as { headers: Record<string, string> }).headers;

    it('a client cannot fill them until its own word on who asks passes', async () => {
      let passed = 0;
      for (let length = 0; length <= 1_400; length += 8) {
        const headers = { ...CLIENTS_OWN, 'x-a': 'a'.repeat(5_000), 'x-c': 'c'.repeat(length) };
        const heard = await ask(gateway.ports.http, '/filled', { headers });
        if (heard.status === 431) continue;
        passed++;
        assert.equal(heard.status, 200);
        const head = seen(heard);
        assert.deepEqual(
          [head['x-forwarded-for'], head['x-forwarded-proto'], head['forwarded']?.startsWith('for=127.0.0.1')],
          ['127.0.0.1', 'http', true],
          `with ${length} more`,
        );
        assert.notEqual(head['x-request-id'], 'mine');
      }
      assert.ok(passed > 0);
    });

    it('as many claims as a bundle may name are told, and the rest with them', async () => {
      const token = await issuer.token(Object.fromEntries(CLAIMS.map((name) => [name, `of ${name}`])));
      const headers = { ...CLIENTS_OWN, authorization: `Bearer ${token}`, 'x-claim-c39': 'mine' };
      const heard = await ask(gateway.ports.http, '/claims', { headers });
      assert.equal(heard.status, 200, heard.body);
      const head = seen(heard);
      for (const name of CLAIMS) assert.equal(head[`x-claim-${name}`], `of ${name}`);
      assert.deepEqual([head['x-own'], head['x-forwarded-for']], ['ours', '127.0.0.1']);
    });

    it('what is added to a claim, or stands in for one, knows the token and not what the client says of itself', async () => {
      const token = await issuer.token({ c0: 'of the token', c1: 'of the token' });
      const lies = { 'x-claim-c0': 'a lie', 'x-claim-c1': 'a lie', 'x-claim-c2': 'a lie', 'x-list': 'one' };
      for (const headers of [{}, lies]) {
        const heard = await ask(gateway.ports.http, '/made', {
          headers: { ...headers, authorization: `Bearer ${token}` },
        });
        assert.equal(heard.status, 200, heard.body);
        const head = seen(heard);
        assert.deepEqual(
          [head['x-claim-c0'], head['x-claim-c1'], head['x-claim-c2'], head['x-other']],
          ['of the token, behind it', 'of the token', 'nobody', 'ours'],
        );
        assert.equal(head['x-list'], headers === lies ? 'one, ours' : 'ours');
      }
    });

    it('nor where no token is asked for, nor what the client has named as of its connection', async () => {
      const lies = { 'x-claim-c0': 'a lie', 'x-claim-c1': 'a lie' };
      const head = seen(await ask(gateway.ports.http, '/open', { headers: lies }));
      assert.deepEqual([head['x-claim-c0'], head['x-claim-c1']], ['ours', 'nobody']);
      const token = await issuer.token({});
      const hop = {
        authorization: `Bearer ${token}`,
        connection: 'x-list, x-other',
        'x-list': 'one',
        'x-other': 'one',
      };
      const other = seen(await ask(gateway.ports.http, '/made', { headers: hop }));
      assert.deepEqual([other['x-list'], other['x-other']], ['ours', 'ours']);
    });
  });
}
