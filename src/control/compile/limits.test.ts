import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compileLimits, splitLimits } from './limits.ts';

const base = { requests: 10, windowMs: 1000, mode: 'enforce' as const };

describe('compileLimits', () => {
  it('reads keys and fills in the burst', () => {
    const [limit] = compileLimits({
      limits: [
        {
          ...base,
          id: 'a',
          key: ['address', 'country', 'tenant', 'ja4', 'certificate', 'claim:org:id', 'header:X-Api-Key'],
        },
      ],
    });
    assert.deepEqual(limit?.key, [
      { from: 'address' },
      { from: 'country' },
      { from: 'tenant' },
      { from: 'ja4' },
      { from: 'certificate' },
      { from: 'claim', name: 'org:id' },
      { from: 'header', name: 'x-api-key' },
    ]);
    assert.equal(limit?.burst, 10);
  });

  it('gives an id the same identity in every bundle, whatever stands beside it', () => {
    const of = (...ids: string[]): Map<string, number> =>
      new Map(
        compileLimits({ limits: ids.map((id) => ({ ...base, id, key: ['address'] })) }).map((l) => [l.id, l.identity]),
      );
    const all = of('a', 'b', 'c');
    assert.equal(of('c', 'a').get('a'), all.get('a'));
    assert.equal(new Set(all.values()).size, 3);
  });
});

describe('splitLimits', () => {
  const limits = compileLimits({
    limits: [
      { ...base, id: 'address', key: ['address', 'route'] },
      { ...base, id: 'claim', key: ['address', 'claim:sub'] },
      { ...base, id: 'tenant', key: ['tenant'] },
      { ...base, id: 'header', key: ['header:X-User'] },
    ],
  });
  const headers = new Set<string>();

  it('takes after authenticate what counts by a claim', () => {
    assert.deepEqual(splitLimits([0, 1, 2, 3], limits, { tenant: false, headers }, true), {
      admit: [0, 2, 3],
      limit: [1],
    });
    assert.deepEqual(splitLimits([0, 1, 2, 3], limits, { tenant: true, headers }, true), {
      admit: [0, 3],
      limit: [1, 2],
    });
    const ofClaim = { tenant: false, headers: new Set(['x-user']) };
    assert.deepEqual(splitLimits([0, 1, 2, 3], limits, ofClaim, true), { admit: [0, 2], limit: [1, 3] });
  });

  it('takes all before it on a route where no identity ever comes', () => {
    assert.deepEqual(splitLimits([0, 1, 2], limits, { tenant: true, headers }, false), { admit: [0, 1, 2], limit: [] });
  });
});
