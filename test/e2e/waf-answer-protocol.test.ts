/** What the rules of the WAF see of the protocol of an answer: the one that the upstream spoke, as far as the transport knows it. */
import assert from 'node:assert/strict';
import { createServer as createHttp1 } from 'node:http';
import { createServer as createHttp2 } from 'node:http2';
import { createServer as createTcp } from 'node:net';
import { after, describe, it } from 'node:test';
import type { Explanation } from '../../src/admin/explain.ts';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { listening } from '../harness/ports.ts';
import { ask, codeOf, idOf } from './client.ts';
import { Given } from './given.ts';

const RULES = `SecResponseBodyAccess On
SecRule RESPONSE_PROTOCOL "@unconditionalMatch" "id:100,phase:3,deny,msg:'%{RESPONSE_PROTOCOL} in %{STATUS_LINE}'"
`;

describe('waf: the protocol of answers', () => {
  const given = new Given();
  after(() => given.end());

  /** Upstreams that speak one version each; their ports. */
  async function upstreams(): Promise<{ readonly [cell: string]: number }> {
    const old = createTcp((socket) => {
      socket.on('error', () => socket.destroy());
      socket.on('data', () => socket.end('HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold'));
    });
    const usual = createHttp1((_, response) => response.end('usual'));
    const two = createHttp2((_, response) => response.end('two'));
    for (const server of [old, usual, two]) given.ends(() => server.close());
    return { old: await listening(old), usual: await listening(usual), two: await listening(two) };
  }

  async function gatewayOf(transport: string, ports: { readonly [cell: string]: number }): Promise<TestGateway> {
    const cells = Object.keys(ports);
    const endpoint = (cell: string): object => ({
      address: `127.0.0.1:${ports[cell]}`,
      ...(cell === 'two' ? { protocol: 'http2' } : {}),
    });
    const route = (cell: string): object => ({
      id: cell,
      match: { path: { prefix: `/${cell}` } },
      access: 'public',
      reason: 'for a test of the WAF',
      cell,
    });
    return given.gateway({
      bundle: plainBundle([], {
        cells: { cells: cells.map((id) => ({ id, endpoints: [endpoint(id)] })) },
        waf: { mode: 'block', rules: ['waf/test.conf'], responses: { inspect: true } },
        files: { 'waf/test.conf': RULES },
        routes: { routes: cells.map(route) },
      }),
      bootstrap: { lanes: 1, transport },
    });
  }

  async function toldOf(gateway: TestGateway, cell: string): Promise<string | undefined> {
    const heard = await ask(gateway.ports.http, `/${cell}`);
    assert.equal(codeOf(heard), 'waf_answer_blocked');
    return ((await gateway.admin(`/v1/explain/${idOf(heard)}`)) as Explanation).waf.matches[0]?.message;
  }

  it('is each version that there is (native)', async () => {
    const gateway = await gatewayOf('native', await upstreams());
    assert.equal(await toldOf(gateway, 'old'), 'HTTP/1.0 in HTTP/1.0 200');
    assert.equal(await toldOf(gateway, 'usual'), 'HTTP/1.1 in HTTP/1.1 200');
    assert.equal(await toldOf(gateway, 'two'), 'HTTP/2.0 in HTTP/2.0 200');
    assert.equal(await toldOf(gateway, 'usual'), 'HTTP/1.1 in HTTP/1.1 200', 'nothing of an answer before is left');
  });

  it('is HTTP/1.1, since nothing else is told (uws)', async () => {
    const { old = 0, usual = 0 } = await upstreams();
    const gateway = await gatewayOf('uws', { old, usual });
    assert.equal(await toldOf(gateway, 'old'), 'HTTP/1.1 in HTTP/1.1 200');
    assert.equal(await toldOf(gateway, 'usual'), 'HTTP/1.1 in HTTP/1.1 200');
  });
});
