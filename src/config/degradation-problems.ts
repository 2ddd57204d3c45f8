/** What a schema cannot say of dependencies. */
import type { DegradationConfig } from './degradation.ts';

/** `note`: with the place below `degradation`; `refers`: says when there is no such thing. */
export function degradationProblems(
  b: DegradationConfig,
  note: (path: string, message: string) => void,
  refers: (path: string, kind: 'issuer' | 'cell', name: string) => void,
): void {
  const seen = new Set<string>();
  for (const [i, { name, watch }] of b.dependencies.entries()) {
    const path = `/dependencies/${i}`;
    if (seen.has(name)) note(`${path}/name`, `"${name}" is declared twice`);
    seen.add(name);
    const given = Object.values(watch).filter((value) => value !== undefined);
    if (given.length !== 1) note(`${path}/watch`, 'exactly one of issuer, cell, address, part is expected');
    if (watch.issuer !== undefined) refers(`${path}/watch/issuer`, 'issuer', watch.issuer);
    if (watch.cell !== undefined) refers(`${path}/watch/cell`, 'cell', watch.cell);
  }
}
