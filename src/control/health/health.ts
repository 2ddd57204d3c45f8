/**
 * Passive health: once a second, over what all lanes have counted since, one score per endpoint and its moving average into the shared columns. A stalled control
 * thread only makes health old.
 *
 * score = (latency score + error score) / 2. The latency score is 1 up to `latencyGoodMs` of mean time to the response head and falls linearly to 0 at
 * `latencyBadMs`; the error score is 1 at no failures and falls linearly to 0 at the share `errorBad`. Both are clamped to 0 … 1.
 *
 * A second without a request says nothing: then the newest probe's outcome is the sample, if one has come since, and otherwise health stays as it was. It does
 * not drift: an endpoint that answered badly gets better by answering well, a trial of the lanes (data/upstream/choose.ts) or a probe at a time.
 */
import type { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import { ENDPOINT_SLOTS } from '../../snapshot/endpoint-columns.ts';
import type { EndpointPlan, HealthPlan } from '../../snapshot/cell-plans.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';

/** Time between ticks. */
export const HEALTH_TICK_MS = 1_000;
/** Below it health is published as 0: a mean that only fails tends to 0 and would never get there. */
export const HEALTH_FLOOR = 0.01;

/** What was seen of one endpoint. */
export interface HealthSample {
  readonly answers: number;
  readonly failures: number;
  /** Of all answers together. */
  readonly latencyMs: number;
}

/** Score of a sample with at least one answer, 0 … 1. */
export function scoreOf(sample: HealthSample, plan: HealthPlan): number {
  const mean = sample.latencyMs / sample.answers;
  const latency = clamp((plan.latencyBadMs - mean) / (plan.latencyBadMs - plan.latencyGoodMs));
  const errors = clamp(1 - sample.failures / sample.answers / plan.errorBad);
  return (latency + errors) / 2;
}

/** The moving average after a score. */
export function averaged(health: number, score: number, alpha: number): number {
  const next = clamp(health + alpha * (score - health));
  return next < HEALTH_FLOOR ? 0 : next;
}

function clamp(x: number): number {
  // NaN too becomes 0: what cannot be told is not healthy.
  return x > 0 ? Math.min(x, 1) : 0;
}

export interface HealthParts {
  readonly columns: EndpointColumns;
  readonly laneCount: number;
}

export class Health {
  readonly #columns: EndpointColumns;
  readonly #laneCount: number;
  /** Sums over lanes at the last tick, by slot. */
  readonly #answers = new Int32Array(ENDPOINT_SLOTS);
  readonly #failures = new Int32Array(ENDPOINT_SLOTS);
  readonly #latencyMs = new Float64Array(ENDPOINT_SLOTS);
  /** The newest probe since the last tick, by slot. */
  readonly #probes = new Map<number, HealthSample>();
  /** By slot. */
  #watched: ReadonlyMap<number, { readonly identity: string; readonly plan: HealthPlan }> = new Map();
  #timer: NodeJS.Timeout | null = null;

  constructor(parts: HealthParts) {
    this.#columns = parts.columns;
    this.#laneCount = parts.laneCount;
  }

  /** From now on the endpoints of this snapshot are scored. */
  activate(snapshot: Pick<Snapshot, 'cells' | 'endpoints'>): void {
    const watched = new Map<number, { readonly identity: string; readonly plan: HealthPlan }>();
    for (const { slot, identity, cell } of snapshot.endpoints) {
      const plan = snapshot.cells[cell]?.health;
      if (plan === undefined) continue;
      watched.set(slot, { identity, plan });
      // What was counted before an endpoint is watched, perhaps for another one in the same row, is no sample of its next second.
      if (this.#watched.get(slot)?.identity !== identity) this.#read(slot);
    }
    this.#watched = watched;
  }

  /** A probe's outcome. Counts only when no request says more. */
  probed(endpoint: EndpointPlan, ok: boolean, latencyMs: number): void {
    if (this.#watched.get(endpoint.slot)?.identity !== endpoint.identity) return;
    this.#probes.set(endpoint.slot, { answers: 1, failures: ok ? 0 : 1, latencyMs });
  }

  /** One second has passed. */
  tick(): void {
    const { health } = this.#columns;
    for (const [slot, { plan }] of this.#watched) {
      const requests = this.#read(slot);
      const sample = requests.answers > 0 ? requests : this.#probes.get(slot);
      if (sample === undefined) continue;
      health[slot] = averaged(health[slot] ?? 0, scoreOf(sample, plan), plan.alpha);
    }
    this.#probes.clear();
  }

  start(): void {
    this.#timer ??= setInterval(() => this.tick(), HEALTH_TICK_MS).unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** What was counted since the last reading. Counts wrap at 32 bits, hence `| 0`; a lane's restart goes on where the dead one stopped. */
  #read(slot: number): HealthSample {
    const c = this.#columns;
    let answers = 0;
    let failures = 0;
    let latencyMs = 0;
    for (let lane = 0; lane < this.#laneCount; lane++) {
      const row = lane * ENDPOINT_SLOTS + slot;
      answers = (answers + (c.answers[row] ?? 0)) | 0;
      failures = (failures + (c.failures[row] ?? 0)) | 0;
      latencyMs += c.latencyMs[row] ?? 0;
    }
    const sample = {
      answers: (answers - (this.#answers[slot] ?? 0)) | 0,
      failures: (failures - (this.#failures[slot] ?? 0)) | 0,
      latencyMs: latencyMs - (this.#latencyMs[slot] ?? 0),
    };
    this.#answers[slot] = answers;
    this.#failures[slot] = failures;
    this.#latencyMs[slot] = latencyMs;
    return sample;
  }
}
