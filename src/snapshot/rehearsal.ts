/** What control and the thread that rehearses a snapshot say to each other: requests in, what was decided out. */
import type { Snapshot } from './snapshot.ts';

/** One request, as it comes in. */
export interface RehearsedRequest {
  readonly method: string;
  readonly secure: boolean;
  /** Authority, path and query as they are sent. */
  readonly host: string;
  readonly path: string;
  readonly query: string;
  /** Flat name, value …; names lower-case. */
  readonly headers: readonly string[];
  readonly body: string | null;
  /** 4 or 16 bytes. */
  readonly peerAddress: readonly number[];
  /** Claims of a token that verifies; null: no token is added. */
  readonly token: { readonly issuer: number; readonly claims: Readonly<Record<string, unknown>> } | null;
  readonly clientCertificate: { readonly subject: string; readonly sans: readonly string[] } | null;
  readonly websocket: boolean;
}

export type RehearsedOutcome = 'forwarded' | 'refused' | 'answered';

/** What was decided about one request. */
export interface Rehearsed {
  readonly outcome: RehearsedOutcome;
  /** `''` = none. */
  readonly route: string;
  readonly refusal: string;
  /** Of a refusal, or of an answer by the gateway itself; 0 = it would go upstream. */
  readonly status: number;
  readonly cell: string;
  readonly tenant: string;
  readonly policy: 'none' | 'allow' | 'deny' | 'failed';
  readonly waf: 'none' | 'pass' | 'detected' | 'blocked';
  /** Ids of the rules that matched. */
  readonly rules: readonly number[];
  /** The request that would go upstream, or null. Flat name, value …; names lower-case, one row a name. */
  readonly upstream: { readonly host: string; readonly target: string; readonly headers: readonly string[] } | null;
  /** What the gateway puts on the answer. */
  readonly answer: { readonly headers: readonly string[]; readonly body: string };
  /** Why, as the decision record says it. */
  readonly detail: string;
}

/** `workerData` of the thread. */
export interface RehearsalSetup {
  readonly addonPath: string;
  readonly snapshot: Snapshot;
  readonly requests: readonly RehearsedRequest[];
}

/** First that it is ready, then one for each request, in order. */
export type RehearsalMessage =
  | 'ready'
  | { readonly index: number; readonly ok: true; readonly rehearsed: Rehearsed }
  /** A stage threw, say: the snapshot is to blame, or we are. */
  | { readonly index: number; readonly ok: false; readonly why: string };
