import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TransportCompression, TransportEngine } from '../../../native/transport.ts';
import type { CompressPlan } from '../../../snapshot/route-plans.ts';
import { Compressions } from './compressions.ts';

const plan = (key: string): CompressPlan => ({
  key,
  algorithms: ['gzip'],
  types: ['text/*'],
  bytesMin: 1,
  levels: { gzip: 1, br: 1, zstd: 1 },
});

/** What the engine was told: numbers, in order. */
function told(most?: number): { readonly known: Compressions; readonly numbers: number[] } {
  const numbers: number[] = [];
  const setCompression = (number: number, _: TransportCompression): void => void numbers.push(number);
  return { known: new Compressions({ setCompression } as TransportEngine, most), numbers };
}

describe('plans of compression by number', () => {
  it('tells the engine of each once, whatever object says it', () => {
    const { known, numbers } = told();
    const first = plan('a');
    assert.equal(known.any, false);
    assert.deepEqual(
      [known.number(first), known.number(first), known.number(plan('a')), known.number(plan('b'))],
      [1, 1, 1, 2],
    );
    assert.deepEqual(numbers, [1, 2]);
    assert.equal(known.any, true);
  });

  it('gives the number of the oldest to a new one when all are taken', () => {
    const { known, numbers } = told(2);
    const [a, b, c] = [plan('a'), plan('b'), plan('c')];
    assert.deepEqual([known.number(a), known.number(b), known.number(c)], [1, 2, 1]);
    // The first is none of the known now: its object does not pass for the one that has its number.
    assert.equal(known.number(a), 2);
    assert.deepEqual([known.number(c), known.number(b)], [1, 1]);
    assert.deepEqual(numbers, [1, 2, 1, 2, 1]);
  });
});
