/** What is allowed and probably not meant. `cnx check` says it; nothing is refused because of it. */
import type { RouteConfig } from '../../config/route.ts';
import type { RouterAddon } from '../../native/router.ts';
import { ROUTE_NONE, ROUTE_OTHER_METHOD } from '../../native/router.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { BundleDirectory } from './bundle-directory.ts';
import { standbyWarnings } from './standby-warnings.ts';

/** Methods that are looked at; the data plane's method codes are their positions. */
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/** All warnings of a bundle that compiles, as lines. */
export function warningsOf(b: BundleDirectory, snapshot: Snapshot, native: RouterAddon): string[] {
  const warnings: string[] = [];
  if (snapshot.waf === -1 && b.config.waf.mode !== 'off') {
    warnings.push('waf.yaml names no rules: nothing is inspected on any route');
  }
  warnings.push(...standbyWarnings(snapshot), ...namedByDnsWarnings(b), ...queryWarnings(b));
  const entries = new Uint32Array(snapshot.routes.entries);
  const { routes } = b.config.routes;
  for (const route of routes) {
    if (route.access === 'public') continue;
    const path = samplePath(route);
    if (path === null) continue;
    for (const host of route.match.hosts) {
      const open = METHODS.filter((_, bit) => {
        const entry = native.routerFind(snapshot.router, sampleHost(host), path, 1 << bit, 0);
        if (entry === ROUTE_NONE || entry === ROUTE_OTHER_METHOD) return false;
        return routes[entries[entry] ?? -1]?.access === 'public';
      });
      if (open.length === 0) continue;
      warnings.push(
        `route "${route.id}" is protected, but ${open.join(', ')} ${host === '*' ? '' : `${host} `}${path} reaches a public route: ` +
          'a method or header that a route does not take falls to the next one that fits; leave `methods` out, or add a protected route for them',
      );
    }
  }
  return warnings;
}

/** RFC 6125 §6.2.1: a name that comes out of DNS is no name to check a certificate by, unless the authority that signs is one's own. */
function namedByDnsWarnings({ config }: BundleDirectory): string[] {
  return config.cells.cells.flatMap(({ id, endpoints }) =>
    endpoints
      .filter(({ srv, tls }) => srv !== undefined && tls !== undefined)
      .filter(({ tls }) => tls?.serverName === undefined && tls?.ca === undefined)
      .map(
        ({ srv }) =>
          `cell "${id}": certificates behind ${srv} are checked by the targets that DNS names, and any public authority may sign them: ` +
          'whoever forges an answer of DNS is believed; say `tls.serverName`, or `tls.ca` of an authority of your own',
      ),
  );
}

/** Not an error: a decoded path may hold either character, as `/a%3Fx` does. */
function queryWarnings({ config }: BundleDirectory): string[] {
  return config.routes.routes.flatMap(({ id, match: { path } }) => {
    const text = path.exact ?? path.prefix ?? path.template ?? '';
    const found = /[?#]/.exec(text)?.[0];
    return found === undefined
      ? []
      : [
          `route "${id}": the path ${text} matches only requests that escape its ${found} (${found === '?' ? '%3F' : '%23'}): ` +
            'a query is no part of the path, and fragments are never sent; write the path alone',
        ];
  });
}

function sampleHost(host: string): string {
  return host === '*' ? 'host.invalid' : host.replace(/^\*\./, 'any.');
}

/** A path that the route's pattern takes; null for expressions. */
function samplePath(route: RouteConfig): string | null {
  const { exact, prefix, template } = route.match.path;
  return exact ?? prefix ?? template?.replaceAll(/\{[^}]*\}/g, 'x') ?? null;
}
