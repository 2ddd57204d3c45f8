/**
 * One fetch at a time: whoever asks for what is being fetched waits for it, up to a bound in number and time, and looks again. What has turned out not to be storable is not
 * waited for, for a while: its requests would go one after another.
 */
import { Recent } from '../../base/recent.ts';
import type { Exchange } from '../exchange.ts';
import type { Wake } from '../stage.ts';
import type { Place } from './caching.ts';

/** Requests of a lane that wait for a fetch at once; the next goes upstream itself. */
export const WAITERS_MAX = 4_096;
/** Addresses that are remembered as not storable, and for how long. */
export const PASSED_MAX = 8_192;
export const PASSED_MS = 10_000;

interface Waiter {
  readonly x: Exchange;
  readonly ticket: number;
  /** Epoch ms. */
  readonly until: number;
}

/** What a fetch is known by: nobody waits for an answer that only others may get. */
export function flightKey({ host, target, scope }: Place): string {
  return `${host}\n${target}\n${scope}`;
}

/** A fetch that others may wait for. */
export interface Flight {
  readonly key: string;
  readonly waiters: Waiter[];
}

export class Flights {
  readonly #open = new Map<string, Flight>();
  readonly #passed = new Recent<string, number>(PASSED_MAX);
  readonly #wake: Wake;
  readonly #later: (task: () => void) => void;
  #waiting = 0;

  /** `later`: runs a task after the running call, never within it. */
  constructor(wake: Wake, later: (task: () => void) => void) {
    this.#wake = wake;
    this.#later = later;
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Begins a fetch; null when there is one already, or the address is not worth waiting for. */
  begin(key: string, now: number): Flight | null {
    const passed = this.#passed.get(key);
    if (this.#open.has(key) || (passed !== undefined && now < passed && now > passed - 2 * PASSED_MS)) return null;
    const flight: Flight = { key, waiters: [] };
    this.#open.set(key, flight);
    return flight;
  }

  /** True when the exchange waits now: the stage says Wait, and is entered again when the fetch is over, or its time. */
  wait(key: string, x: Exchange, timeoutMs: number): boolean {
    const flight = this.#open.get(key);
    if (flight === undefined || timeoutMs === 0 || this.#waiting >= WAITERS_MAX) return false;
    flight.waiters.push({ x, ticket: x.ticket, until: x.now + timeoutMs });
    this.#waiting++;
    return true;
  }

  /** The fetch is over: all who waited look again. `storable` false: nobody waits for this address for a while. */
  end(flight: Flight, storable: boolean, now: number): void {
    if (this.#open.get(flight.key) !== flight) return;
    this.#open.delete(flight.key);
    if (!storable) this.#passed.set(flight.key, now + PASSED_MS);
    const waiters = flight.waiters.splice(0);
    if (waiters.length === 0) return;
    this.#waiting -= waiters.length;
    this.#later(() => {
      for (const { x, ticket } of waiters) this.#wake(x, ticket);
    });
  }

  /** Once a second: whose time is up goes upstream itself, and those who have left are forgotten. `now`: epoch ms. */
  sweep(now: number): void {
    if (this.#waiting === 0) return;
    for (const flight of this.#open.values()) {
      const due = flight.waiters.filter((waiter) => waiter.until <= now || waiter.x.ticket !== waiter.ticket);
      if (due.length === 0) continue;
      const rest = flight.waiters.filter((waiter) => !due.includes(waiter));
      flight.waiters.splice(0, flight.waiters.length, ...rest);
      this.#waiting -= due.length;
      for (const { x, ticket } of due) this.#wake(x, ticket);
    }
  }
}
