import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Value } from 'typebox/value';
import { CompressConfig } from '../../config/compress.ts';
import { Compressions, COMPRESSIONS_MAX } from './compress.ts';

const config = (over: Partial<CompressConfig> = {}): CompressConfig => ({ ...Value.Create(CompressConfig), ...over });

function compressions(supported = true): { readonly made: Compressions; readonly problems: string[] } {
  const problems: string[] = [];
  return { made: new Compressions(supported, (_, path, message) => problems.push(`${path}: ${message}`)), problems };
}

describe('compression of a route', () => {
  it('is off unless a route asks for it', () => {
    assert.deepEqual(compressions().made.plan(undefined, '/routes/0'), {});
  });

  it('has equal keys for equal settings alone', () => {
    const { made } = compressions();
    const key = (over?: Partial<CompressConfig>): string | undefined =>
      made.plan(config(over), '/routes/0').compress?.key;
    assert.equal(key(), key());
    const others: Partial<CompressConfig>[] = [
      { algorithms: ['gzip'] },
      { types: ['text/html'] },
      { bytesMin: 1 },
      { levels: { gzip: 9, br: 4, zstd: 3 } },
    ];
    for (const over of others) assert.notEqual(key(over), key());
  });

  it('is rejected where the transport cannot', () => {
    const { made, problems } = compressions(false);
    made.plan(config(), '/routes/3');
    assert.match(
      problems.join('\n'),
      /^\/routes\/3\/compress: the transport uws does not compress answers; take `transport: native`/,
    );
  });

  it('has a bound for different settings in one bundle', () => {
    const { made, problems } = compressions();
    for (let i = 0; i < COMPRESSIONS_MAX; i++) made.plan(config({ bytesMin: i }), `/routes/${i}`);
    made.plan(config({ bytesMin: 5 }), '/routes/again');
    assert.deepEqual(problems, []);
    made.plan(config({ bytesMin: COMPRESSIONS_MAX }), '/routes/last');
    assert.match(problems.join('\n'), /^\/routes\/last\/compress: more than 64 different settings/);
  });
});
