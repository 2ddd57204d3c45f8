/** Which route of a bundle takes a request, as the lanes would find it (`data/stages/match.ts`). */
import type { RouteConfig } from '../../config/route.ts';
import { methodBit, routerRoute } from '../../control/compile/routes.ts';
import { readHost } from '../../data/normalize/host.ts';
import { type CanonicalPath, readPath, TargetFault } from '../../data/normalize/target.ts';
import { native } from '../../native.ts';
import { ROUTE_NONE, ROUTE_OTHER_METHOD } from '../../native/router.ts';
import type { RawRequest } from './raw-message.ts';

/** Index of the route; -1: none takes it, or its host or target is such that the gateway refuses it before. */
export function routeOf(routes: readonly RouteConfig[], request: RawRequest): number {
  const place = placeOf(request);
  if (place === null || routes.length === 0) return -1;
  const { handle } = native().routerCompile(routes.map((route, i) => routerRoute(route, i, () => undefined)));
  if (handle === 0) return -1;
  try {
    const entries = native().routerRoutes(handle);
    for (let cursor = 0; cursor < entries.length; cursor++) {
      const entry = native().routerFind(handle, place.host, place.path, methodBit(request.method), cursor);
      if (entry === ROUTE_NONE || entry === ROUTE_OTHER_METHOD) return -1;
      const index = entries[entry] ?? -1;
      const route = routes[index];
      if (route !== undefined && takes(route, request)) return index;
      cursor = entry;
    }
    return -1;
  } finally {
    native().routerDrop(handle);
  }
}

/** Host and path in canonical form; null when either is malformed. */
function placeOf(request: RawRequest): { readonly host: string; readonly path: string } | null {
  const [, authority, rest = ''] = /^https?:\/\/([^/?#]*)(.*)$/i.exec(request.target) ?? [];
  const target = authority === undefined ? request.target : rest === '' ? '/' : rest;
  const named = request.headers.find(([name]) => name.toLowerCase() === 'host')?.[1] ?? '';
  const host = readHost(authority ?? named);
  const query = target.indexOf('?');
  const path: CanonicalPath = { path: '', encoded: '' };
  const fault = readPath(query < 0 ? target : target.slice(0, query), path);
  return host === null || fault !== TargetFault.None ? null : { host, path: path.path };
}

/** What the router cannot see: methods without a bit of their own, and header fields. */
function takes({ match }: RouteConfig, { method, headers }: RawRequest): boolean {
  const named = match.methods.length === 0 || match.methods.includes(method);
  // HEAD is taken wherever GET is.
  if (!named && !(method === 'HEAD' && match.methods.includes('GET'))) return false;
  return match.headers.every(({ name, value, not }) => {
    const lower = name.toLowerCase();
    return headers.some(([n, v]) => n.toLowerCase() === lower && (value === undefined || v === value)) !== not;
  });
}
