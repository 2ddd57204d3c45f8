/** What a list of edits makes of header fields. */
import { isClaim } from '../transport/claims.ts';
import type { FieldChange, RecordedWire } from './recorded-wire.ts';

/** Between the values of one name (RFC 9110 §5.2). */
const JOINT = ', ';

/** Of the connection (RFC 9110 §7.6.1) or written by the transport: what a client says of them goes nowhere. */
const OF_THE_CONNECTION: ReadonlySet<string> = new Set([
  'host',
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'via',
  'content-length',
]);

/** Fields of the request upstream: the client's, without those that no transport passes, and the edits. Flat name, value …; one row a name. */
export function upstreamFields(wire: RecordedWire): string[] {
  const fields = new Map<string, string[]>();
  for (let i = 0; i < wire.headerCount; i++) {
    const name = wire.headerName(i);
    if (OF_THE_CONNECTION.has(name) || isClaim(name)) continue;
    const values = fields.get(name);
    if (values === undefined) fields.set(name, [wire.headerValue(i)]);
    else values.push(wire.headerValue(i));
  }
  return changed(fields, wire.upstreamChanges);
}

/** Fields that the gateway puts on the answer, whatever the upstream says. */
export function answerFields(wire: RecordedWire): string[] {
  return changed(new Map(), wire.answerChanges);
}

function changed(fields: Map<string, string[]>, changes: readonly FieldChange[]): string[] {
  for (const { kind, name, value } of changes) {
    if (kind === 'remove') fields.delete(name);
    else if (kind === 'set') fields.set(name, [value]);
    else if (kind === 'absent') fields.set(name, fields.get(name) ?? [value]);
    else fields.set(name, [...(fields.get(name) ?? []), value]);
  }
  return [...fields].flatMap(([name, values]) => [name, values.join(JOINT)]);
}
