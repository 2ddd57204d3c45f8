/** The probe listener: `/healthz` (is the process alive), `/readyz` (should it get traffic), `/metrics`, `/scaling` (how many there should be). Open to whoever reaches it; says no secrets. */
import { Gauge, LaneColumns } from '../snapshot/lane-columns.ts';
import type { Answer, Asked, SmallServer } from './answer.ts';
import { json, listen, text, unlessReading } from './answer.ts';
import type { ControlView } from './control-view.ts';
import type { Metrics } from './metrics.ts';

/** A lane that has not ticked for so long hangs: the process is not healthy. It ticks once a second. */
export const LANE_SILENT_MS_MAX = 15_000;

export interface ProbeParts {
  readonly address: string;
  /** 0 = any free one. */
  readonly port: number;
  readonly control: ControlView;
  readonly laneColumns: readonly SharedArrayBuffer[];
  readonly metrics: Metrics;
  /** Monotonic ms of all threads. */
  readonly tick: () => number;
  readonly onError: (error: unknown) => void;
}

/** Starts it. Rejects when the port cannot be bound. */
export async function startProbes(parts: ProbeParts): Promise<SmallServer> {
  const lanes = parts.laneColumns.map((memory) => new LaneColumns(memory));
  return await listen({ ...parts, answer: async (asked) => await answer(parts, lanes, asked) });
}

async function answer(parts: ProbeParts, lanes: readonly LaneColumns[], asked: Asked): Promise<Answer> {
  const wrong = unlessReading(asked);
  if (wrong !== null) return wrong;
  switch (asked.path) {
    case '/healthz':
      return health(lanes, parts.tick());
    case '/readyz':
      return readiness(parts.control);
    case '/metrics':
      return { status: 'ok', type: parts.metrics.contentType, body: await parts.metrics.render() };
    case '/scaling':
      return json('ok', { scopes: parts.control.scaling?.() ?? [] });
    default:
      return (
        scaling(parts.control, asked.path) ??
        json('notFound', { error: 'here are /healthz, /readyz, /metrics and /scaling' })
      );
  }
}

function health(lanes: readonly LaneColumns[], tick: number): Answer {
  // 0: it has not begun to tick.
  const silent = lanes.flatMap((lane, i) => {
    const ticked = lane.gauges[Gauge.TickedAt] ?? 0;
    return ticked > 0 && tick - ticked > LANE_SILENT_MS_MAX ? [i] : [];
  });
  if (silent.length === 0) return text('ok', 'ok\n');
  return text('unavailable', `lane ${silent.join(', ')} has not answered for ${LANE_SILENT_MS_MAX / 1000} s\n`);
}

/** One scope, flat, as autoscalers read it: `/scaling/gateway`, `/scaling/cell/<id>`. Null: there is no such place. */
function scaling(control: ControlView, path: string): Answer | null {
  if (!path.startsWith('/scaling/')) return null;
  const scope = path.slice('/scaling/'.length);
  const view = control.scaling?.().find((s) => s.scope === scope);
  return view === undefined ? null : json('ok', view);
}

function readiness(control: ControlView): Answer {
  const state = control.state();
  const active = control.active();
  const ready = state === 'serving' && active !== null;
  return json(ready ? 'ok' : 'unavailable', {
    ready,
    state,
    revision: active?.revision ?? 0,
    seq: active?.seq ?? null,
    digest: active?.digest ?? null,
  });
}
