/** How the lane's event loop is doing, published once a second. */
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import { Gauge } from '../../snapshot/lane-columns.ts';

/** Between two looks at the loop, ms: the delay is what a timer of this length came late. */
const RESOLUTION_MS = 20;
const NS_PER_US = 1000;

export class LoopGauges {
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  #used = performance.eventLoopUtilization();

  constructor() {
    this.#delay.enable();
  }

  /** Writes the gauges of the time since the last call. */
  publish(gauges: Float64Array): void {
    const delay = this.#delay;
    gauges[Gauge.DelayP50Us] = late(delay.percentile(50));
    gauges[Gauge.DelayP99Us] = late(delay.percentile(99));
    gauges[Gauge.DelayMaxUs] = late(delay.max);
    delay.reset();
    const now = performance.eventLoopUtilization();
    gauges[Gauge.Utilization] = performance.eventLoopUtilization(now, this.#used).utilization;
    this.#used = now;
    gauges[Gauge.HeapBytes] = getHeapStatistics().used_heap_size;
  }

  close(): void {
    this.#delay.disable();
  }
}

/** Node records the whole interval, the resolution included; after a reset and before the first look it reports nonsense. */
function late(ns: number): number {
  return Number.isFinite(ns) ? Math.max(0, ns / NS_PER_US - RESOLUTION_MS * 1000) : 0;
}
