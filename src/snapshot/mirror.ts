/** What is told of answers that were compared with those of a mirror. */

/**
 * same: all that was compared is equal. partly: status and fields are, a body was too long, or of a kind that is never held. status, headers, body: differs there first. failed: the mirror
 * gave no answer. alone: the request itself got none. dropped: no room, or no endpoint; nothing was sent.
 */
export const MIRROR_OUTCOMES = ['same', 'partly', 'status', 'headers', 'body', 'failed', 'alone', 'dropped'] as const;
export type MirrorOutcome = (typeof MIRROR_OUTCOMES)[number];

/** One of two answers. */
export interface MirrorSide {
  readonly cell: string;
  readonly status: number;
  /** Values of the fields that are compared, in their order; '' = absent. */
  readonly headers: readonly string[];
  /** SHA-256 of the body, hex; '' = not compared. */
  readonly digest: string;
  /** To the response head. */
  readonly ms: number;
}

/** Two answers that differ. */
export interface MirrorDifference {
  /** Request id. */
  readonly id: string;
  /** Epoch ms. */
  readonly at: number;
  readonly route: string;
  readonly method: string;
  readonly path: string;
  readonly differs: MirrorOutcome;
  /** Names of the fields that are compared. */
  readonly fields: readonly string[];
  readonly real: MirrorSide;
  readonly mirror: MirrorSide;
}
