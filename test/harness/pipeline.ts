/** A lane without sockets: the real pipeline and real endpoint columns, with stages that a test says. */
import assert from 'node:assert/strict';
import { Prng } from '../../src/base/prng.ts';
import type { Exchange } from '../../src/data/exchange.ts';
import type { Revision } from '../../src/data/lane/revision.ts';
import { type Observer, Pipeline, type PipelineParts } from '../../src/data/pipeline.ts';
import { REFUSALS, type RefusalRow } from '../../src/data/refusal.ts';
import type { Stage } from '../../src/data/stage.ts';
import type { Ending } from '../../src/data/transport/transport.ts';
import { EndpointUse } from '../../src/data/upstream/endpoint-use.ts';
import { Verdict } from '../../src/data/verdict.ts';
import { EndpointColumns } from '../../src/snapshot/endpoint-columns.ts';
import type { EndpointPlan } from '../../src/snapshot/cell-plans.ts';
import type { RoutePlan } from '../../src/snapshot/route-plans.ts';
import { STAGES, type StageName } from '../../src/snapshot/stages.ts';
import { TestWire, testRoute } from './wire.ts';

export const OK: Ending = { status: 200, bytesIn: 3, bytesOut: 5 };
export const LANE = 3;

export function endpointPlan(slot: number): EndpointPlan {
  return { identity: `one/10.0.0.${slot}:80`, slot, cell: 0 } as unknown as EndpointPlan;
}

export class Given {
  readonly entered: string[] = [];
  readonly ended: {
    readonly id: string;
    readonly status: number;
    readonly refusal: string;
    readonly aborted: boolean;
  }[] = [];
  readonly bugs: { readonly stage: string; readonly error: unknown }[] = [];
  readonly turnedAway: string[] = [];
  readonly columns = new EndpointColumns(EndpointColumns.create());
  readonly use = new EndpointUse(this.columns, LANE);
  readonly revision: Revision;
  readonly pipeline: Pipeline;
  now = 1_000_000;
  tick = 0;
  /** What a stage does beyond saying Next; `forward` hands over unless said. */
  readonly does: Partial<Record<StageName, (x: Exchange) => Verdict>> = {};

  constructor(more: Partial<PipelineParts> = {}) {
    this.revision = { open: 0, snapshot: { cells: [] } } as unknown as Revision;
    const observer: Observer = {
      ended: (x) => this.ended.push({ id: x.id, status: x.status, refusal: x.refusal?.code ?? '', aborted: x.aborted }),
      bug: (stage, error) => this.bugs.push({ stage, error }),
      turnedAway: (row: RefusalRow) => this.turnedAway.push(row.code),
    };
    const stage = (name: StageName): Stage => ({
      enter: (x) => {
        this.entered.push(name);
        const does = this.does[name];
        if (does !== undefined) return does(x);
        return name === 'forward' ? Verdict.Handed : Verdict.Next;
      },
    });
    this.pipeline = new Pipeline({
      laneIndex: LANE,
      instance: 'abcdef',
      exchangesMax: 4,
      stages: Object.fromEntries(STAGES.map((name) => [name, stage(name)])) as Record<StageName, Stage>,
      observer,
      use: this.use,
      prng: new Prng(7),
      now: () => this.now,
      tick: () => this.tick,
      ...more,
    });
    this.pipeline.activate(this.revision);
  }

  begin(wire = new TestWire()): { x: Exchange; wire: TestWire } {
    const x = this.pipeline.begin(wire);
    assert.ok(x !== null);
    return { x, wire };
  }

  /** Balance takes the endpoints in turn; a route allows so many retries. */
  balances(retries: number, endpoints: readonly EndpointPlan[]): void {
    this.does.match = (x) => {
      x.route = testRoute({ forward: { ...testRoute().forward, retries } }) satisfies RoutePlan;
      return Verdict.Next;
    };
    this.does.balance = (x) => {
      const endpoint = endpoints.find((e) => !x.failed.has(e.slot));
      if (endpoint === undefined) return x.refuse(REFUSALS.no_endpoint, 'none');
      this.use.take(x, endpoint);
      return Verdict.Next;
    };
  }

  inflight(slot: number): number {
    return this.columns.inflightOf(slot, LANE + 1);
  }
}
