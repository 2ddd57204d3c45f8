/** Observe on a real gateway: what a client got can be explained, found in the log after the end, and counted. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Explanation } from '../../src/admin/explain.ts';
import { run as explain } from '../../src/cli/explain.ts';
import { run as health } from '../../src/cli/health.ts';
import { plainBundle } from '../harness/bundle.ts';
import { TestGateway } from '../harness/gateway.ts';
import { TestUpstream } from '../harness/upstream.ts';
import { get } from './given-admin.ts';
import { parsePrometheus } from './prometheus-text.ts';

const LANES = 2;

async function ran(command: typeof explain, ...args: string[]) {
  let out = '';
  let err = '';
  const code = await command(args, { stdout: (s) => (out += s), stderr: (s) => (err += s), env: {} });
  return { code, out, err };
}

test('what a client got is explained, logged with its secrets masked, and counted', async () => {
  const upstream = await TestUpstream.start({ name: 'first' });
  const routes = {
    routes: [
      {
        id: 'shop',
        match: { path: { prefix: '/shop' } },
        access: 'public',
        reason: 'everything, for a test',
        cell: 'one',
      },
      {
        id: 'dead',
        match: { path: { prefix: '/dead' } },
        access: 'public',
        reason: 'an endpoint that refuses',
        cell: 'two',
      },
    ],
  };
  // Port 1 of loopback: nobody listens there.
  const cells = {
    cells: [
      { id: 'one', endpoints: [{ address: upstream.address }] },
      { id: 'two', endpoints: [{ address: '127.0.0.1:1' }] },
    ],
  };
  const bundle = plainBundle([upstream.address], { routes, cells });
  const gateway = await TestGateway.start({ bundle, bootstrap: { lanes: LANES } });
  const dir = mkdtempSync(join(tmpdir(), 'cnx-observe-'));
  try {
    const url = `http://127.0.0.1:${gateway.ports.http}`;
    const admin = ['--admin', `http://127.0.0.1:${gateway.ports.admin}`];

    const answered = await get(`${url}/shop/17?page=2&token=S3CR3T`);
    assert.equal(answered.status, 200);
    const id = answered.headers.get('x-request-id') ?? '';
    /** A lane writes its record a moment after the answer, on a busy machine a longer one. */
    const explained = async (...args: string[]): Promise<string> => {
      let got = '';
      await gateway.until('there is a record', async () => {
        const { code, out } = await ran(explain, ...args, ...admin);
        got = out;
        return code === 0;
      });
      return got;
    };
    const told = JSON.parse(await explained(id, '--json')) as Explanation;
    assert.deepEqual(
      [told.status, told.route, told.path, told.query, told.cell, told.clientAddress, told.upstream?.status],
      [200, 'shop', '/shop/17', 'page=2&token=***', 'one', '127.0.0.1', 200],
    );
    assert.equal(told.stages.at(-1)?.decision, 'forwarded');

    const refused = await get(`${url}/nowhere`);
    assert.equal(refused.status, 404);
    const { request_id: refusedId } = JSON.parse(refused.body) as { request_id: string };
    assert.match(await explained(refusedId), /: refused with 404 no_route by match\..*\n[^]*\n> match {9}refused/u);

    const dead = await get(`${url}/dead`);
    assert.equal(dead.status, 503);
    const { request_id: deadId } = JSON.parse(dead.body) as { request_id: string };
    const why = await explained(deadId);
    // The only endpoint refused the connection; there is no other to try.
    assert.match(why, /: refused with 503 no_endpoint by balance\./u);
    assert.match(why, /\n {2}forward {7}not reached {2}an earlier attempt at two\/127\.0\.0\.1:1 failed\n/u);

    const families = parsePrometheus((await gateway.probe('/metrics')).body);
    const value = (series: string): number | undefined => families.get(series.split('{')[0] ?? '')?.samples.get(series);
    assert.equal(value('cnx_requests_total{route="shop",class="2xx"}'), 1);
    assert.equal(value('cnx_requests_total{route="none",class="4xx"}'), 1);
    assert.equal(value('cnx_requests_total{route="dead",class="5xx"}'), 1);
    assert.equal(value('cnx_refusals_total{code="no_endpoint",blame="upstream"}'), 1);
    assert.equal(families.get('cnx_request_duration_seconds')?.samples.get('cnx_request_duration_seconds_count{}'), 3);
    await gateway.until('every lane has ticked', async () => {
      const gauges = parsePrometheus((await gateway.probe('/metrics')).body).get('cnx_lane_heap_bytes')?.samples;
      return [...(gauges ?? [])].filter(([, bytes]) => bytes > 0).length === LANES;
    });

    const probe = ['--url', `http://127.0.0.1:${gateway.ports.probes}`, '--timeout-ms', '20000'];
    assert.equal((await ran(health, ...probe)).code, 0);
    await gateway.stop();
    assert.equal((await ran(health, ...probe)).code, 1);

    // The process is gone; its log is not.
    const log = join(dir, 'log');
    writeFileSync(log, gateway.stdout);
    assert.ok(!gateway.stdout.includes('S3CR3T'));
    for (const [request, line] of [
      [id, /: answered with 200\./u],
      [refusedId, /: refused with 404 no_route by match\./u],
      [deadId, /: refused with 503 no_endpoint by balance\./u],
    ] as const) {
      const logged = await ran(explain, '--log', log, request);
      assert.equal(logged.code, 0, logged.err);
      assert.match(logged.out, line);
    }
  } finally {
    rmSync(dir, { recursive: true });
    await gateway.kill();
    await upstream.stop();
  }
});

test('a lane that dies takes no counter, no record and no request id with it', async () => {
  const upstream = await TestUpstream.start({ name: 'first' });
  const gateway = await TestGateway.start({
    bundle: plainBundle([upstream.address]),
    bootstrap: { allowFaults: true },
  });
  try {
    const url = `http://127.0.0.1:${gateway.ports.http}`;
    const admin = `http://127.0.0.1:${gateway.ports.admin}`;
    const before = await get(`${url}/before`);
    const idBefore = before.headers.get('x-request-id') ?? '';
    assert.equal((await get(`${admin}/v1/fault?lane=0`, {}, 'POST')).status, 200);
    await gateway.untilPrinted(/"kind":"event".*"level":"error".*a fault was asked for/u);
    let after: Awaited<ReturnType<typeof get>> | undefined;
    await gateway.until('the lane serves again', async () => {
      after = await get(`${url}/after`).catch(() => undefined);
      return after?.status === 200;
    });
    const idAfter = after?.headers.get('x-request-id') ?? '';
    assert.ok(Number.parseInt(idAfter.slice(10), 16) > Number.parseInt(idBefore.slice(10), 16));
    for (const [id, path] of [
      [idBefore, '/before'],
      [idAfter, '/after'],
    ] as const) {
      assert.equal(((await gateway.admin(`/v1/explain/${id}`)) as Explanation).path, path);
    }
    const metrics = parsePrometheus((await gateway.probe('/metrics')).body);
    assert.ok(
      (metrics.get('cnx_requests_total')?.samples.get('cnx_requests_total{route="all",class="2xx"}') ?? 0) >= 2,
    );
    assert.equal(metrics.get('cnx_lane_restarts')?.samples.get('cnx_lane_restarts{lane="0"}'), 1);
    assert.match((await gateway.probe('/readyz')).body, /"ready": true/u);
    await gateway.stop();
  } finally {
    await gateway.kill();
    await upstream.stop();
  }
});
