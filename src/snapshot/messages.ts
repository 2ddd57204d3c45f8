/** What main says to a lane and a lane to main. All of it is rare: nothing on the request path is a message but WAF batches. */
import type { MessagePort } from 'node:worker_threads';
import type { MirrorDifference } from './mirror.ts';
import type { DownstreamPlan, ListenerPlan, ListenerTls } from './listener-plans.ts';
import type { EndpointPlan } from './cell-plans.ts';
import type { Snapshot } from './snapshot.ts';

/** What of the stored answers is forgotten. */
export type CachePurge =
  | { readonly by: 'all' }
  /** Host, and path with query in canonical form. */
  | { readonly by: 'address'; readonly host: string; readonly target: string }
  /** Addresses of the host whose path begins so. */
  | { readonly by: 'prefix'; readonly host: string; readonly target: string }
  /** Answers that the upstream has given this tag; lower-case. */
  | { readonly by: 'tag'; readonly tag: string };

/** When a lane turns requests away. */
export interface OverloadPlan {
  readonly enabled: boolean;
  /** Longest delay that stands before, ms. */
  readonly delayTargetMs: number;
  /** Percent of the heap in use from which on. */
  readonly heapPercent: number;
}

/** `workerData` of a lane. */
export interface LaneSetup {
  readonly kind: 'lane';
  readonly laneIndex: number;
  readonly laneCount: number;
  /** Random for this process: makes request ids of different runs differ. 6 hex digits. */
  readonly instance: string;
  /** File that every thread must load the addon from. */
  readonly addonPath: string;
  /** What moves the bytes. */
  readonly transport: 'native' | 'uws';
  /** See columns.ts. */
  readonly endpointColumns: SharedArrayBuffer;
  readonly laneColumns: SharedArrayBuffer;
  /** How far the gateway has stepped back (mode.ts); absent: it never does. */
  readonly mode?: SharedArrayBuffer;
  readonly records: SharedArrayBuffer;
  /** To the WAF pool in main. */
  readonly wafPort: MessagePort;
  /** Largest number of exchanges that a lane holds at once. */
  readonly exchangesMax: number;
  /** Bounds and deadlines of its downstream connections. */
  readonly downstream: DownstreamPlan;
  readonly overload: OverloadPlan;
  /** Memory of its response cache. */
  readonly cache: { readonly bytesMax: number; readonly entriesMax: number };
  /** Seed of the lane's generator of chance. */
  readonly seed: number;
}

export type ToLane =
  | { readonly kind: 'activate'; readonly snapshot: Snapshot }
  /**
   * A share of identities, 0 … 1 of their hashes with this key, sees another snapshot than the active one, until another is activated. Said again for another share.
   * Answered with `divided`.
   */
  | {
      readonly kind: 'divide';
      readonly snapshot: Snapshot;
      readonly share: number;
      readonly key: { readonly k0: number; readonly k1: number };
      /** Indexes into the cells of the active snapshot: only requests of these may see it; null: of all. */
      readonly cells: readonly number[] | null;
    }
  /** Other endpoints of one cell of a revision, whole. Answered with `membersTaken`, also when the lane knows the revision no more. */
  | {
      readonly kind: 'members';
      readonly number: number;
      readonly revision: number;
      /** Index into `Snapshot.cells`. */
      readonly cell: number;
      readonly endpoints: readonly EndpointPlan[];
    }
  /** Another database of countries (MMDB); control has read it. */
  | { readonly kind: 'countries'; readonly database: SharedArrayBuffer }
  /** New keys of a remote issuer, by its id. */
  | { readonly kind: 'keys'; readonly issuer: string; readonly jwks: string }
  /** Opens listeners; comes after the first snapshot, so that nothing is accepted that cannot be served. */
  | {
      readonly kind: 'listen';
      readonly listeners: readonly ListenerPlan[];
      /** For each of them, how many sockets of a former process this lane takes instead of opening one. */
      readonly inherited: readonly number[];
    }
  /** Sends copies of its listening sockets to another process's inbox. Answered with `sent` or `notSent`. */
  | { readonly kind: 'send'; readonly inbox: string }
  /** Other certificates for new connections of a listener, by its id; those that are open stay. Answered with `tlsTaken` or `tlsRefused`. */
  | { readonly kind: 'tls'; readonly listener: string; readonly tls: ListenerTls }
  /** Stored answers are forgotten. Answered with `purged` when it has a number. */
  | { readonly kind: 'purge'; readonly purge: CachePurge; readonly number: number | null }
  /** `leave`: connections without a request get the same time to end. */
  | { readonly kind: 'drain'; readonly deadlineMs: number; readonly leave: boolean }
  | { readonly kind: 'close' }
  /** Test only, and only when the bootstrap allows faults: throws outside every stage. */
  | { readonly kind: 'fault' };

export type FromLane =
  /** Ports in the order of the listeners asked for. */
  | { readonly kind: 'listening'; readonly ports: readonly number[] }
  | { readonly kind: 'listenFailed'; readonly message: string }
  | { readonly kind: 'sent'; readonly sockets: number }
  | { readonly kind: 'notSent'; readonly message: string }
  | { readonly kind: 'tlsTaken'; readonly listener: string }
  /** The listener goes on with what it had. */
  | { readonly kind: 'tlsRefused'; readonly listener: string; readonly message: string }
  | { readonly kind: 'activated'; readonly revision: number }
  | { readonly kind: 'divided'; readonly revision: number; readonly share: number }
  /** From here on only requests under way use endpoints that have left. */
  | { readonly kind: 'membersTaken'; readonly number: number }
  /** The live revisions and those of open exchanges: what belongs to any other that the lane was given can be given back. */
  | { readonly kind: 'inUse'; readonly revisions: readonly number[] }
  | { readonly kind: 'unknownKid'; readonly issuer: string }
  | { readonly kind: 'drained'; readonly open: number }
  /** How many answers a purge removed. */
  | { readonly kind: 'purged'; readonly number: number; readonly answers: number }
  /** A request has changed something: the other lanes forget it too. */
  | { readonly kind: 'invalidated'; readonly purge: CachePurge }
  /** The answers of a request and of its copy differ. Bounded in number by the lane's observer. */
  | { readonly kind: 'mirrorDiffers'; readonly difference: MirrorDifference }
  /** A stage threw; the lane goes on. Bounded in number by the lane's observer. */
  | {
      readonly kind: 'bug';
      readonly stage: string;
      readonly id: string;
      readonly message: string;
      readonly stack: string;
    }
  /** The last word of a lane that closes itself after an uncaught exception. */
  | { readonly kind: 'failed'; readonly message: string; readonly stack: string };
