/** One figure as the bench writes it. */
export interface Row {
  /** Bench that it belongs to: `plain`, `tls`, … */
  readonly name: string;
  readonly metric: string;
  readonly unit: string;
  readonly ours: number;
  /** The same of each peer, measured in the same run. */
  readonly peers: Readonly<Record<string, number>>;
  /** ours / peer. */
  readonly ratio: Readonly<Record<string, number>>;
  readonly rounds: number;
  readonly machine: string;
  readonly commit: string;
}

/** What a bench says of itself; machine and commit are added by the runner. */
export type Figure = Pick<Row, 'metric' | 'unit' | 'ours' | 'rounds'> & {
  readonly peers?: Readonly<Record<string, number>>;
};

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const mid = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? (sorted[mid] ?? Number.NaN) : ((sorted[mid - 1] ?? 0) + (sorted[mid] ?? 0)) / 2;
}

export function ratios(ours: number, peers: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(peers).map(([name, value]) => [name, round(ours / value, 3)]));
}

export function round(value: number, digits: number): number {
  const f = 10 ** digits;
  return Math.round(value * f) / f;
}
