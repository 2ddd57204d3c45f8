/** The first transport: uWebSockets.js towards clients, undici and ws towards endpoints. What it cannot do is in docs/transport.md. */
import type { HttpRequest, HttpResponse, us_socket_context_t as SocketContext } from 'uWebSockets.js';
import type { EndpointPlan } from '../../../snapshot/cell-plans.ts';
import type { ListenerPlan, ListenerTls } from '../../../snapshot/listener-plans.ts';
import type { Transport, TransportEvents, TransportMaker } from '../transport.ts';
import { InspectionStore } from './body.ts';
import { FREE_WIRES_MAX, TICK_MS } from './bounds.ts';
import { EndpointPools } from './endpoint-pool.ts';
import { Listener } from './listener.ts';
import type { Uws } from './listener.ts';
import { WebSocketRelays } from './websocket.ts';
import type { WireHost } from './wire-states.ts';
import { UwsWire } from './wire.ts';

/** Makes the transport of one lane. uWebSockets.js is loaded here and not before: see `UWS_ENVIRONMENT`. */
export const makeUwsTransport: TransportMaker = async (setup) => {
  const uws = await import('uWebSockets.js');
  silence(uws);
  return new UwsTransport(uws, setup.events);
};

/** Without it every answer names the product and its version. The call is in the binary but not in its types. */
function silence(uws: Uws): void {
  (uws as unknown as { _cfg?: (key: string) => void })._cfg?.('silent');
}

class UwsTransport implements Transport, WireHost {
  readonly events: TransportEvents;
  readonly pools = new EndpointPools();
  readonly relays = new WebSocketRelays();
  readonly store = new InspectionStore();
  tickNow = performance.now();
  draining = false;
  openConnections = 0;
  readonly waitedMs = null;
  readonly unread = null;
  readonly #uws: Uws;
  #listeners: Listener[] = [];
  #closed = false;
  readonly #open: UwsWire[] = [];
  readonly #free: UwsWire[] = [];
  readonly #ticker: NodeJS.Timeout;
  #drained: (() => void) | null = null;

  #settling: UwsWire[] = [];
  readonly #settle = (): void => this.#settleAll();
  #sending: UwsWire[] = [];
  #sendingUse: number[] = [];
  readonly #send = (): void => this.#sendAll();

  constructor(uws: Uws, events: TransportEvents) {
    this.#uws = uws;
    this.events = events;
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
  }

  async listen(plan: ListenerPlan): Promise<number> {
    const listener = await Listener.open(this.#uws, plan, this.relays, this.#arrived, (change) => {
      this.openConnections += change;
    });
    if (this.#closed) {
      listener.close();
      throw new Error(`listener ${plan.id}: the transport was closed`);
    }
    this.#listeners.push(listener);
    return listener.port;
  }

  sendListeners(_inbox: string): number {
    throw new Error('uWebSockets.js cannot hand its listeners over; say transport: native');
  }

  setTls(listener: string, _tls: ListenerTls): void {
    throw new Error(
      `listener ${listener}: uWebSockets.js reads certificates when it starts; say transport: native, or restart`,
    );
  }

  retain(endpoints: readonly EndpointPlan[]): void {
    this.pools.retain(endpoints);
  }

  drain(deadlineMs: number): Promise<void> {
    this.draining = true;
    for (const listener of this.#listeners) listener.stop();
    this.relays.leave();
    if (this.#open.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, deadlineMs);
      this.#drained = (): void => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#ticker);
    // Cuts the clients, whose exchanges end as aborted.
    for (const listener of this.#listeners) listener.close();
    this.#listeners = [];
    this.relays.close();
    this.pools.destroy();
  }

  readonly compressed = null;

  get openExchanges(): number {
    return this.#open.length;
  }

  // ——— WireHost ———

  later(wire: UwsWire): void {
    if (this.#settling.length === 0) queueMicrotask(this.#settle);
    this.#settling.push(wire);
  }

  nextTurn(wire: UwsWire): void {
    if (this.#sending.length === 0) setImmediate(this.#send);
    this.#sending.push(wire);
    this.#sendingUse.push(wire.use);
  }

  free(wire: UwsWire): void {
    const last = this.#open.pop();
    if (last !== undefined && last !== wire) {
      this.#open[wire.place] = last;
      last.place = wire.place;
    }
    wire.place = -1;
    if (this.#free.length < FREE_WIRES_MAX) this.#free.push(wire);
    if (this.#open.length === 0) this.#drained?.();
  }

  // ——— within ———

  readonly #arrived = (
    response: HttpResponse,
    request: HttpRequest,
    context: SocketContext | null,
    listener: ListenerPlan,
    port: number,
  ): void => {
    const wire = this.#free.pop() ?? new UwsWire(this);
    wire.place = this.#open.length;
    this.#open.push(wire);
    wire.arrive(response, request, context, listener, port);
  };

  #settleAll(): void {
    // What settling makes others tell is appended and told in the same run.
    for (let i = 0; i < this.#settling.length; i++) (this.#settling[i] as UwsWire).settle();
    this.#settling.length = 0;
  }

  #sendAll(): void {
    const wires = this.#sending;
    const uses = this.#sendingUse;
    this.#sending = [];
    this.#sendingUse = [];
    for (let i = 0; i < wires.length; i++) (wires[i] as UwsWire).sendNow(uses[i] as number);
  }

  #tick(): void {
    this.tickNow = performance.now();
    // From the end: a wire that ends meanwhile is replaced by one that was looked at.
    for (let i = this.#open.length - 1; i >= 0; i--) this.#open[i]?.tick(this.tickNow);
  }
}
