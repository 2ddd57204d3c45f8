import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Part, readBundle } from './bundle.ts';
import { Document, renderProblem } from './document.ts';

function problems(route: object): string {
  const cells = ['v1', 'v2'].map((id) => ({ id, endpoints: [{ address: '10.0.0.1:80' }] }));
  const whole = { id: 'r', match: { path: { prefix: '/' } }, access: 'public', reason: 'for a test', ...route };
  const documents = new Map<Part, Document>([
    ['cells', new Document('cells.yaml', JSON.stringify({ cells }))],
    ['routes', new Document('routes.yaml', JSON.stringify({ routes: [whole] }))],
  ]);
  const result = readBundle(documents);
  return result.ok ? '' : result.problems.map(renderProblem).join('\n');
}

test('a split that leads everybody somewhere passes', () => {
  const when = [{ header: 'X-Canary' }];
  assert.equal(problems({ split: { cells: [{ cell: 'v1', weight: 1 }, { cell: 'v2', when }] } }), ''); // biome-ignore format: one line
  assert.equal(problems({ cell: 'v1', mirror: { cell: 'v2', share: 0.1 } }), '');
});

test('what leads nowhere, or in two ways, is told', () => {
  assert.match(
    problems({ split: { cells: [{ cell: 'v1', weight: 1 }, { cell: 'v2' }] } }),
    /cells\/1: nothing goes to "v2"/,
  );
  assert.match(problems({ split: { cells: [{ cell: 'v1', when: [{ cookie: 'c' }] }] } }), /some cell needs a weight/);
  assert.match(
    problems({
      split: {
        cells: [
          { cell: 'v1', weight: 1 },
          { cell: 'v1', weight: 1 },
        ],
      },
    }),
    /twice/,
  );
  assert.match(
    problems({ split: { cells: [{ cell: 'v1', weight: 1, when: [{ value: 'x' }] }] } }),
    /exactly one of header, cookie/,
  );
  assert.match(problems({ cell: 'v1', split: { cells: [{ cell: 'v2', weight: 1 }] } }), /either `cell` or `split`/);
  assert.match(problems({ split: { cells: [{ cell: 'v3', weight: 1 }] } }), /no cell "v3"; did you mean/);
  assert.match(problems({ cell: 'v1', mirror: { cell: 'v3' } }), /mirror\/cell.*no cell "v3"/);
});
