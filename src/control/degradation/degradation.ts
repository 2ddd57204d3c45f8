/**
 * The mode of the gateway: once a second every declared dependency is looked at, and what is down decides (docs/degradation.md). Each change of a dependency and of the mode is logged and
 * counted; lanes read the mode from shared memory.
 */
import { Mode, modeOf, MODES, type ModeName, type ModeView, ModeWord } from '../../snapshot/mode.ts';
import type { DegradationPlan, DependencyPlan } from '../../snapshot/snapshot.ts';
import { AddressProbe } from './address-probe.ts';

/** Between two looks. */
export const LOOK_MS = 1_000;
const NOTHING: DegradationPlan = { dependencies: [], downAfterMs: 0, upAfterMs: 0, retryAfterSeconds: 1 };

/** What can be seen of the gateway's own parts: why each is down, or null. */
export interface Seen {
  issuer(id: string): string | null;
  cell(id: string): string | null;
  part(name: string): string | null;
}

export interface DegradationParts {
  readonly memory: SharedArrayBuffer;
  readonly seen: Seen;
  readonly event: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;
  /** Epoch ms. */
  readonly now: () => number;
  /** Monotonic ms. */
  readonly tick: () => number;
}

interface State {
  plan: DependencyPlan;
  probe: AddressProbe | null;
  down: boolean;
  since: number;
  reason: string;
  /** Monotonic ms since when it is seen otherwise than it counts; null: it is not. */
  otherwiseFrom: number | null;
}

export class Degradation {
  readonly #parts: DegradationParts;
  readonly #word: ModeWord;
  readonly #states = new Map<string, State>();
  readonly #entered: Record<ModeName, number> = { normal: 0, degraded: 0, limited: 0, survival: 0 };
  #plan = NOTHING;
  #since = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(parts: DegradationParts) {
    this.#parts = parts;
    this.#word = new ModeWord(parts.memory);
  }

  /** From now on the dependencies of this snapshot count. Those that were known stay as they are. */
  activate(plan: DegradationPlan | undefined): void {
    this.#plan = plan ?? NOTHING;
    const wanted = new Map(this.#plan.dependencies.map((d) => [d.name, d]));
    for (const [name, state] of this.#states) {
      const next = wanted.get(name);
      if (next !== undefined && sameWatch(next, state.plan)) {
        state.plan = next;
        wanted.delete(name);
        continue;
      }
      state.probe?.stop();
      this.#states.delete(name);
    }
    for (const [name, dependency] of wanted) {
      const { watch } = dependency;
      const probe = watch.kind === 'address' ? new AddressProbe(watch.of) : null;
      this.#states.set(name, { plan: dependency, probe, down: false, since: 0, reason: '', otherwiseFrom: null });
    }
    this.look();
  }

  start(): void {
    this.#timer ??= setInterval(() => this.look(), LOOK_MS).unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    for (const { probe } of this.#states.values()) probe?.stop();
  }

  view(): ModeView {
    const dependencies = [...this.#states.values()].map(({ plan, down, since, reason }) => ({
      name: plan.name,
      for: plan.for,
      critical: plan.critical,
      down,
      since,
      reason,
    }));
    return { mode: MODES[this.#word.now], since: this.#since, dependencies, entered: { ...this.#entered } };
  }

  /** One look at everything. */
  look(): void {
    const tick = this.#parts.tick();
    for (const state of this.#states.values()) this.#lookAt(state, tick);
    const down = [...this.#states.values()].filter((s) => s.down);
    const mode = modeOf(
      down.length,
      down.some((s) => s.plan.critical),
    );
    const before = this.#word.now;
    if (mode === before) return;
    this.#word.now = mode;
    this.#since = this.#parts.now();
    this.#entered[MODES[mode]]++;
    this.#parts.event(mode > before ? 'error' : mode === Mode.Normal ? 'info' : 'warn', 'mode changed', {
      from: MODES[before],
      to: MODES[mode],
      down: down.map((s) => s.plan.name),
    });
  }

  #lookAt(state: State, tick: number): void {
    const reason = this.#reasonOf(state);
    state.reason = reason ?? '';
    if ((reason !== null) === state.down) {
      state.otherwiseFrom = null;
      return;
    }
    state.otherwiseFrom ??= tick;
    const patience = state.down ? this.#plan.upAfterMs : this.#plan.downAfterMs;
    if (tick - state.otherwiseFrom < patience) return;
    state.down = !state.down;
    state.since = this.#parts.now();
    state.otherwiseFrom = null;
    const { name, critical } = state.plan;
    if (state.down) this.#parts.event('warn', 'dependency down', { dependency: name, critical, reason });
    else this.#parts.event('info', 'dependency up', { dependency: name, critical });
  }

  #reasonOf({ plan, probe }: State): string | null {
    const { seen } = this.#parts;
    switch (plan.watch.kind) {
      case 'issuer':
        return seen.issuer(plan.watch.of);
      case 'cell':
        return seen.cell(plan.watch.of);
      case 'part':
        return seen.part(plan.watch.of);
      case 'address':
        return probe?.reason ?? null;
    }
  }
}

function sameWatch(a: DependencyPlan, b: DependencyPlan): boolean {
  return a.watch.kind === b.watch.kind && a.watch.of === b.watch.of;
}
