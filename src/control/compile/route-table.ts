/** The table of what each route asks for, as lanes read it. */
import type { RoutePlan, RouteTable } from '../../snapshot/route-plans.ts';

/** Parts of plans that are the same for every route that says nothing on the matter: made once, and written once. */
export class Usual {
  readonly #made: { -readonly [K in UsualPart]?: RoutePlan[K] } = {};

  of<K extends UsualPart>(part: K, usual: boolean, make: () => RoutePlan[K]): RoutePlan[K] {
    if (!usual) return make();
    return (this.#made[part] ??= make());
  }

  /** The parts as JSON. */
  texts(): ReadonlyMap<unknown, string> {
    return new Map(Object.values(this.#made).map((part) => [part, JSON.stringify(part)]));
  }
}

type UsualPart = 'waf' | 'respond' | 'forward';

/** Plans as texts in shared memory, and the router's entries beside them. `usual`: texts of parts that many plans share. */
export function tableOf(
  plans: readonly RoutePlan[],
  usual: ReadonlyMap<unknown, string>,
  routerEntries: Uint32Array,
): RouteTable {
  const texts = plans.map((plan) => textOf(plan, usual));
  const offsets = new SharedArrayBuffer((plans.length + 1) * Uint32Array.BYTES_PER_ELEMENT);
  const starts = new Uint32Array(offsets);
  for (const [i, text] of texts.entries()) starts[i + 1] = (starts[i] ?? 0) + Buffer.byteLength(text);
  const text = new SharedArrayBuffer(starts.at(-1) ?? 0);
  Buffer.from(text).write(texts.join(''));
  const entries = new SharedArrayBuffer(routerEntries.byteLength);
  new Uint32Array(entries).set(routerEntries);
  return { count: plans.length, text, offsets, entries };
}

function textOf({ waf, respond, forward, ...own }: RoutePlan, usual: ReadonlyMap<unknown, string>): string {
  const text = (part: object): string => usual.get(part) ?? JSON.stringify(part);
  const rest = JSON.stringify(own).slice(1);
  return `{"waf":${text(waf)},"respond":${text(respond)},"forward":${text(forward)},${rest}`;
}
