/** A local endpoints file: addresses that change without a bundle. The bootstrap says where it is, a cell names it. */
import Type, { type Static } from 'typebox';
import { CELL_ENDPOINTS_MAX, EndpointCapacity, EndpointPriority, EndpointWeight, EndpointZone } from './cell.ts';
import type { Document, Problem } from './document.ts';
import { closed, HostPort } from './fields.ts';
import { literalFault } from './references.ts';

export const FileEndpointConfig = closed(
  {
    address: HostPort,
    capacity: Type.Optional(EndpointCapacity),
    weight: Type.Optional(EndpointWeight),
    zone: Type.Optional(EndpointZone),
    priority: Type.Optional(EndpointPriority),
  },
  'One address that answers; what it does not say is said by the entry of the cell that names the file.',
);

export const EndpointsFile = closed(
  {
    endpoints: Type.Array(FileEndpointConfig, {
      maxItems: CELL_ENDPOINTS_MAX,
      description: 'All endpoints of the file; may be empty.',
    }),
  },
  'An endpoints file.',
);
export type EndpointsFile = Static<typeof EndpointsFile>;

/** What the schema cannot say: addresses are literals, each once. */
export function endpointsFileProblems(file: EndpointsFile, doc: Document): Problem[] {
  const problems: Problem[] = [];
  const seen = new Set<string>();
  for (const [i, { address }] of file.endpoints.entries()) {
    const fault = literalFault(address);
    if (fault !== null) problems.push(doc.problem(`/endpoints/${i}/address`, fault));
    if (seen.has(address)) problems.push(doc.problem(`/endpoints/${i}/address`, `"${address}" is in this file twice`));
    seen.add(address);
  }
  return problems;
}
