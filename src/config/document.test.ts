import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError, Document, DOCUMENT_LENGTH_MAX, NESTING_MAX, PROBLEMS_MAX, renderProblem } from './document.ts';

const said = (text: string): string[] => new Document('a.yaml', text).problems.map(renderProblem);

describe('a document that cannot be read says where and why', () => {
  const rows: readonly (readonly [what: string, text: string, line: string])[] = [
    ['a key that is there twice', 'a: 1\nb: 2\na: 3', 'a.yaml:3:1: the key a is in this mapping twice'],
    ['in JSON', '{"a": 1,\n "a": 2}', 'a.yaml:2:2: the key "a" is in this mapping twice'],
    ['in JSON, with an escape', '{"a": 1, "\\u0061": 2}', 'a.yaml:1:10: the key "\\u0061" is in this mapping twice'],
    ['deep in JSON', '[{"a": {"b": 1, "c": [], "b": 2}}]', 'a.yaml:1:26: the key "b" is in this mapping twice'],
    ['a tab', 'a:\n\tb: 2', 'a.yaml:2:1: a tab cannot indent YAML; use spaces'],
    ['two documents', '{}\n---\n{}', 'a.yaml:2:1: a second document begins here; a file holds one'],
    ['a tag', 'a: !env X', 'a.yaml:1:4: tags (!name) mean nothing here; remove it, or put the text in quotes'],
    [
      'a colon in a text',
      'a: b: c',
      'a.yaml:1:4: a mapping cannot begin in the middle of a line; a text that holds `: ` needs quotes',
    ],
    ['an open quote', 'a: "x', 'a.yaml:1:6: Missing closing "quote'],
    ['a version that does not exist', '%YAML 3\n---\n{}', 'a.yaml:1:7: Unsupported YAML version 3'],
    ['a mapping as a key', 'b: 1\n? {a: 1}\n: 2', 'a.yaml:2:3: a key is a plain text'],
    ['an alias as a key', 'b: &a x\n*a : 2', 'a.yaml:2:1: a key is a plain text'],
    ['an alias to nothing', 'a: *b', 'a.yaml:1:1: Unresolved alias (the anchor must be set before the alias): b'],
  ];
  for (const [what, text, line] of rows)
    it(what, () => {
      assert.deepEqual(said(text), [line]);
      assert.equal(new Document('a.yaml', text).value, undefined);
    });

  it('aliases that blow up', () => {
    const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]'];
    for (let i = 1; i < 10; i++)
      lines.push(`a${i}: &a${i} [${Array.from({ length: 9 }, () => `*a${i - 1}`).join(', ')}]`);
    assert.deepEqual(said(lines.join('\n')), [
      'a.yaml:1:1: its aliases (*name) repeat too much; use fewer than 100, or write it out',
    ]);
  });

  it('an alias to itself', () => {
    assert.equal(new Document('a.yaml', '&a [*a]').problems.length, 1);
  });

  it('nesting beyond its bound, in any notation', () => {
    const tooDeep = ['a.yaml:1:1: nested too deeply; at most 64 levels are read'];
    for (const n of [NESTING_MAX + 1, 1_000, 50_000]) {
      assert.deepEqual(said('['.repeat(n) + ']'.repeat(n)), tooDeep);
      assert.deepEqual(said('{"a":'.repeat(n) + '1' + '}'.repeat(n)), tooDeep);
    }
    assert.deepEqual(said('- '.repeat(NESTING_MAX + 1) + 'x'), tooDeep);
    assert.deepEqual(said('['.repeat(50_000)), tooDeep);
    assert.deepEqual(said('['.repeat(NESTING_MAX) + ']'.repeat(NESTING_MAX)), []);
    assert.deepEqual(said('- '.repeat(NESTING_MAX) + 'x'), []);
  });

  it('a file that is too long', () => {
    const doc = new Document('a.yaml', ' '.repeat(DOCUMENT_LENGTH_MAX + 1));
    assert.deepEqual(doc.problems.map(renderProblem), [
      'a.yaml: the file has 67108865 characters; at most 67108864 are read',
    ]);
  });

  it('at most so many problems', () => {
    const text = Array.from({ length: 1_000 }, () => 'a: 1').join('\n');
    assert.equal(said(text).length, PROBLEMS_MAX);
  });
});

describe('a document', () => {
  it('is the same value in YAML and in JSON', () => {
    const value = { a: [1, 'x', true, null, 1.5, { 'b/c~d': '' }], e: {} };
    assert.deepEqual(new Document('a.json', JSON.stringify(value)).value, value);
    assert.deepEqual(
      new Document('a.yaml', 'a:\n  - 1\n  - x\n  - true\n  - null\n  - 1.5\n  - b/c~d: ""\ne: {}\n').value,
      value,
    );
    assert.deepEqual(new Document('a.yaml', '\ufeff{"a": 1}').value, { a: 1 }, 'a byte order mark is no part of it');
  });

  for (const [kind, text] of [
    ['JSON', '{\n  "a": [\n    1,\n    {"b/c~d": 2, "": 3}\n  ]\n}'],
    ['YAML', '# first\na:\n  - 1\n  - b/c~d: 2\n    "": 3\n'],
  ] as const) {
    it(`knows where its values stand (${kind})`, () => {
      const doc = new Document('a', text);
      const place = (path: string, key?: string): string => {
        const p = doc.problem(path, '', key);
        return `${p.line}:${p.column} ${p.path}`;
      };
      const places = [
        place(''),
        place('/a'),
        place('', 'a'),
        place('/a/0'),
        place('/a/1/b~1c~0d'),
        place('/a/1', 'b/c~d'),
        place('/a/1/'),
        place('/a/1', 'not there'),
        place('/a/7/x'),
        place('/nowhere'),
      ];
      assert.deepEqual(
        places,
        kind === 'JSON'
          ? [
              '1:1 ',
              '2:8 /a',
              '2:3 /a',
              '3:5 /a/0',
              '4:15 /a/1/b~1c~0d',
              '4:6 /a/1/b~1c~0d',
              '4:22 /a/1/',
              '4:5 /a/1/not there',
              '2:8 /a/7/x',
              '1:1 /nowhere',
            ]
          : [
              '2:1 ',
              '3:3 /a',
              '2:1 /a',
              '3:5 /a/0',
              '4:12 /a/1/b~1c~0d',
              '4:5 /a/1/b~1c~0d',
              '5:9 /a/1/',
              '4:5 /a/1/not there',
              '3:3 /a/7/x',
              '2:1 /nowhere',
            ],
      );
    });
  }

  it('is rendered as editors read it, the whole file without a line', () => {
    const error = new ConfigError([
      { file: 'a', line: 0, column: 0, path: '', message: 'm' },
      { file: 'a', line: 1, column: 2, path: '/p', message: 'n' },
    ]);
    assert.equal(error.message, 'a: m\na:1:2: /p: n');
  });
});
