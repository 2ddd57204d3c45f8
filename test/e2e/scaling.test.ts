/** What an autoscaler reads of a gateway: a cell that fails asks for twice as many at once, and says so where KEDA and Prometheus look. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { plainBundle } from '../harness/bundle.ts';
import { ask } from './client.ts';
import { Given, metricOf } from './given.ts';

interface Scope {
  readonly scope: string;
  readonly current: number;
  readonly desired: number;
  readonly scaleOut: boolean;
  readonly reasons: readonly string[];
  readonly measures: Readonly<Record<string, number | null>>;
}

describe('scaling', () => {
  const given = new Given();
  after(() => given.end());

  it('a cell whose answers are errors asks for twice as many, once', async () => {
    const [a, b] = [await given.upstream({ name: 'a' }), await given.upstream({ name: 'b' })];
    const gateway = await given.gateway({ bundle: plainBundle([a.address, b.address]) });
    const scope = async (name: string): Promise<Scope | null> => {
      const { status, body } = await gateway.probe(`/scaling/${name}`);
      return status === 200 ? (JSON.parse(body) as Scope) : null;
    };
    await gateway.until('there was a first look', async () => (await scope('cell/one')) !== null);
    const calm = await scope('cell/one');
    assert.equal(calm?.current, 2);
    assert.deepEqual(calm.reasons, []);
    await gateway.until('the errors were seen', async () => {
      for (let i = 0; i < 40; i++) await ask(gateway.ports.http, '/status/500');
      return (await scope('cell/one'))?.desired === 4;
    });
    assert.deepEqual((await scope('cell/one'))?.reasons, ['errors']);
    assert.equal(await metricOf(gateway, 'cnx_scale_desired', 'scope="cell/one"'), 4);
    assert.equal(await metricOf(gateway, 'cnx_scale_current', 'scope="cell/one"'), 2);
    assert.equal(await metricOf(gateway, 'cnx_scale_rule_active', 'scope="cell/one"', 'rule="errors"'), 1);
    assert.equal(await metricOf(gateway, 'cnx_scale_decisions_total', 'scope="cell/one"', 'rule="errors"'), 1);
    const its = await scope('gateway');
    assert.equal(its?.current, 1);
    assert.ok((its.measures['memory'] ?? 0) > 0 && (its.measures['cpu'] ?? 0) > 0);
    assert.equal((await gateway.probe('/scaling/cell/other')).status, 404);
    const all = JSON.parse((await gateway.probe('/scaling')).body) as { scopes: readonly Scope[] };
    assert.deepEqual(all.scopes.map((s) => s.scope).sort(), ['cell/one', 'gateway']);
    assert.equal(existsSync(join(gateway.directory, 'state', 'forecast.json')), false, 'no five minutes have passed');
    await gateway.stop();
  });
});
