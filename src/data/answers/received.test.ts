/** A claim's field is the token's word for everybody who reads it: the upstream's edits, policies, variables. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TestWire, testExchange, testRoute } from '../../../test/harness/wire.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { Exchange, Identity } from '../exchange.ts';
import { ExchangeInput } from '../policies.ts';
import { valueOf } from '../variables.ts';
import { readTenant } from '../tenant.ts';
import { onlyBelieved, received } from './received.ts';

const LIES = ['x-user', 'a lie', 'x-plan', 'a lie', 'x-real-ip', '10.0.0.1', 'x-mine', 'one', 'x-mine', 'two'];

function exchange(claims: readonly string[] | null, fields: readonly string[] = LIES): Exchange {
  const snapshot = { issuers: [{ claimHeaders: ['sub', 'x-user', 'plan', 'x-plan'] }] } as unknown as Snapshot;
  const x = testExchange(new TestWire({ headers: [...fields] }), { snapshot });
  x.identity = claims === null ? null : ({ headers: claims } as unknown as Identity);
  return x;
}

/** What a policy, a variable and an edit know of a field. */
function known(x: Exchange, name: string): readonly (string | undefined)[] {
  const input = new ExchangeInput();
  input.x = x;
  return [input.header(name), valueOf({ from: 'header', name }, x), received(x, name)];
}

describe('a field that is made from a claim', () => {
  it('is what the token says', () => {
    const x = exchange(['x-user', 'anna']);
    assert.deepEqual(known(x, 'x-user'), ['anna', 'anna', 'anna']);
    assert.deepEqual(known(x, 'x-plan'), [undefined, '', undefined], 'of which the token says nothing');
  });

  it('is nothing without a token, whatever the client says', () => {
    assert.deepEqual(known(exchange(null), 'x-user'), [undefined, '', undefined]);
  });

  it('names no tenant and opens no bucket of a limit by what the client says', () => {
    for (const claims of [null, ['x-plan', 'gold']]) {
      const x = exchange(claims);
      x.route = testRoute({ tenant: { from: 'header', name: 'x-user' } });
      assert.equal(readTenant(x), '');
      assert.equal(onlyBelieved(x, 'x-user'), '');
    }
    const x = exchange(['x-user', 'anna']);
    x.route = testRoute({ tenant: { from: 'header', name: 'x-user' } });
    assert.deepEqual([readTenant(x), onlyBelieved(x, 'x-user')], ['anna', 'anna']);
  });

  it('is the last of two claims', () => {
    assert.deepEqual(known(exchange(['x-user', 'first', 'x-user', 'second']), 'x-user'), Array(3).fill('second'));
  });
});

describe('a field of the client', () => {
  it('is all of its lines', () => {
    assert.deepEqual(known(exchange(null), 'x-mine'), Array(3).fill('one, two'));
    assert.equal(onlyBelieved(exchange(null), 'x-mine'), '', 'of which none is the only one');
    assert.equal(onlyBelieved(exchange(null, ['x-mine', 'one', 'x_mine', 'two']), 'x-mine'), '', 'nor here');
    assert.equal(
      onlyBelieved(exchange(null, ['x_mine', 'one', 'x-mine', 'two']), 'x_mine'),
      '',
      'whichever is asked for',
    );
    const cookies = exchange(null, ['cookie', 'a=1', 'cookie', 'b=2']);
    assert.deepEqual(known(cookies, 'cookie'), Array(3).fill('a=1; b=2'));
  });

  it('does not go upstream when only a proxy may say it, or when it is of the connection', () => {
    assert.equal(received(exchange(null), 'x-real-ip'), undefined);
    assert.equal(received(exchange(null, ['connection', 'close, X-Mine', 'x-mine', 'one']), 'x-mine'), undefined);
  });
});
