/** Whatever a file holds, reading it ends with a value or with problems that each have a place. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { readBootstrap } from './bootstrap-file.ts';
import { type Part, PART_NAMES, PARTS, readBundle } from './bundle.ts';
import { ConfigError, Document, type Problem } from './document.ts';
import { ReleaseConfig } from './release.ts';
import { TrustConfig } from './trust.ts';
import { validate } from './validate.ts';

const RUNS = { numRuns: 150 };

function placed(problems: readonly Problem[], text: string): void {
  assert.ok(problems.length > 0);
  const lines = text.split('\n').length;
  for (const p of problems) {
    assert.ok(p.file !== '' && p.message !== '');
    assert.ok(p.line === 0 || (p.line >= 1 && p.line <= lines && p.column >= 1), `${p.line}:${p.column} of ${lines}`);
    assert.ok(p.path === '' || p.path.startsWith('/'));
  }
}

/** Reads a text as everything that is ever read. */
function readAll(text: string): void {
  for (const part of PART_NAMES) {
    const doc = new Document(`${part}.yaml`, text);
    const result = readBundle(new Map<Part, Document>([[part, doc]]));
    assert.ok(!result.ok, 'routes or cells are missing');
    placed(result.problems, text);
    const alone = validate(PARTS[part].schema, doc);
    if (!alone.ok) placed(alone.problems, text);
  }
  for (const schema of [ReleaseConfig, TrustConfig]) {
    const result = validate(schema, new Document('a.yaml', text));
    if (!result.ok) placed(result.problems, text);
  }
  try {
    readBootstrap('gateway.yaml', text);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    placed(error.problems, text);
  }
}

/** Values as configurations have them, in the wrong places. */
const NAMES = [
  'routes',
  'cells',
  'issuers',
  'limits',
  'policies',
  'pins',
  'id',
  'name',
  'match',
  'path',
  'prefix',
  'hosts',
  'endpoints',
  'address',
  'listeners',
  'port',
  'tls',
  'bundle',
  'source',
  'secrets',
  'admin',
  'keys',
  'jwks',
  'input',
  'access',
  'waf',
  'respond',
  'requestHeaders',
  'set',
  'redirect',
  'timeouts',
  'constructor',
  '__proto__',
  'toString',
  'length',
  '<<',
  '',
  '~',
  '/',
];
const scalar = fc.oneof(
  fc.constantFrom('public', '/', 'one', '10.0.0.1:80', 'GET', '10.0.0.0/8', 'https', 'env:A', '*', 'HS256'),
  fc.string({ maxLength: 8 }),
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
);
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom(...NAMES), tie('value'), { maxKeys: 5 }),
  ),
}));

describe('hostile documents', () => {
  it('any text is read or refused', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' })), (text) => readAll(text)),
      RUNS,
    );
  });
  it('any text of the language’s own signs is read or refused', () => {
    const signs = fc.constantFrom(
      'a',
      '1',
      ': ',
      ':',
      '- ',
      '\n',
      '\n  ',
      '\n\t',
      '{',
      '}',
      '[',
      ']',
      ',',
      '"',
      "'",
      '&a ',
      '*a',
      '!',
      '!!',
      '|',
      '>',
      '#',
      '? ',
      '%',
      '---',
      '...',
      '<<: ',
      'routes',
      '@',
      '`',
      '\\',
      '\u0000',
      '\r',
      '\u2028',
      '~',
    );
    fc.assert(
      fc.property(fc.array(signs, { maxLength: 40 }), (parts) => readAll(parts.join(''))),
      RUNS,
    );
  });
  it('any value is accepted or told wrong, in YAML as in JSON', () => {
    fc.assert(
      fc.property(value, (v) => {
        readAll(JSON.stringify(v));
        readAll(stringify(v));
      }),
      RUNS,
    );
  });
  it('a right bundle with one value replaced is read, or told wrong where the value stands', () => {
    const right = {
      routes: {
        routes: [
          {
            id: 'a',
            match: { path: { prefix: '/' }, hosts: ['*'], methods: ['GET'], headers: [{ name: 'a', value: 'b' }] },
            access: 'public',
            reason: 'for a test',
            limits: ['a'],
            waf: { mode: 'off', exclude: [{ rule: 1 }] },
            tenant: { header: 'a' },
            respond: { requestHeaders: { set: { a: 'b' } }, redirect: { to: '/' } },
            timeouts: { headMs: 10 },
          },
        ],
      },
      cells: {
        cells: [{ id: 'one', endpoints: [{ address: 'a:1', tls: { serverName: 'a' } }], health: {}, probe: {} }],
        pins: { a: 'one' },
      },
      issuers: {
        issuers: [
          {
            id: 'a',
            issuer: 'a',
            audiences: ['a'],
            algorithms: ['ES256'],
            jwks: { keys: [{ kty: 'EC' }] },
            claimHeaders: { a: 'b' },
          },
        ],
      },
      limits: { limits: [{ id: 'a', key: ['address'], requests: 1 }] },
      policies: { policies: [{ name: 'a', source: 'a.rego', entrypoints: ['a/b'], input: ['method'] }] },
      waf: { rules: ['a.conf'], data: ['a.data'] },
      defaults: { limits: ['a'], forwardedFrom: ['10.0.0.0/8'], maskedQuery: ['a'] },
    };
    const places: (readonly (string | number)[])[] = [];
    const walk = (v: unknown, path: (string | number)[]): void => {
      if (path.length > 0) places.push(path);
      if (typeof v === 'object' && v !== null) for (const [k, child] of Object.entries(v)) walk(child, [...path, k]);
    };
    walk(right, []);
    const read = (documents: object): ReturnType<typeof readBundle> =>
      readBundle(
        new Map(Object.entries(documents).map(([p, v]) => [p as Part, new Document(`${p}.json`, JSON.stringify(v))])),
      );
    assert.ok(read(right).ok);
    fc.assert(
      fc.property(fc.constantFrom(...places), value, (path, v) => {
        const changed = structuredClone(right) as Record<string | number, unknown>;
        let at = changed;
        for (const key of path.slice(0, -1)) at = at[key] as Record<string | number, unknown>;
        at[path.at(-1) ?? ''] = v;
        const result = read(changed);
        if (!result.ok) for (const p of result.problems) assert.ok(p.line === 1 && p.column >= 1 && p.message !== '');
      }),
      { numRuns: 500 },
    );
  });
});
