/** The WAF on a running gateway: wherever an attack stands, in the lane and in the pool, in every mode; and what the record says of it. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Explanation } from '../../src/admin/explain.ts';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import type { TestUpstream } from '../harness/upstream.ts';
import { type Ask, ask, askRaw, codeOf, type Heard, idOf } from './client.ts';
import { LANE_BYTES_MAX, RULES } from './full.ts';
import { Given, untilIdle } from './given.ts';
import { wafRoute } from './waf-route.ts';

const ATTACK = 'union select';
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const JSON_TYPE = { 'content-type': 'application/json' };
/** Longer than what a lane matches itself. */
const LONG = 'x'.repeat(4 * LANE_BYTES_MAX);
const BODY_BYTES = 64 * 1024;

describe('waf', () => {
  const given = new Given();
  let upstream: TestUpstream;
  let gateway: TestGateway;

  before(async () => {
    upstream = await given.upstream();
    gateway = await given.gateway({
      bundle: plainBundle([upstream.address], {
        waf: {
          mode: 'block',
          rules: ['waf/test.conf'],
          bodyBytes: BODY_BYTES,
          laneBytesMax: LANE_BYTES_MAX,
        },
        files: { 'waf/test.conf': RULES },
        routes: {
          routes: [
            wafRoute('block', {}),
            wafRoute('detect', { mode: 'detect' }),
            wafRoute('off', { mode: 'off' }),
            wafRoute('no-rule', { exclude: [{ rule: 1001 }] }),
            wafRoute('no-tag', { exclude: [{ tag: 'attack-sqli' }] }),
            wafRoute('begin', { beyond: 'partial' }),
            wafRoute('head', { bodyBytes: 0 }),
          ],
        },
      }),
      bootstrap: { lanes: 2 },
    });
  });
  after(() => given.end());

  const send = (path: string, options: Ask = {}): Promise<Heard> => ask(gateway.ports.http, path, options);
  const post = (path: string, body: string, headers: Readonly<Record<string, string>> = FORM): Promise<Heard> =>
    send(path, { method: 'POST', body, headers });

  const explained = async (heard: Heard): Promise<Explanation> =>
    (await gateway.admin(`/v1/explain/${idOf(heard)}`)) as Explanation;

  const ATTACKS: Readonly<Record<string, () => Promise<Heard>>> = {
    'in the query': () => send(`/block?q=${encodeURIComponent(ATTACK)}`),
    'in the query, encoded twice': () => send(`/block?q=${encodeURIComponent(encodeURIComponent(ATTACK))}`),
    'in a header': () => send('/block', { headers: { 'user-agent': 'SQLMap/1.7' } }),
    'in a form': () => post('/block', `a=1&q=${encodeURIComponent(ATTACK)}`),
    'in JSON': () => post('/block', JSON.stringify({ a: [{ b: ATTACK }] }), JSON_TYPE),
    'in a long form, in the pool': () => post('/block', `a=${LONG}&q=${encodeURIComponent(ATTACK)}`),
    'in long JSON, in the pool': () => post('/block', JSON.stringify({ a: LONG, b: ATTACK }), JSON_TYPE),
    'in a long head, in the pool': () =>
      send(`/block?q=${encodeURIComponent(ATTACK)}`, { headers: { 'x-long': LONG } }),
    'in the last byte that is inspected': () =>
      post('/block', `${'x='.padEnd(BODY_BYTES - ATTACK.length - 3, 'y')}&q=${ATTACK.replace(' ', '+')}`),
  };

  for (const [where, attack] of Object.entries(ATTACKS)) {
    it(`blocks an attack ${where}`, async () => {
      const before = upstream.requests.length;
      const heard = await attack();
      assert.equal(heard.status, 403);
      assert.equal(codeOf(heard), 'waf_blocked');
      assert.equal(upstream.requests.length, before, 'the upstream has seen nothing of it');
      // The client is not told what was found.
      assert.doesNotMatch(heard.body, /100\d|union|sqlmap/i);
      const told = await explained(heard);
      assert.deepEqual([told.waf.verdict, told.refusal?.stage], ['blocked', 'waf']);
      assert.ok(told.waf.matches.some((m) => m.rule === 1001 || m.rule === 1002));
    });
  }

  it('blocks an attack in a chunked body, cut anywhere', async () => {
    const body = `a=1&q=${ATTACK.replace(' ', '+')}&z=2`;
    for (const cut of [1, 8, 12, body.length - 1]) {
      const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
      const answer = await askRaw(
        { port: gateway.ports.http },
        `POST /block HTTP/1.1\r\nHost: a\r\nContent-Type: ${FORM['content-type']}\r\nTransfer-Encoding: chunked\r\n\r\n` +
          `${chunk(body.slice(0, cut))}${chunk(body.slice(cut))}0\r\n\r\n`,
        'POST',
      );
      answer.connection.destroy();
      assert.equal(codeOf({ body: answer.body.toString() }), 'waf_blocked', `cut at ${cut}`);
    }
  });

  it('passes what is no attack, whole, short and long', async () => {
    for (const body of ['a=1&b=select+a+union', `a=${LONG}`]) {
      const heard = await post('/block/body', body);
      assert.equal(heard.status, 200, heard.body);
      assert.equal(heard.body, body);
      assert.equal((await explained(heard)).waf.verdict, 'pass');
    }
  });

  it('in detect mode lets pass, and records what it saw', async () => {
    for (const body of [`q=${ATTACK.replace(' ', '+')}`, `a=${LONG}&q=${ATTACK.replace(' ', '+')}`]) {
      const heard = await post('/detect/body', body);
      assert.deepEqual([heard.status, heard.body], [200, body]);
      const told = await explained(heard);
      assert.equal(told.waf.verdict, 'detected');
      assert.ok(told.waf.matches.some((m) => m.rule === 1001));
    }
  });

  it('is off where it is off, and excludes rules and tags by route', async () => {
    for (const path of ['/off', '/no-rule', '/no-tag']) {
      const heard = await send(`${path}?q=${encodeURIComponent(ATTACK)}`);
      assert.equal(heard.status, 200, path);
    }
    // Only those: the scanner's rule has another id and tag.
    for (const path of ['/no-rule', '/no-tag']) {
      assert.equal(codeOf(await send(path, { headers: { 'user-agent': 'nikto' } })), 'waf_blocked', path);
    }
    assert.equal((await explained(await send('/off'))).waf.verdict, 'none');
  });

  it('a body beyond the limit is refused, or its beginning inspected and the rest passed, as the route says', async () => {
    const long = `a=${'x'.repeat(BODY_BYTES)}`;
    const refused = await post('/block/sink', long);
    assert.deepEqual([refused.status, codeOf(refused)], [413, 'body_too_large']);
    const passed = await post('/begin/sink', `${long}&q=${ATTACK.replace(' ', '+')}`);
    assert.equal(passed.status, 200, passed.body);
    assert.equal(Number(passed.body), long.length + 3 + ATTACK.length);
    assert.equal(codeOf(await post('/begin/sink', `q=${ATTACK.replace(' ', '+')}&${long}`)), 'waf_blocked');
    // Of this route, the head alone is inspected.
    assert.equal((await post('/head/sink', `q=${ATTACK.replace(' ', '+')}`)).status, 200);
    assert.equal(codeOf(await post('/head/sink?q=union+select', 'a=1')), 'waf_blocked');
  });

  it('the record names rules, variables and values, and masks credentials', async () => {
    const found = await explained(await send(`/block?search=${encodeURIComponent(`1 ${ATTACK} 2`)}`));
    const [match] = found.waf.matches;
    assert.deepEqual([match?.rule, match?.variable], [1001, 'ARGS:search']);
    assert.match(match?.value ?? '', /union select/);
    const masked = await send('/block', { headers: { authorization: 'Basic sqlmap-S3CR3T' } });
    assert.equal(codeOf(masked), 'waf_blocked');
    const told = await explained(masked);
    assert.deepEqual(
      told.waf.matches.map((m) => m.rule),
      [1003],
    );
    assert.doesNotMatch(JSON.stringify(told), /S3CR3T/);
    const query = await send(`/block?password=${encodeURIComponent(`S3CR3T ${ATTACK}`)}`);
    assert.doesNotMatch(JSON.stringify(await explained(query)), /S3CR3T/);
    await gateway.until('the log has it', () => gateway.stdout.includes(idOf(query)));
    assert.ok(!gateway.stdout.includes('S3CR3T'));
  });

  it('many at once, some of them attacks, are each judged by their own', async () => {
    const bodies = Array.from({ length: 120 }, (_, n) => ({
      attack: n % 3 === 0,
      body: `${n % 2 === 0 ? `a=${LONG}&` : ''}n=${n}&q=${n % 3 === 0 ? 'union+select' : 'fine'}`,
    }));
    const heard = await Promise.all(bodies.map(({ body }) => post('/block/body', body)));
    for (const [n, { attack, body }] of bodies.entries()) {
      assert.equal(heard[n]?.status, attack ? 403 : 200, `request ${n}`);
      if (!attack) assert.equal(heard[n]?.body, body);
    }
    await untilIdle(gateway);
    await gateway.stop();
  });
});
