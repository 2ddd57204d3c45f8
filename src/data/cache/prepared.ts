/** A stored answer's fields together with its route's edits, as one list: made at the first hit and used for all that follow. */
import { isEdited } from '../answers/answer-edits.ts';
import type { HeaderEdits, RespondPlan } from '../../snapshot/route-plans.ts';
import type { FieldLines } from './fields.ts';
import { fits } from './fields.ts';

/** What holds for every hit of one stored answer under one route. */
export interface Prepared {
  readonly respond: RespondPlan;
  /** There is room for both in an answer. */
  readonly fits: boolean;
  /** Both together; null: something of it depends on the request. */
  readonly edits: HeaderEdits | null;
}

/** Gone with the stored answer, whose fields are its own. */
const known = new WeakMap<FieldLines, Prepared>();

/** Of these fields, under this route. */
export function preparedOf(fields: FieldLines, respond: RespondPlan): Prepared {
  const made = known.get(fields);
  // Another revision's plan is another object.
  if (made !== undefined && made.respond === respond) return made;
  const prepared: Prepared = {
    respond,
    fits: fits(fields, respond.answer),
    edits: isFixed(respond) ? together(fields, respond) : null,
  };
  known.set(fields, prepared);
  return prepared;
}

/** Whether every request gets the same edits. */
function isFixed(respond: RespondPlan): boolean {
  const { answer, answerMade, cors } = respond;
  return answerMade === null && cors === null && answer.absent === undefined && answer.append === undefined;
}

/** The stored fields without those that the route removes or sets, then the route's own. The transport writes Content-Type beside the length. */
function together(fields: FieldLines, respond: RespondPlan): HeaderEdits {
  const { answer } = respond;
  const set: string[] = [];
  const beside: string[] = [];
  const seen = new Set<string>();
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (name === 'content-type' || isEdited(respond, name)) continue;
    (seen.has(name) ? beside : set).push(name, fields[i + 1] as string);
    seen.add(name);
  }
  return { remove: answer.remove, set: [...set, ...answer.set], add: [...beside, ...answer.add] };
}
