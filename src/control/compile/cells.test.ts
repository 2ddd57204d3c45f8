import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CellsConfig } from '../../config/cell.ts';
import { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import { Ring, VIRTUAL_NODES } from '../../snapshot/ring.ts';
import { EndpointSlots } from '../health/slots.ts';
import { testAuthority } from '../../../test/harness/certs.ts';
import { type CellParts, compileCells } from './cells.ts';
import type { Report } from './report.ts';
import { secretReader } from './secrets.ts';

const endpoint = (address: string): CellsConfig['cells'][number]['endpoints'][number] => ({
  address,
  capacity: 10,
  connectionsMax: 4,
  protocol: 'http1',
  family: 'all',
  weight: 1,
  zone: '',
  priority: 0,
  passHost: true,
});
const config: CellsConfig = {
  cells: [
    { id: 'eu-1', region: 'eu', tenants: true, endpoints: [endpoint('10.0.0.1:80'), endpoint('[::1]:8080')] },
    { id: 'us-1', region: 'us', tenants: true, endpoints: [endpoint('API.example:443')] },
    { id: 'batch', region: '', tenants: false, endpoints: [endpoint('10.0.0.1:80')] },
  ],
  pins: { acme: 'batch' },
  tenantRegions: {},
  defaultRegions: [],
};
const parts = (capacity: number, report: Report, over: Partial<CellParts> = {}): CellParts => ({
  slots: slots(capacity),
  report,
  secret: () => '',
  checkOnly: false,
  http2: true,
  ...over,
});
const slots = (capacity: number): EndpointSlots =>
  new EndpointSlots({
    columns: new EndpointColumns(EndpointColumns.create()),
    laneCount: 1,
    now: Date.now,
    capacity,
  });

test('cells, endpoints, pins and ring refer to one another by index', () => {
  const problems: string[] = [];
  const compiled = compileCells(
    config,
    parts(16, (_, path, message) => problems.push(`${path} ${message}`)),
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(
    compiled.cells.map((c) => c.endpoints),
    [[0, 1], [], [2]],
  );
  assert.deepEqual(
    compiled.endpoints.map((e) => [e.identity, e.host, e.port, e.cell]),
    [
      ['eu-1/10.0.0.1:80', '10.0.0.1', 80, 0],
      ['eu-1/[::1]:8080', '::1', 8080, 0],
      ['batch/10.0.0.1:80', '10.0.0.1', 80, 2],
    ],
  );
  assert.deepEqual(
    compiled.sources.map(({ cell, cellId, from }) => [cell, cellId, from]),
    [[1, 'us-1', { kind: 'address', name: 'api.example', port: 443, family: 'all' }]],
    'what a name leads to is found out later',
  );
  assert.equal(new Set(compiled.endpoints.map((e) => e.slot)).size, 3, 'cells that share an address share no row');
  assert.equal(compiled.pins.get('acme'), 2);
  assert.equal(compiled.ring.count, 2 * VIRTUAL_NODES, 'a cell without tenants is not on the ring');
  const ring = new Ring(compiled.ring);
  for (let i = 0; i < 200; i++) assert.ok([0, 1].includes(ring.cellOf(`t${i}`)));
});

test('a table without room is a compile error that says what to do', () => {
  const problems: string[] = [];
  const compiled = compileCells(
    config,
    parts(2, (part, path, message) => problems.push(`${part} ${path} ${message}`)),
  );
  assert.equal(problems.length, 1);
  assert.match(problems[0] ?? '', /^cells \/cells the table of endpoints is full: .* remove endpoints/);
  compiled.release();
});

test('an endpoint may speak HTTP/2, unless the transport cannot', () => {
  const grpc: CellsConfig = {
    cells: [
      { id: 'eu-1', region: '', tenants: true, endpoints: [{ ...endpoint('10.0.0.1:50051'), protocol: 'http2' }] },
    ],
    pins: {},
    tenantRegions: {},
    defaultRegions: [],
  };
  const problems: string[] = [];
  const report: Report = (part, path, message) => problems.push(`${part} ${path} ${message}`);
  assert.equal(compileCells(grpc, parts(4, report)).endpoints[0]?.http2, true);
  assert.deepEqual(problems, []);
  compileCells(grpc, parts(4, report, { http2: false, checkOnly: true })).release();
  assert.deepEqual(problems, [], 'whoever checks a bundle does not know which transport will serve');
  compileCells(grpc, parts(4, report, { http2: false })).release();
  assert.deepEqual(problems, [
    'cells /cells/0/endpoints/0/protocol the transport uws speaks HTTP/1.1 only to endpoints; say `transport: native` in the bootstrap, or protocol: http1',
  ]);
});

test('our certificate for an endpoint comes from two secrets that belong together', () => {
  const leaf = testAuthority().leaf(['gateway.example']);
  const other = testAuthority().leaf(['other.example']);
  const clientCertificate = { certificateSecret: 'edge-cert', keySecret: 'edge-key' };
  const mutual: CellsConfig = {
    cells: [
      {
        id: 'eu-1',
        region: '',
        tenants: true,
        endpoints: [{ ...endpoint('10.0.0.1:443'), tls: { serverName: 'api.example', clientCertificate } }],
      },
    ],
    pins: {},
    tenantRegions: {},
    defaultRegions: [],
  };
  const compiled = (...secrets: [string, string][]): { identity: unknown; problems: string[] } => {
    const problems: string[] = [];
    const report: Report = (_, path, message) => problems.push(`${path} ${message}`);
    const secret = secretReader(new Map(secrets), report);
    const made = compileCells(mutual, parts(4, report, { secret }));
    made.release();
    return { identity: made.endpoints[0]?.tls?.identity, problems };
  };
  assert.deepEqual(compiled(['edge-cert', leaf.certificate], ['edge-key', leaf.key]), {
    identity: { chain: leaf.certificate, key: leaf.key },
    problems: [],
  });
  assert.deepEqual(compiled(['edge-cert', leaf.certificate], ['edge-key', other.key]).problems, [
    '/cells/0/endpoints/0/tls/clientCertificate secrets edge-cert and edge-key: the key is not that of the certificate; is the one a certificate, the other its key, both PEM?',
  ]);
  assert.deepEqual(compiled(['edge-cert', leaf.certificate]).problems, [
    '/cells/0/endpoints/0/tls/clientCertificate/keySecret the bootstrap maps no secret "edge-key"; known: edge-cert',
  ]);
  const report: Report = (_, path) => assert.fail(path);
  compileCells(mutual, parts(4, report, { secret: () => 'x'.repeat(64), checkOnly: true })).release();
});

test('the authority of an endpoint is one or more certificates, also where nothing will run', () => {
  const authority = testAuthority();
  const told = (ca: string): string[] => {
    const believing: CellsConfig = {
      cells: [
        {
          id: 'eu-1',
          region: '',
          tenants: true,
          endpoints: [{ ...endpoint('10.0.0.1:443'), tls: { serverName: 'api.example', ca } }],
        },
      ],
      pins: {},
      tenantRegions: {},
      defaultRegions: [],
    };
    const problems: string[] = [];
    const report: Report = (part, path, message) => problems.push(`${part} ${path} ${message}`);
    compileCells(believing, parts(4, report, { checkOnly: true })).release();
    return problems;
  };
  assert.deepEqual(told(authority.certificate), []);
  assert.deepEqual(told(`# ours\n${authority.certificate}\n${testAuthority().certificate}`), []);
  const broken = authority.certificate.replace(/(?<=BEGIN CERTIFICATE-----\n).{8}/, 'AAAAAAAA');
  for (const [ca, why] of [
    ['garbage', /holds no certificate/],
    ['', /holds no certificate/],
    [authority.leaf(['api.example']).key, /holds no certificate/],
    [authority.certificate + broken, /certificate 2 of 2 is broken/],
  ] as const) {
    const [problem = '', ...more] = told(ca);
    assert.match(problem, /^cells \/cells\/0\/endpoints\/0\/tls\/ca no certificate authority can be read from it: /);
    assert.match(problem, why);
    assert.deepEqual(more, []);
  }
});
