import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Value } from 'typebox/value';
import { HedgeConfig } from '../../config/hedge.ts';
import type { HedgePlan } from '../../snapshot/guards.ts';
import { hedgeOf } from './hedge.ts';

function compile(over: Partial<HedgeConfig> | undefined, headMs = 1_000, native = true): [HedgePlan | null, string] {
  const problems: string[] = [];
  const config = over === undefined ? undefined : { ...Value.Create(HedgeConfig), delayMs: 50, ...over };
  const plan = hedgeOf(config, '/routes/3', headMs, native, (part, path, message) =>
    problems.push(`${part} ${path}: ${message}`),
  );
  return [plan, problems.join('\n')];
}

describe('hedging of a route', () => {
  it('is off unless a route asks for it, and for safe methods unless it says more', () => {
    assert.deepEqual(compile(undefined), [null, '']);
    assert.deepEqual(compile({}), [{ delayMs: 50, idempotent: false }, '']);
    assert.deepEqual(compile({ methods: 'idempotent' }), [{ delayMs: 50, idempotent: true }, '']);
  });

  it('is rejected where an attempt is over before', () => {
    assert.equal(compile({ delayMs: 999 })[1], '');
    assert.match(compile({ delayMs: 1_000 })[1], /^routes \/routes\/3\/hedge\/delayMs: an attempt ends after 1000 ms/);
  });

  it('is rejected where the transport cannot', () => {
    assert.match(
      compile({}, 1_000, false)[1],
      /^routes \/routes\/3\/hedge: the transport uws has one attempt at a time; take `transport: native`/,
    );
  });
});
