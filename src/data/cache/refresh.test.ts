/** What is asked in the background is what the upstream would have been asked: nothing of the client's own goes where the gateway speaks. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TestWire, testExchange, testRoute } from '../../../test/harness/wire.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { fieldsUpstream } from './refresh.ts';

const snapshot = { issuers: [{ claimHeaders: ['sub', 'x-user'] }] } as unknown as Snapshot;
const { respond } = testRoute();
const route = testRoute({
  respond: {
    ...respond,
    request: { set: ['x-plan', 'gold'], add: ['x-more', '1'], remove: ['x-debug'] },
    requestMade: {
      set: [{ name: 'x-made', parts: ['made'] }],
      absent: [],
      append: [],
      add: [],
      byEndpoint: false,
    },
  },
});

function names(...sent: readonly string[]): string[] {
  const headers = sent.flatMap((name) => [name, 'a lie']);
  const x = testExchange(new TestWire({ headers }), { snapshot }, route);
  const fields = fieldsUpstream(x);
  return fields.filter((name, i) => i % 2 === 0 && fields[i + 1] === 'a lie');
}

describe('fields of a request in the background', () => {
  it('hold no copy with underscores of what the gateway, an issuer or the route says', () => {
    for (const name of [
      'x_forwarded_for',
      'x_forwarded_host',
      'x-forwarded_proto',
      'x_forwarded-host',
      'x_request_id',
      'x_user',
      'x_plan',
      'x_made',
      'x_debug',
      'x_real_ip',
      'if_none_match',
    ])
      assert.deepEqual(names(name), [], name);
  });

  it('hold what the client says of itself, once by each name', () => {
    assert.deepEqual(names('x-own', 'x_own', 'accept_language'), ['x-own', 'x_own', 'accept_language']);
    assert.deepEqual(names('x-user', 'x-plan', 'x-debug', 'x-forwarded-host'), []);
  });
});
