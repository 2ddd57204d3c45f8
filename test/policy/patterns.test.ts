/** Compiled patterns: kept where that is safe, and no policy gets to where OPA's own cache fails. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inspectModule, PATTERNS_MAX } from '../../src/control/policy/inspect.ts';
import { Outcome } from '../../src/policy/outcome.ts';
import { asking, PAGES, wasmOf } from './fixtures.ts';

const PATHS: readonly (readonly [string, boolean])[] = [
  ['/api/orders/17', true],
  ['/api/orders/x', false],
  ['/api/customers/acme/invoices/3', true],
  ['/api/v2/items/0123abcd', true],
  ['/api/v3/items/0123abcd', false],
  ['/files/a/b.jpeg', true],
  ['/static/a/b/c.css', true],
  ['/img/a.png', true],
  ['/img/a/b.png', false],
  ['/t/2026-11-21', true],
  ['/nothing', false],
];

describe('literal patterns', () => {
  it('are recognised and counted', () => {
    const { literalPatterns, patterns } = inspectModule('patterns', wasmOf('patterns'), PAGES);
    assert.deepEqual({ literalPatterns, patterns }, { literalPatterns: true, patterns: 10 });
    assert.equal(inspectModule('authz', wasmOf('authz'), PAGES).patterns, 0);
  });
  it('stay compiled between evaluations and over resets of the heap, and answer the same all along', () => {
    const { ask, instance } = asking('patterns');
    const pages = instance.memoryPages;
    for (let i = 0; i < 30_000; i++) {
      const [path, allowed] = PATHS[i % PATHS.length] as (typeof PATHS)[number];
      assert.equal(ask('patterns/allow', { path }), allowed ? Outcome.Allow : Outcome.Deny, path);
    }
    assert.equal(instance.instances, 1);
    // 30,000 evaluations leave far more garbage than 8 MiB, so the heap was reset; it never grew beyond one watermark.
    assert.ok(instance.memoryPages - pages <= 160, `${instance.memoryPages} pages`);
  });
  it('of 100 and more are refused, with the mend', () => {
    assert.equal(PATTERNS_MAX, 99);
    assert.throws(() => inspectModule('many', wasmOf('hundred-patterns'), PAGES), {
      code: 'too_many_patterns',
      message: /policy "many": uses 100 different patterns; .* Join patterns with `\|`/,
    });
  });
});

describe('patterns that are not literal', () => {
  it('are recognised', () => {
    assert.equal(inspectModule('given', wasmOf('given-patterns'), PAGES).literalPatterns, false);
  });
  it('are dropped after each evaluation, so that any number of them over time does no harm', () => {
    const { ask, instance } = asking('given-patterns');
    for (let i = 0; i < 3_000; i++) {
      const patterns = [`^/a{0,3}${i % 151}$`, `^/b${(i * 7) % 151}$`];
      assert.equal(ask('given/allow', { patterns, path: `/aa${i % 151}` }), Outcome.Allow, String(i));
      assert.equal(ask('given/allow', { patterns, path: '/c' }), Outcome.Deny, String(i));
    }
    assert.equal(instance.instances, 1);
  });
  it('would hang the module if they were kept: OPA frees a pattern that it still uses (the reason for all this)', () => {
    // In a process of its own, which is ended: it never returns. Should this fail one day, OPA is mended and the limit of 99 can go.
    const file = fileURLToPath(new URL('./keep-patterns.ts', import.meta.url));
    const run = spawnSync(process.execPath, [file], { timeout: 3_000, encoding: 'utf8' });
    assert.notEqual(`${run.status} ${run.stdout}`, '0 fine\n');
  });
});
