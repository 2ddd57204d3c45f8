/**
 * What the addon offers for choosing routes. A table is compiled once, in any thread, and registered for the whole process under a handle; every thread
 * asks it by that handle without a lock. The rules are those of the crate (native/router/src/lib.rs).
 */

/** Answer of `routerFind`: nothing, or nothing more, matches. */
export const ROUTE_NONE = 0xffff_ffff;
/** Answer of `routerFind`: entries match host and path, but none of them, also before the cursor, takes the method. */
export const ROUTE_OTHER_METHOD = 0xffff_fffe;
/** All bits of a method mask. Bit i is method code i of the exchange; the last stands for every method without a code. */
export const METHOD_BITS_ALL = 0x3ff;

export interface RouterRoute {
  /** For problems. */
  readonly id: string;
  /** `example.com`, `*.example.com` (one or more labels), `[::1]` or `*`; 1 to 64. */
  readonly hosts: readonly string[];
  readonly kind: 'exact' | 'prefix' | 'template' | 'regex';
  /** The pattern, for the normalised path. */
  readonly path: string;
  /** Mask of method bits; not 0. */
  readonly methods: number;
  /** The caller decides further by header fields, so an equal route is no duplicate. */
  readonly headerPredicates: boolean;
  /** Among entries of one host and path pattern: higher comes first. A 32-bit integer. */
  readonly priority: number;
}

export interface RouterProblem {
  /** Index of the route as given. */
  readonly route: number;
  /** Begins with ``route `id`:`` and says the mend. */
  readonly message: string;
}

export interface RouterAddon {
  /**
   * Compiles and registers a table. `handle` is 0 when there are problems; all are told at once, up to 100: bad hosts, templates and expressions,
   * routes that can never be chosen, more than 100,000 routes or 1,000 expressions. Throws when an argument has the wrong type or
   * 64 tables are registered already. 10,000 routes take about 50 ms.
   */
  routerCompile(routes: readonly RouterRoute[]): {
    readonly handle: number;
    readonly problems: readonly RouterProblem[];
  };
  /**
   * Takes a table out of the registry; false when there is none. Threads that have asked it keep it until they ask a newer one; others can
   * ask it no more. To be called when every lane has activated a newer snapshot.
   */
  routerDrop(handle: number): boolean;
  /**
   * The first entry at or after `cursor` (0 at first) for this host (lower-case, no port), normalised path and single method bit; or ROUTE_NONE
   * or ROUTE_OTHER_METHOD. Entries are numbered from the most specific; `routerRoutes` says their routes. To go on after an entry
   * whose header predicates do not hold, ask again with `entry + 1`. Allocates nothing. Throws when the handle is unknown.
   */
  routerFind(handle: number, host: string, path: string, methodBit: number, cursor: number): number;
  /** Mask of the methods that some entry of this host and path takes, for the Allow field (RFC 9110 §10.2.1). */
  routerAllowed(handle: number, host: string, path: string): number;
  /** By entry: index of its route as given to `routerCompile`. A copy; read from 0 it is the compiled table. */
  routerRoutes(handle: number): Uint32Array<ArrayBuffer>;
}
