/** What a schema cannot say of a split. */
import type { SplitConfig } from './split.ts';

/** `note`: with the place below the split. */
export function splitProblems(split: SplitConfig, note: (path: string, message: string) => void): void {
  const seen = new Set<string>();
  for (const [i, { cell, weight, when }] of split.cells.entries()) {
    if (seen.has(cell)) note(`/cells/${i}/cell`, `"${cell}" is in this split twice`);
    seen.add(cell);
    if (weight === 0 && when.length === 0)
      note(`/cells/${i}`, `nothing goes to "${cell}": give it a weight, or say \`when\``);
    for (const [j, match] of when.entries())
      if ([match.header, match.cookie, match.country].filter((given) => given !== undefined).length !== 1)
        note(`/cells/${i}/when/${j}`, 'exactly one of header, cookie, country is expected');
      else if (match.country !== undefined && match.value !== undefined)
        note(`/cells/${i}/when/${j}/value`, 'goes with header or cookie; `country` lists its values itself');
  }
  if (split.cells.every(({ weight }) => weight === 0))
    note('/cells', 'some cell needs a weight: requests that match nothing would lead nowhere');
}
