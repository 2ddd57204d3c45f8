import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Part, readBundle } from './bundle.ts';
import { Document, renderProblem } from './document.ts';

function problems(dependencies: readonly object[], probe?: object): string {
  const cells = { cells: [{ id: 'shop', endpoints: [{ address: '10.0.0.1:80' }], probe }] };
  const documents = new Map<Part, Document>([
    ['cells', new Document('cells.yaml', JSON.stringify(cells))],
    [
      'routes',
      new Document(
        'routes.yaml',
        '{"routes":[{"id":"r","match":{"path":{"prefix":"/"}},"access":"public","reason":"for a test"}]}',
      ),
    ],
    ['defaults', new Document('defaults.yaml', JSON.stringify({ degradation: { dependencies } }))],
  ]);
  const result = readBundle(documents);
  return result.ok ? '' : result.problems.map(renderProblem).join('\n');
}

const db = { name: 'db', for: 'orders', watch: { address: '10.0.0.9:5432' } };

test('dependencies that can be watched pass', () => {
  assert.equal(problems([db, { name: 'shop', for: 'all of it', watch: { cell: 'shop' } }]), '');
});

test('a critical cell needs a probe, or survival would never end', () => {
  const shop = { name: 'shop', for: 'all of it', critical: true, watch: { cell: 'shop' } };
  assert.match(problems([shop]), /dependencies\/0\/watch\/cell: cell "shop" has no probe.*give it one: `probe: /);
  assert.equal(problems([shop], { path: '/healthz' }), '');
});

test('what cannot be watched, or is declared twice, is told', () => {
  assert.match(problems([db, db]), /"db" is declared twice/);
  assert.match(problems([{ ...db, watch: {} }]), /exactly one of issuer, cell, address, part/);
  assert.match(problems([{ ...db, watch: { cell: 'shop', part: 'log' } }]), /exactly one of/);
  assert.match(problems([{ ...db, watch: { cell: 'shopp' } }]), /no cell "shopp"; did you mean "shop"/);
  assert.match(problems([{ ...db, watch: { issuer: 'login' } }]), /no issuer "login"/);
  assert.match(problems([{ name: 'db', watch: { cell: 'shop' } }]), /for/);
});
