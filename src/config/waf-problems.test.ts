import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Document } from './document.ts';
import { type Part, readBundle } from './bundle.ts';

/** Problems of a bundle with these words about the WAF, without their places in a file. */
function problems(waf: object, route: object = {}): string[] {
  const documents = new Map<Part, Document>(
    Object.entries({
      waf,
      cells: { cells: [{ id: 'one', endpoints: [{ address: '127.0.0.1:9' }] }] },
      routes: {
        routes: [{ id: 'a', match: { path: { prefix: '/' } }, access: 'public', reason: 'for a test', waf: route }],
      },
    }).map(([part, value]) => [part as Part, new Document(`${part}.yaml`, JSON.stringify(value))]),
  );
  const result = readBundle(documents);
  return result.ok ? [] : result.problems.map((p) => `${p.path}: ${p.message}`);
}

test('what is right is taken, at the bundle and at the route', () => {
  const words = {
    mode: 'detect',
    paranoiaLevel: 2,
    detectionParanoiaLevel: 3,
    threshold: 10,
    outboundThreshold: 4,
    earlyBlocking: true,
    samplingPercentage: 5,
    exclude: [
      { rule: 942100, target: 'ARGS:password', reason: 'passwords are odd' },
      { rules: '1-3, 7' },
      { tag: 'a' },
      { message: 'b' },
    ],
    bodyBytes: 1_000,
    beyond: 'partial',
    coded: 'decode',
    workMax: 20_000,
    exhausted: 'log',
    queueFull: 'lane',
    detectSample: 0.1,
    responses: { inspect: true, bodyBytes: 10, beyond: 'refuse', types: ['text/*', 'application/problem+json'] },
    crs: { allowedMethods: ['GET'], set: { 'a-plugin_enabled': '1' } },
  };
  assert.deepEqual(problems(words, words), []);
  const updates = [
    { rules: '1', actions: ['pass'] },
    { rules: '1-9', targets: ['!ARGS:x'] },
    { rules: '7', remove: true },
  ];
  const crs = { dir: 'waf/crs', setup: 'own.conf', before: ['b.conf'], plugins: ['p-after.conf'] };
  assert.deepEqual(problems({ updates, crs }), []);
});

test('what is wrong is told with its place', () => {
  for (const [waf, place, says] of [
    [{ exclude: [{}] }, '/exclude/0', /exactly one of rule, rules, tag, message is expected, got none/],
    [{ exclude: [{ rule: 1, tag: 'a' }] }, '/exclude/0', /got rule and tag/],
    [{ exclude: [{ rules: '9-a' }] }, '/exclude/0/rules', /942100-942199/],
    [{ exclude: [{ rule: 1, target: '!ARGS' }] }, '/exclude/0/target', /ARGS:password/],
    [{ updates: [{ rules: '1' }] }, '/updates/0', /changes nothing/],
    [{ updates: [{ rules: '1-2', actions: ['pass'] }] }, '/updates/0/rules', /one rule at a time/],
    [{ updates: [{ rules: '1', actions: ['msg:"x'] }] }, '/updates/0/actions/0', /does not fit/],
    [{ updates: [{ rules: '1', targets: ['ARGS\nSecRuleEngine Off'] }] }, '/updates/0/targets/0', /does not fit/],
    [{ updates: [{ rules: '1', targets: ['ARGS\\'] }] }, '/updates/0/targets/0', /does not fit/],
    [{ crs: { before: ['a.conf'] } }, '/crs/before', /crs\.dir/],
    [{ crs: { dir: '../crs' } }, '/crs/dir', /does not fit/],
    [{ crs: { allowedMethods: ['GET POST'] } }, '/crs/allowedMethods/0', /does not fit/],
    [{ crs: { set: { 'a b': '1' } } }, '/crs/set/a b', /no name of a variable/],
    [{ crs: { set: { a: '%{tx.b}' } } }, '/crs/set/a', /no %/],
    [
      { paranoiaLevel: 3, detectionParanoiaLevel: 2 },
      '/detectionParanoiaLevel',
      /must not be below paranoiaLevel \(3\)/,
    ],
    [{ mode: 'blok' }, '/mode', /did you mean "block"/],
    [{ excludeRules: [1] }, '/excludeRules', /unknown key "excludeRules"/],
    [{ responses: { types: ['text'] } }, '/responses/types/0', /text\/html/],
  ] as const) {
    const found = problems(waf);
    assert.equal(found.length, 1, `${JSON.stringify(waf)}: ${found.join('\n')}`);
    assert.ok(found[0]?.startsWith(`${place}: `), found[0]);
    assert.match(found[0] ?? '', says);
  }
  assert.match(
    problems({}, { responses: { bodyBytes: 1 } })[0] ?? '',
    /^\/routes\/0\/waf\/responses: answers are not inspected here/,
  );
  assert.deepEqual(problems({ responses: { inspect: true } }, { responses: { bodyBytes: 1 } }), []);
  assert.match(problems({}, { exclude: [{}] })[0] ?? '', /^\/routes\/0\/waf\/exclude\/0: /);
});
