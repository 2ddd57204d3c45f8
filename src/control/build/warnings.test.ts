import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { WafRule } from '../../native/waf.ts';
import { checkBundleDirectory } from './bundle-directory.ts';
import { wafWarnings } from './waf-warnings.ts';

const KEY = {
  kty: 'EC',
  crv: 'P-256',
  x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
  y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
  alg: 'ES256',
};

async function warnings(
  routes: readonly object[],
  endpoints: readonly object[] = [{ address: '127.0.0.1:9' }],
): Promise<readonly string[]> {
  const dir = mkdtempSync(join(tmpdir(), 'cnx-warnings-'));
  try {
    const documents = {
      release: { product: 'test', channels: ['stable'] },
      routes: { routes },
      cells: { cells: [{ id: 'one', endpoints }] },
      waf: { mode: 'off' },
      issuers: {
        issuers: [
          { id: 'main', issuer: 'https://i.example', audiences: ['a'], algorithms: ['ES256'], jwks: { keys: [KEY] } },
        ],
      },
    };
    for (const [name, value] of Object.entries(documents))
      writeFileSync(join(dir, `${name}.yaml`), JSON.stringify(value));
    const result = await checkBundleDirectory(dir, null);
    assert.deepEqual(
      result.problems.filter((p) => !p.message.includes('policy')),
      [],
    );
    return result.warnings;
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const open = { id: 'open', match: { path: { prefix: '/' } }, access: 'public', reason: 'everything, for a test' };
const redirect = { respond: { redirect: { to: 'https://elsewhere.example/' } } };

test('a protected route whose other methods reach a public one is told', async () => {
  const closed = { id: 'closed', match: { path: { prefix: '/admin' }, methods: ['GET'] }, ...redirect };
  const [warning, ...more] = await warnings([closed, open]);
  assert.match(
    warning ?? '',
    /route "closed" is protected, but POST, PUT, PATCH, DELETE, OPTIONS \/admin reaches a public route/,
  );
  assert.deepEqual(more, []);
});

test('a protected route that takes all methods is not', async () => {
  const closed = { id: 'closed', match: { path: { prefix: '/admin' } }, ...redirect };
  assert.deepEqual(await warnings([closed, open]), []);
});

test('certificates that only DNS names and anybody may have signed are told', async () => {
  const srv = '_https._tcp.orders.example';
  const [warning, ...more] = await warnings([open], [{ srv, tls: {} }]);
  assert.match(
    warning ?? '',
    /cell "one": certificates behind _https\._tcp\.orders\.example are checked by the targets/,
  );
  assert.deepEqual(more, []);
  for (const endpoint of [
    { srv },
    { srv, tls: { serverName: 'orders.example' } },
    { address: 'orders.example:443', tls: {} },
  ])
    assert.deepEqual(await warnings([open], [endpoint]), []);
});

test('a path that would hold a query is told: only an escaped question mark is part of a path', async () => {
  const search = { ...open, id: 'search', match: { path: { prefix: '/a?x' } } };
  const [warning, ...more] = await warnings([search, open]);
  assert.match(warning ?? '', /route "search": the path \/a\?x matches only requests that escape its \? \(%3F\)/);
  assert.deepEqual(more, []);
});

test('exclusions and updates of rules that there are not are told', () => {
  const rule: WafRule = {
    id: 942100,
    phase: 2,
    severity: 2,
    file: 'a.conf',
    line: 1,
    message: 'SQL',
    tags: ['attack-sqli'],
    log: true,
  };
  const exclude = (...list: object[]) => ({ exclude: list }) as never;
  const fine = [
    { rule: 942100 },
    { rules: '942000-942199' },
    { tag: 'attack-sqli', target: 'ARGS' },
    { message: 'SQL' },
  ];
  const config = (waf: object, route: object) =>
    ({ waf: { updates: [], exclude: [], ...waf }, routes: { routes: [{ id: 'a', waf: route }] } }) as never;
  assert.deepEqual(wafWarnings(config(exclude(...fine), exclude(...fine)), [rule]), []);
  assert.deepEqual(
    wafWarnings(
      config(
        { ...(exclude({ rule: 942101 }, { tag: 'sqli' }) as object), updates: [{ rules: '942100, 1-9' }] },
        exclude({ message: 'sql' }, { rules: '943000-943999' }),
      ),
      [rule],
    ),
    [
      'waf.yaml: /exclude/0: there is no rule 942101, so it changes nothing',
      'waf.yaml: /exclude/1: no rule has the tag "sqli", so it changes nothing',
      'waf.yaml: /updates/0: there is no rule 1-9, so it changes nothing',
      'route "a": waf/exclude/0: no rule says "sql", so it changes nothing',
      'route "a": waf/exclude/1: there is no rule 943000-943999, so it changes nothing',
    ],
  );
});
