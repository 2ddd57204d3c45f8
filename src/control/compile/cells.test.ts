import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CellsConfig } from '../../config/cell.ts';
import { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import { Ring, VIRTUAL_NODES } from '../../snapshot/ring.ts';
import { EndpointSlots } from '../health/slots.ts';
import { compileCells } from './cells.ts';

const endpoint = (address: string): CellsConfig['cells'][number]['endpoints'][number] => ({
  address,
  capacity: 10,
  connectionsMax: 4,
});
const config: CellsConfig = {
  cells: [
    { id: 'eu-1', region: 'eu', tenants: true, endpoints: [endpoint('10.0.0.1:80'), endpoint('[::1]:8080')] },
    { id: 'us-1', region: 'us', tenants: true, endpoints: [endpoint('API.example:443')] },
    { id: 'batch', region: '', tenants: false, endpoints: [endpoint('10.0.0.1:80')] },
  ],
  pins: { acme: 'batch' },
};
const slots = (capacity: number): EndpointSlots =>
  new EndpointSlots({
    columns: new EndpointColumns(EndpointColumns.create()),
    laneCount: 1,
    now: Date.now,
    capacity,
  });

test('cells, endpoints, pins and ring refer to one another by index', () => {
  const problems: string[] = [];
  const compiled = compileCells(config, slots(16), (_, path, message) => problems.push(`${path} ${message}`));
  assert.deepEqual(problems, []);
  assert.deepEqual(
    compiled.cells.map((c) => c.endpoints),
    [[0, 1], [2], [3]],
  );
  assert.deepEqual(
    compiled.endpoints.map((e) => [e.identity, e.host, e.port, e.cell]),
    [
      ['eu-1/10.0.0.1:80', '10.0.0.1', 80, 0],
      ['eu-1/[::1]:8080', '::1', 8080, 0],
      ['us-1/api.example:443', 'API.example', 443, 1],
      ['batch/10.0.0.1:80', '10.0.0.1', 80, 2],
    ],
  );
  assert.equal(new Set(compiled.endpoints.map((e) => e.slot)).size, 4, 'cells that share an address share no row');
  assert.equal(compiled.pins.get('acme'), 2);
  assert.equal(compiled.ring.count, 2 * VIRTUAL_NODES, 'a cell without tenants is not on the ring');
  const ring = new Ring(compiled.ring);
  for (let i = 0; i < 200; i++) assert.ok([0, 1].includes(ring.cellOf(`t${i}`)));
});

test('a table without room is a compile error that says what to do', () => {
  const problems: string[] = [];
  const compiled = compileCells(config, slots(3), (part, path, message) => problems.push(`${part} ${path} ${message}`));
  assert.equal(problems.length, 1);
  assert.match(problems[0] ?? '', /^cells \/cells the table of endpoints is full: .* remove endpoints/);
  compiled.release();
});
