/** The route's edits of an answer: of an upstream's, which the transport applies without JavaScript seeing it, and of a stored one. */
import { Recent } from '../../base/recent.ts';
import type { HeaderEdits, RespondPlan } from '../../snapshot/route-plans.ts';
import type { MadeField } from '../../snapshot/variables.ts';
import type { Exchange } from '../exchange.ts';
import { textOf } from '../variables.ts';
import { allowOrigin } from './cors.ts';
import { makeAnswerEdits } from './made-edits.ts';

/** Edits whatever answer comes. False when one of them is refused. */
export function editAnswer(x: Exchange, plan: RespondPlan): boolean {
  let ok = x.wire.editAnswer(plan.answer);
  if (plan.answerMade !== null) ok = makeAnswerEdits(x, plan.answerMade) && ok;
  if (plan.cors !== null) allowOrigin(x, plan.cors);
  return editSecure(x, plan) && ok;
}

/** Fields beside Cache-Control that tell caches to keep an answer, or how to ask for it again: targeted ones (RFC 9213), Expires and its likes, validators. */
const FOR_CACHES = /^(?:.+-cache-control|surrogate-control|(?:x-accel-)?expires|etag|last-modified)$/;
/** Names of that kind that a route edits; gone with its plan. */
const forCaches = new WeakMap<RespondPlan, readonly string[]>();

/** Takes from a refusal that comes behind `editAnswer` what the route lets caches do with answers: Cache-Control itself the transport sets. */
export function editLateRefusal(x: Exchange, plan: RespondPlan): void {
  let names = forCaches.get(plan);
  if (names === undefined) {
    const { set, add, absent = [], append = [] } = plan.answer;
    const fixed = [set, add, absent, append].flatMap((flat) => flat.filter((_, i) => i % 2 === 0));
    const made = plan.answerMade;
    const later = made === null ? [] : [...made.set, ...made.absent, ...made.append, ...made.add];
    names = [...new Set([...fixed, ...later.map((field) => field.name)])].filter((name) => FOR_CACHES.test(name));
    forCaches.set(plan, names);
  }
  for (let i = 0; i < names.length; i++) x.wire.removeAnswerHeader(names[i] as string);
}

/** Edits a refusal that comes before `editAnswer`. No refusal fails over its edits. */
export function editEarlyRefusal(x: Exchange, plan: RespondPlan): void {
  if (plan.security !== null) x.wire.editAnswer(plan.security);
  editSecure(x, plan);
}

/** Values of Strict-Transport-Security in use: a configuration has one, or a few. */
const STRICT_MAX = 64;
/** As lists, which a transport packs once. */
const strict = new Recent<string, HeaderEdits>(STRICT_MAX);

function strictEdits(value: string): HeaderEdits {
  const known = strict.get(value);
  if (known !== undefined) return known;
  const made = { set: ['strict-transport-security', value], add: [], remove: [] };
  strict.set(value, made);
  return made;
}

/** RFC 6797 §7.2: over TLS only. */
export function editSecure(x: Exchange, plan: RespondPlan): boolean {
  const { strictTransport } = plan;
  return strictTransport === '' || !x.secure || x.wire.editAnswer(strictEdits(strictTransport));
}

/** True for a name that the route sets or removes: a stored field of that name is not sent. */
export function isEdited(plan: RespondPlan, name: string): boolean {
  const { answer, answerMade } = plan;
  if (answer.remove.includes(name)) return true;
  for (let i = 0; i < answer.set.length; i += 2) if (answer.set[i] === name) return true;
  return answerMade?.set.some((field) => field.name === name) ?? false;
}

/** True for a name to which the route adds a line. */
export function isAdded(plan: RespondPlan, name: string): boolean {
  for (let i = 0; i < plan.answer.add.length; i += 2) if (plan.answer.add[i] === name) return true;
  return plan.answerMade?.add.some((field) => field.name === name) ?? false;
}

/** Edits an answer out of a store, whose fields the wire holds as edits already. `fields`: those, flat. `again`: the wire has had the route's edits before. */
export function editStored(x: Exchange, plan: RespondPlan, fields: readonly string[], again: boolean): boolean {
  const { answer, answerMade } = plan;
  let ok = true;
  if (!again) {
    ok = (isPlain(answer) ? x.wire.editAnswer(answer) : editPlain(x, answer)) && ok;
    if (answerMade !== null) ok = makeAnswerEdits(x, { ...answerMade, absent: [], append: [] }) && ok;
    if (plan.cors !== null) allowOrigin(x, plan.cors);
    ok = editSecure(x, plan) && ok;
    for (const [name, value] of [...pairs(answer.absent), ...made(x, answerMade?.absent)]) {
      if (valuesOf(fields, name).length === 0) ok = x.wire.setAnswerHeader(name, value) && ok;
    }
  }
  for (const [name, value] of [...pairs(answer.append), ...made(x, answerMade?.append)])
    ok = x.wire.setAnswerHeader(name, [...valuesOf(fields, name), value].join(', ')) && ok;
  return ok;
}

function isPlain(edits: HeaderEdits): boolean {
  return edits.absent === undefined && edits.append === undefined;
}

function editPlain(x: Exchange, { remove, set, add }: HeaderEdits): boolean {
  const { wire } = x;
  let ok = true;
  for (const name of remove) wire.removeAnswerHeader(name);
  for (const [name, value] of pairs(set)) ok = wire.setAnswerHeader(name, value) && ok;
  for (const [name, value] of pairs(add)) ok = wire.addAnswerHeader(name, value) && ok;
  return ok;
}

function pairs(flat: readonly string[] = []): [name: string, value: string][] {
  return flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1] as string] as [string, string]] : []));
}

function made(x: Exchange, fields: readonly MadeField[] = []): [name: string, value: string][] {
  return fields.flatMap((field) => {
    const value = textOf(field.parts, x);
    return value === '' ? [] : [[field.name, value] as [string, string]];
  });
}

function valuesOf(fields: readonly string[], name: string): string[] {
  return fields.filter((value, i) => i % 2 === 1 && fields[i - 1] === name && value !== '');
}
