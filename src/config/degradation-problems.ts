/** What a schema cannot say of dependencies. */
import type { DegradationConfig } from './degradation.ts';

/** `note`: with the place below `degradation`; `refers`: says when there is no such thing; `unprobed`: cells without a probe. */
export function degradationProblems(
  b: DegradationConfig,
  note: (path: string, message: string) => void,
  refers: (path: string, kind: 'issuer' | 'cell', name: string) => void,
  unprobed: ReadonlySet<string>,
): void {
  const seen = new Set<string>();
  for (const [i, { name, watch, critical }] of b.dependencies.entries()) {
    const path = `/dependencies/${i}`;
    if (seen.has(name)) note(`${path}/name`, `"${name}" is declared twice`);
    seen.add(name);
    const given = Object.values(watch).filter((value) => value !== undefined);
    if (given.length !== 1) note(`${path}/watch`, 'exactly one of issuer, cell, address, part is expected');
    if (watch.issuer !== undefined) refers(`${path}/watch/issuer`, 'issuer', watch.issuer);
    if (watch.cell === undefined) continue;
    refers(`${path}/watch/cell`, 'cell', watch.cell);
    // Out for as long as nobody finds it well, and in survival nothing goes upstream: the gateway would never come back.
    if (critical && unprobed.has(watch.cell))
      note(
        `${path}/watch/cell`,
        `cell "${watch.cell}" has no probe, and in survival no request would find out that it is back; give it one: \`probe: { path: /healthz }\` in cells.yaml`,
      );
  }
}
