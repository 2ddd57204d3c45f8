import { UsageError } from './command.ts';
/** Times as the command line writes them. */

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90s`, `30m`, `2h`, `1d` as milliseconds. */
export function durationOf(text: string): number {
  const [, digits = '', unit = ''] = /^([0-9]{1,6})([smhd])$/.exec(text) ?? [];
  const ms = Number(digits) * (UNITS[unit] ?? Number.NaN);
  if (!(ms > 0)) throw new UsageError(`${JSON.stringify(text)} is no time like 90s, 30m, 2h or 1d`);
  return ms;
}
