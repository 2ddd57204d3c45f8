/** How many there are of something, and how many there should be: what autoscalers read. */
export interface ScaleView {
  /** `gateway`, or `cell/<id>`. */
  readonly scope: string;
  /** Endpoints of a cell; 1 for the gateway, whose instances each speak for themselves. */
  readonly current: number;
  readonly desired: number;
  /** More than 70 % of the capacity is in use. */
  readonly scaleOut: boolean;
  /** Measures whose rules ask for more. */
  readonly reasons: readonly string[];
  /** What was measured last; null: unknown, or too little to tell. */
  readonly measures: Readonly<Record<string, number | null>>;
  readonly requestsPerSecond: number;
  /** 15 minutes ahead; null: nothing is known yet. */
  readonly predictedPerSecond: number | null;
  /** The prediction knows the time of day. */
  readonly seasonal: boolean;
  /** How often each rule has asked. */
  readonly fired: Readonly<Record<string, number>>;
}
