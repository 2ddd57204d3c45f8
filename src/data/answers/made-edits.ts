/** Edits of header fields whose values are made for each request. */
import type { MadeEdits, MadeField } from '../../snapshot/variables.ts';
import type { Exchange } from '../exchange.ts';
import { between } from '../joined.ts';
import { textOf } from '../variables.ts';
import { received } from './received.ts';

/** Edits the upstream request. False when the wire takes one of them no more: values together are too long. */
export function makeRequestEdits(x: Exchange, edits: MadeEdits): boolean {
  const { wire } = x;
  let ok = setAll(x, edits);
  for (let i = 0; i < edits.absent.length; i++) {
    const field = edits.absent[i] as MadeField;
    if (received(x, field.name) !== undefined) continue;
    const value = textOf(field.parts, x);
    if (value !== '') ok = wire.setUpstreamHeader(field.name, value) && ok;
  }
  for (let i = 0; i < edits.append.length; i++) {
    const field = edits.append[i] as MadeField;
    const value = appended(x, field, received(x, field.name));
    if (value !== undefined) ok = wire.setUpstreamHeader(field.name, value) && ok;
  }
  for (let i = 0; i < edits.add.length; i++) {
    const field = edits.add[i] as MadeField;
    const value = textOf(field.parts, x);
    if (value !== '') ok = wire.addUpstreamHeader(field.name, value) && ok;
  }
  return ok;
}

/** Of a further attempt: only what names the endpoint is another. */
export function remakeRequestEdits(x: Exchange, edits: MadeEdits): boolean {
  return edits.byEndpoint ? setAll(x, edits) : true;
}

/** An empty value takes the field away, a client's own copy included. */
function setAll(x: Exchange, edits: MadeEdits): boolean {
  let ok = true;
  for (let i = 0; i < edits.set.length; i++) {
    const { name, parts } = edits.set[i] as MadeField;
    const value = textOf(parts, x);
    if (value === '') x.wire.removeUpstreamHeader(name);
    else ok = x.wire.setUpstreamHeader(name, value) && ok;
  }
  return ok;
}

function appended(x: Exchange, field: MadeField, before: string | undefined): string | undefined {
  const value = textOf(field.parts, x);
  if (before === undefined || before === '') return value === '' ? before : value;
  return value === '' ? before : `${before}${between(field.name)}${value}`;
}

/** Edits the answer. False as above. */
export function makeAnswerEdits(x: Exchange, edits: MadeEdits): boolean {
  const { wire } = x;
  let ok = true;
  for (let i = 0; i < edits.set.length; i++) {
    const { name, parts } = edits.set[i] as MadeField;
    const value = textOf(parts, x);
    if (value === '') wire.removeAnswerHeader(name);
    else ok = wire.setAnswerHeader(name, value) && ok;
  }
  for (let i = 0; i < edits.absent.length; i++) {
    const { name, parts } = edits.absent[i] as MadeField;
    const value = textOf(parts, x);
    if (value !== '') ok = wire.defaultAnswerHeader(name, value) && ok;
  }
  for (let i = 0; i < edits.append.length; i++) {
    const { name, parts } = edits.append[i] as MadeField;
    const value = textOf(parts, x);
    if (value !== '') ok = wire.appendAnswerHeader(name, value) && ok;
  }
  for (let i = 0; i < edits.add.length; i++) {
    const { name, parts } = edits.add[i] as MadeField;
    const value = textOf(parts, x);
    if (value !== '') ok = wire.addAnswerHeader(name, value) && ok;
  }
  return ok;
}

/** What these edits make of a request field that would be `before` without them: for whoever must know what the upstream sees. */
export function madeUpstream(
  x: Exchange,
  edits: MadeEdits,
  name: string,
  before: string | undefined,
): string | undefined {
  let value = before;
  for (const field of edits.set) if (field.name === name) value = orNothing(textOf(field.parts, x));
  for (const field of edits.absent) if (field.name === name) value ??= orNothing(textOf(field.parts, x));
  for (const field of [...edits.append, ...edits.add]) if (field.name === name) value = appended(x, field, value);
  return value;
}

function orNothing(value: string): string | undefined {
  return value === '' ? undefined : value;
}
