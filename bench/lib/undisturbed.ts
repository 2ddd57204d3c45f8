/** On a virtual machine others take processor time away ("steal"), and what is measured meanwhile says nothing: such a round is measured again. */
import { readFileSync } from 'node:fs';
import { sleep } from './process.ts';

/** Most of the processors' time that others may have taken from a round. */
const STOLEN_SHARE_MAX = 0.01;
/** So that whoever it was may come to an end. Unit: ms. */
const PAUSE_MS = 3_000;
/** Place of stolen time in the first line of /proc/stat (proc(5)), in ticks. */
const STEAL = 7;

function ticks(): { readonly all: number; readonly stolen: number } {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1);
  // Guests' time, behind steal, is part of user time already.
  const list = line
    .trim()
    .split(/\s+/)
    .slice(1, STEAL + 2)
    .map(Number);
  return { all: list.reduce((sum, n) => sum + n, 0), stolen: list[STEAL] ?? 0 };
}

/** What `work` gives: of the first try that nobody disturbed, or of the last one. */
export async function undisturbed<T>(tries: number, work: () => Promise<T>): Promise<T> {
  for (let left = tries - 1; ; left--) {
    const before = ticks();
    const result = await work();
    const after = ticks();
    const share = (after.stolen - before.stolen) / Math.max(1, after.all - before.all);
    if (share <= STOLEN_SHARE_MAX) return result;
    console.error(`  others took ${(100 * share).toFixed(1)} % of the machine${left > 0 ? ': again' : ''}`);
    if (left <= 0) return result;
    await sleep(PAUSE_MS);
  }
}
