import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TestWire } from '../../../test/harness/wire.ts';
import { Prng } from '../../base/prng.ts';
import { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import { STAGES, type StageName } from '../../snapshot/stages.ts';
import type { Exchange } from '../exchange.ts';
import type { Revision } from '../lane/revision.ts';
import { Pipeline } from '../pipeline.ts';
import { REFUSALS, SWITCHED_STATUS } from '../refusal.ts';
import type { Stage } from '../stage.ts';
import type { Ending } from '../transport/transport.ts';
import { EndpointUse } from '../upstream/endpoint-use.ts';
import { Verdict } from '../verdict.ts';
import type { Rival } from './rival.ts';

const OK: Ending = { status: 200, bytesIn: 3, bytesOut: 5 };

const revisionOf = (revision: number): Revision =>
  ({ open: 0, row: null, snapshot: { revision, cells: [] } }) as unknown as Revision;

/** A real pipeline with stages that only say that they were entered. */
class Given {
  readonly entered: string[] = [];
  readonly active = revisionOf(1);
  readonly other = revisionOf(2);
  readonly pipeline: Pipeline;
  normalize: (x: Exchange) => Verdict = () => Verdict.Next;

  constructor() {
    const stage = (name: StageName): Stage => ({
      enter: (x) => {
        this.entered.push(`${name} ${x.revision.snapshot.revision}`);
        if (name === 'normalize') return this.normalize(x);
        return name === 'forward' ? Verdict.Handed : Verdict.Next;
      },
    });
    this.pipeline = new Pipeline({
      laneIndex: 0,
      instance: 'abcdef',
      exchangesMax: 4,
      stages: Object.fromEntries(STAGES.map((name) => [name, stage(name)])) as Record<StageName, Stage>,
      observer: { ended: () => undefined, bug: () => undefined, turnedAway: () => undefined },
      use: new EndpointUse(new EndpointColumns(EndpointColumns.create()), 0),
      prng: new Prng(7),
      now: () => 0,
      tick: () => 0,
    });
    this.pipeline.activate(this.active);
  }

  divide(takes: (x: Exchange) => boolean): void {
    this.pipeline.divide({ revision: this.other, takes } as unknown as Rival);
  }

  begin(): { x: Exchange; wire: TestWire } {
    const wire = new TestWire();
    const x = this.pipeline.begin(wire);
    assert.ok(x !== null);
    return { x, wire };
  }
}

describe('two live revisions', () => {
  it('a request that stays with the active one passes each stage once', () => {
    const given = new Given();
    given.divide(() => false);
    const { x } = given.begin();
    assert.deepEqual(
      given.entered,
      STAGES.map((name) => `${name} 1`),
    );
    assert.deepEqual([given.active.open, given.other.open], [1, 0]);
    given.pipeline.finished(x, OK);
    assert.equal(given.active.open, 0);
  });

  it('one that goes over begins anew there, before match, and stays to its end', () => {
    const given = new Given();
    given.divide(() => true);
    const { x } = given.begin();
    assert.deepEqual(given.entered, ['normalize 1', ...STAGES.map((name) => `${name} 2`)]);
    assert.deepEqual([given.active.open, given.other.open], [0, 1]);
    given.pipeline.activate(given.active);
    assert.equal(x.revision, given.other, 'though nobody goes over any more');
    given.pipeline.finished(x, OK);
    assert.equal(given.other.open, 0);
    assert.equal(given.begin().x.revision, given.active);
  });

  it('what normalize refuses is never asked', () => {
    const given = new Given();
    let asked = 0;
    given.divide(() => ++asked > 0);
    given.normalize = (x) => x.refuse(REFUSALS.bad_host, 'malformed');
    const { x, wire } = given.begin();
    assert.equal(wire.refusal?.code, 'bad_host');
    assert.equal(asked, 0);
    given.pipeline.finished(x, OK);
  });

  it('a tunnel lets go of its revision when it has been made', () => {
    const given = new Given();
    const { x } = given.begin();
    assert.equal(given.active.open, 1);
    given.pipeline.head(x, SWITCHED_STATUS);
    assert.equal(given.active.open, 0);
    given.pipeline.finished(x, { ...OK, status: SWITCHED_STATUS });
    assert.equal(given.active.open, 0);
  });
});
