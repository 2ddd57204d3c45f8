/** WAF expressions on a running gateway: those of the bundle and of a route, in the lane and in the pool, with lists, scores and TLS. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Explanation } from '../../src/admin/explain.ts';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import type { TestUpstream } from '../harness/upstream.ts';
import { type Ask, ask, codeOf, type Heard, idOf } from './client.ts';
import { LANE_BYTES_MAX, RULES } from './full.ts';
import { Given } from './given.ts';

const LONG = 'x'.repeat(4 * LANE_BYTES_MAX);

function route(id: string, waf: object): object {
  return { id, match: { path: { prefix: `/${id}` } }, access: 'public', reason: 'for a test of the WAF', waf };
}

describe('waf expressions', () => {
  const given = new Given();
  let upstream: TestUpstream;
  let gateway: TestGateway;

  before(async () => {
    upstream = await given.upstream();
    gateway = await given.gateway({
      bundle: plainBundle([upstream.address], {
        waf: {
          mode: 'block',
          threshold: 5,
          laneBytesMax: LANE_BYTES_MAX,
          lists: {
            office: ['10.0.0.0/8', '2001:db8::/32'],
            here: ['127.0.0.0/8', '::1'],
            methods: ['PATCH', 'DELETE'],
          },
          rules: [
            {
              id: 90_000_001,
              name: 'Administration only from the office',
              when: 'http.request.path contains "/admin/" and not ip.src in $office',
              action: 'block',
            },
            { name: 'Seen here', when: 'http.request.path ends_with "/seen" and ip.src in $here', action: 'log' },
            { when: 'http.request.path contains "/skipped/"', action: 'skip' },
            'waf/test.conf',
            { when: 'http.request.method in $methods', action: 'score', points: 3 },
            { when: 'any(http.request.headers["x-odd"][*] eq "1")', action: 'score', points: 2 },
            { when: 'any(http.request.body.form["role"][*] eq "root")', action: 'block' },
          ],
        },
        files: { 'waf/test.conf': RULES },
        routes: {
          routes: [
            route('all', {}),
            route('detect', { mode: 'detect' }),
            route('strict', { rules: [{ when: 'not http.user_agent contains "known"', action: 'block' }] }),
            route('tagless', { exclude: [{ tag: 'expression' }] }),
          ],
        },
      }),
      bootstrap: { lanes: 2 },
    });
  });
  after(() => given.end());

  const send = (path: string, options: Ask = {}): Promise<Heard> => ask(gateway.ports.http, path, options);
  const explained = async (heard: Heard): Promise<Explanation> =>
    (await gateway.admin(`/v1/explain/${idOf(heard)}`)) as Explanation;

  it('one blocks, however the path is spelled, in the lane and in the pool, and the record says why', async () => {
    const before = upstream.requests.length;
    for (const path of ['/all/admin/x', '/all/%61dmin/x', '/all//x/../admin/x']) {
      const heard = await send(path);
      assert.deepEqual([heard.status, codeOf(heard)], [403, 'waf_blocked'], path);
    }
    const pooled = await send('/all/admin/', { headers: { 'x-long': LONG } });
    assert.equal(codeOf(pooled), 'waf_blocked');
    assert.equal(upstream.requests.length, before, 'the upstream has seen nothing of it');
    for (const heard of [pooled, await send('/all/admin/y')]) {
      const { waf } = await explained(heard);
      const [match] = waf.matches;
      assert.deepEqual(
        [waf.verdict, match?.rule, match?.variable, match?.message],
        ['blocked', 90_000_001, 'REQUEST_FILENAME', 'Administration only from the office'],
      );
    }
  });

  it('one logs and lets pass', async () => {
    const heard = await send('/all/seen');
    assert.equal(heard.status, 200);
    const { waf } = await explained(heard);
    assert.deepEqual([waf.verdict, waf.matches.map((m) => m.message)], ['detected', ['Seen here']]);
    assert.equal((await explained(await send('/all/unseen/'))).waf.verdict, 'pass');
  });

  it('scores add up to the threshold', async () => {
    const odd = { 'x-odd': '1' };
    assert.equal((await send('/all/', { headers: odd })).status, 200);
    assert.equal((await send('/all/', { method: 'DELETE' })).status, 200);
    const both = await send('/all/', { method: 'DELETE', headers: odd });
    assert.equal(codeOf(both), 'waf_blocked');
    assert.equal((await explained(both)).waf.score, 5);
  });

  it('one asks the body', async () => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const post = (body: string): Promise<Heard> => send('/all/form', { method: 'POST', headers, body });
    assert.equal((await post('role=user')).status, 200);
    assert.equal(codeOf(await post('a=1&role=root')), 'waf_blocked');
  });

  it('one skips the rules behind it', async () => {
    const attack = `?q=${encodeURIComponent('union select')}`;
    assert.equal(codeOf(await send(`/all/x${attack}`)), 'waf_blocked');
    assert.equal((await send(`/all/skipped/x${attack}`)).status, 200);
  });

  it('in detect mode nothing is refused, those of a route run there alone, and a tag leaves all out', async () => {
    const detected = await send('/detect/admin/x');
    assert.equal(detected.status, 200);
    assert.equal((await explained(detected)).waf.verdict, 'detected');
    assert.equal(codeOf(await send('/strict/x')), 'waf_blocked');
    assert.equal((await send('/strict/x', { headers: { 'user-agent': 'known/1' } })).status, 200);
    assert.equal((await send('/all/x')).status, 200);
    assert.equal((await send('/tagless/admin/x')).status, 200);
  });

  it('what the handshake told is asked where the native transport serves', async () => {
    const secure = await given.gateway({
      bundle: plainBundle([upstream.address], {
        waf: {
          rules: [
            { name: 'JA4', when: 'tls.ja4 matches "^t13[di]" and tls.server_name eq "localhost"', action: 'log' },
            { when: 'not ssl', action: 'block' },
          ],
          laneBytesMax: LANE_BYTES_MAX,
        },
      }),
      bootstrap: { transport: 'native' },
    });
    for (const body of ['', LONG]) {
      const heard = await ask(secure.ports.https, '/', { tls: true, method: 'POST', body });
      assert.equal(heard.status, 200, heard.body);
      const { waf } = (await secure.admin(`/v1/explain/${idOf(heard)}`)) as Explanation;
      assert.deepEqual(
        waf.matches.map((m) => [m.message, m.variable]),
        [['JA4', 'TLS_JA4']],
      );
    }
    assert.equal(codeOf(await ask(secure.ports.http, '/')), 'waf_blocked');
  });
});
