/** A URL that somebody names (an answer's Location, an operator's purge), in the form in which requests for it are known. */
import { canonicalQuery, checkQuery, readPath, TargetFault } from './target.ts';

/** Path and query in canonical form; null when no request can ask for it. */
export function canonicalTarget(url: URL): string | null {
  const into = { path: '', encoded: '' };
  const query = url.search.slice(1);
  if (readPath(url.pathname, into) !== TargetFault.None || checkQuery(query) !== TargetFault.None) return null;
  return query === '' ? into.encoded : `${into.encoded}?${canonicalQuery(query)}`;
}
