import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import { Count, LaneColumns, STATUS_CLASSES } from '../../snapshot/lane-columns.ts';
import { LOOK_MS, Scaling } from './scaling.ts';

test('what lanes turned away before any stage counts among what was asked for, and among the errors', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'cnx-scaling-'));
  try {
    let tick = 0;
    const memory = LaneColumns.create();
    const lane = new LaneColumns(memory);
    const scaling = new Scaling({
      file: join(dir, 'forecast.json'),
      laneColumns: [memory],
      columns: new EndpointColumns(EndpointColumns.create()),
      active: () => null,
      waiting: () => 0,
      onFault: assert.fail,
      now: () => tick,
      tick: () => tick,
    });
    const look = (answered: number, turnedAway: number) => {
      const answers = STATUS_CLASSES.indexOf('2xx');
      lane.requests[answers] = (lane.requests[answers] as number) + answered;
      lane.counts[Count.TurnedAway] = (lane.counts[Count.TurnedAway] as number) + turnedAway;
      tick += LOOK_MS;
      scaling.look();
      return scaling.views()[0];
    };
    look(0, 0);
    assert.equal(look(1_000, 0)?.measures['errors'], 0);
    const view = look(600, 200);
    assert.deepEqual([view?.requestsPerSecond, view?.measures['errors'], view?.reasons], [80, 0.25, ['errors']]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
