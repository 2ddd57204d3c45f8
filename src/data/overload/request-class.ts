/** How important a request is. */
import { DEFAULT_CLASS, REQUEST_CLASSES } from '../../snapshot/lane-columns.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { hasPageOf } from '../answers/pages.ts';
import type { Exchange } from '../exchange.ts';
import { REFUSALS } from '../refusal.ts';

/** The route's class; a header may name a lower one, never a higher one. */
export function classOf(x: Exchange): number {
  const priority = x.route?.priority;
  if (priority === undefined) return DEFAULT_CLASS;
  if (priority.header === '') return priority.class;
  const named = REQUEST_CLASSES.indexOf((x.wire.header(priority.header) ?? '') as 'default');
  return Math.max(priority.class, named);
}

/** No request has a higher class than this one; -1 where none may be turned away unread, since the operator has words of his own for it. */
export function highestClass({ highestClass: highest, pages }: Pick<Snapshot, 'highestClass' | 'pages'>): number {
  return hasPageOf(pages, REFUSALS.shed) ? -1 : highest;
}
