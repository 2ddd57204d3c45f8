/** How important a request is. */
import { REQUEST_CLASSES } from '../../snapshot/lane-columns.ts';
import type { Exchange } from '../exchange.ts';

/** What a route has that says nothing. */
const DEFAULT = 1;

/** The route's class; a header may name a lower one, never a higher one. */
export function classOf(x: Exchange): number {
  const priority = x.route?.priority;
  if (priority === undefined) return DEFAULT;
  if (priority.header === '') return priority.class;
  const named = REQUEST_CLASSES.indexOf((x.wire.header(priority.header) ?? '') as 'default');
  return Math.max(priority.class, named);
}
