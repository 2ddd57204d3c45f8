/** Stale answers that a lane fetches anew in the background. What carries them is loaded when the first one is needed. */
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { Refresh } from '../cache/refresh.ts';
import type { Exchange } from '../exchange.ts';
import type { BackgroundFetches } from '../transport/background.ts';
import type { Chooser } from '../upstream/choose.ts';
import { NONE_FAILED } from '../upstream/failed-slots.ts';

export class Refreshes {
  readonly #chooser: Chooser;
  #fetches: Promise<BackgroundFetches> | null = null;
  #closed = false;

  constructor(chooser: Chooser) {
    this.#chooser = chooser;
  }

  /** False when no endpoint can be asked: then the request itself goes upstream. Its end is told by `refresh.came`. */
  begin(x: Exchange, refresh: Refresh): boolean {
    const members = x.revision.members[x.cell];
    const endpoint = members === undefined ? null : this.#chooser.choose(members, x.now, x.random, NONE_FAILED, true);
    if (endpoint === null || this.#closed) return false;
    const request = refresh.requestTo(x, endpoint);
    this.#fetches ??= load();
    this.#fetches.then(
      (fetches) => {
        const begun = !this.#closed && fetches.fetch(endpoint, request, (answer) => refresh.came(answer, Date.now()));
        if (!begun) refresh.came(null, Date.now());
      },
      () => refresh.came(null, Date.now()),
    );
    return true;
  }

  /** Closes connections to endpoints that are not in the list. */
  retain(endpoints: readonly EndpointPlan[]): void {
    void this.#fetches?.then((fetches) => fetches.retain(endpoints));
  }

  close(): void {
    this.#closed = true;
    void this.#fetches?.then((fetches) => fetches.close());
  }
}

async function load(): Promise<BackgroundFetches> {
  const { BackgroundFetches } = await import('../transport/background.ts');
  return new BackgroundFetches();
}
