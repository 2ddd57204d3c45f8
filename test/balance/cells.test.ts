/** Cells that fail as a whole: endpoints are processes that are really killed, through a real gateway with two lanes. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ask, codeOf, idOf } from '../e2e/client.ts';
import { EndpointProcess } from '../e2e/endpoint-process.ts';
import { metricOf } from '../e2e/given.ts';
import { TestGateway } from '../harness/gateway.ts';

let eu1: EndpointProcess;
let eu1b: EndpointProcess;
let eu2: EndpointProcess;
let us1: EndpointProcess;
let gateway: TestGateway;

const route = { access: 'public', reason: 'everything, for a test', tenant: { header: 'X-Tenant' } };

before(async () => {
  [eu1, eu1b, eu2, us1] = await Promise.all([
    EndpointProcess.start('eu-1'),
    EndpointProcess.start('eu-1'),
    EndpointProcess.start('eu-2'),
    EndpointProcess.start('us-1'),
  ]);
  gateway = await TestGateway.start({
    bootstrap: { lanes: 2 },
    bundle: {
      waf: { mode: 'off' },
      routes: {
        routes: [
          { ...route, id: 'all', match: { path: { prefix: '/' } } },
          { ...route, id: 'us', match: { path: { prefix: '/us' } }, cell: 'us-1' },
        ],
      },
      cells: {
        cells: [
          {
            id: 'eu-1',
            region: 'eu',
            standby: 'eu-2',
            endpoints: [{ address: eu1.address }, { address: eu1b.address }],
          },
          { id: 'eu-2', region: 'eu', standby: 'us-1', tenants: false, endpoints: [{ address: eu2.address }] },
          { id: 'us-1', region: 'us', tenants: false, endpoints: [{ address: us1.address }] },
        ],
        pins: { local: 'eu-2', roaming: 'eu-2' },
        tenantRegions: { acme: ['eu'], local: ['eu'] },
      },
    },
  });
});
after(async () => {
  await gateway.stop();
  await Promise.all([eu1, eu1b, eu2, us1].map((e) => e.kill()));
});

const from = (tenant: string, path = '/'): ReturnType<typeof ask> =>
  ask(gateway.ports.http, path, { headers: { 'x-tenant': tenant } });

test('a tenant that is kept to a region is refused by a route that leads elsewhere', async () => {
  const refused = await from('acme', '/us');
  assert.equal(refused.status, 403);
  assert.equal(codeOf(refused), 'region_forbidden');
  assert.equal((await from('globex', '/us')).body, 'us-1');
});

test('a cell of which one endpoint is left serves by itself; when all are killed its standby does, and gives it back', async () => {
  assert.equal((await from('acme')).body, 'eu-1');
  await eu1.kill();
  for (let i = 0; i < 20; i++) assert.equal((await from('acme')).body, 'eu-1');
  await eu1b.kill();
  for (let i = 0; i < 20; i++) {
    const heard = await from('acme');
    assert.equal(heard.status, 200, heard.body);
    assert.equal(heard.body, 'eu-2');
  }
  assert.ok((await metricOf(gateway, 'cnx_cell_requests_total', 'cell="eu-1"', 'outcome="failed_over"')) >= 19);
  const explained = (await gateway.admin(`/v1/explain/${idOf(await from('acme'))}`)) as {
    cell: string;
    detail: string;
  };
  assert.equal(explained.cell, 'eu-2');
  assert.match(explained.detail, /cell eu-1 is out: its standby eu-2 serves/);
  await eu1.run();
  await gateway.until('the cell serves again', async () => (await from('acme')).body === 'eu-1');
});

test('who may use the standby does, who may not is refused, and a standby is one step', async () => {
  await eu2.kill();
  await gateway.until('it is known to be out', async () => (await from('roaming')).body === 'us-1');
  // Now and then one of them is sent to see whether it is back.
  await gateway.until('who may not is refused', async () => {
    const refused = await from('local');
    assert.ok(refused.status >= 500, refused.body);
    return refused.status === 503 && codeOf(refused) === 'cell_unavailable';
  });
  await Promise.all([eu1.kill(), eu1b.kill()]);
  await gateway.until('both are out', async () => codeOf(await from('globex')) === 'no_endpoint');
  assert.ok((await metricOf(gateway, 'cnx_cell_requests_total', 'cell="eu-1"', 'outcome="unavailable"')) > 0);
});
