/** A route's list of header edits, one by one. */
import type { HeaderEdits } from '../../snapshot/route-plans.ts';

/** What takes single edits. */
export interface Editable {
  set(name: string, value: string): boolean;
  add(name: string, value: string): boolean;
  remove(name: string): void;
  /** Of answers only: unless the upstream says it. */
  absent(name: string, value: string): boolean;
  /** Of answers only: to the list that the upstream's field holds. */
  append(name: string, value: string): boolean;
}

/** Removals, then sets, then what depends on the upstream's fields, then additions. False when one of them was refused; the others are made all the same. */
export function applyEdits(to: Editable, edits: HeaderEdits): boolean {
  const { set, add, remove, absent, append } = edits;
  let ok = true;
  for (let i = 0; i < remove.length; i++) to.remove(remove[i] as string);
  for (let i = 0; i + 1 < set.length; i += 2) ok = to.set(set[i] as string, set[i + 1] as string) && ok;
  if (absent !== undefined)
    for (let i = 0; i + 1 < absent.length; i += 2) ok = to.absent(absent[i] as string, absent[i + 1] as string) && ok;
  if (append !== undefined)
    for (let i = 0; i + 1 < append.length; i += 2) ok = to.append(append[i] as string, append[i + 1] as string) && ok;
  for (let i = 0; i + 1 < add.length; i += 2) ok = to.add(add[i] as string, add[i + 1] as string) && ok;
  return ok;
}
