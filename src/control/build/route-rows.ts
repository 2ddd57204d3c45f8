/** The compiled route table as people read it: in the order in which routes are tried. */
import type { RedirectConfig } from '../../config/respond.ts';
import type { RouteConfig } from '../../config/route.ts';
import { native } from '../../native.ts';
import { compileBundle } from '../compile/compile.ts';
import { type BundleDirectory, noSlots } from './bundle-directory.ts';

export interface RouteRow {
  readonly host: string;
  readonly path: string;
  readonly methods: string;
  readonly id: string;
  /** `public`, or issuers and policy. */
  readonly access: string;
  readonly waf: string;
  readonly limits: string;
  /** Cell, tenant source or redirect. */
  readonly to: string;
}

/** Rows of a checked bundle. Throws ConfigError when it does not compile. */
export async function routeRows(b: BundleDirectory): Promise<RouteRow[]> {
  const compiled = await compileBundle(b.config, b.documents, b.files, { kind: 'check' }, native(), noSlots());
  // A route has an entry for each of its hosts; its first one is its place.
  const order = new Set(new Uint32Array(compiled.snapshot.routes.entries));
  compiled.release();
  return [...order].flatMap((index) => {
    const route = b.config.routes.routes[index];
    return route === undefined ? [] : [rowOf(route, b)];
  });
}

function rowOf(r: RouteConfig, b: BundleDirectory): RouteRow {
  const [kind, pattern] = Object.entries(r.match.path)[0] ?? ['', ''];
  const policy = r.policy === undefined ? '' : ` policy ${r.policy.name}`;
  const tenant = r.tenant === undefined ? undefined : Object.entries(r.tenant)[0];
  const redirect = r.respond?.redirect;
  const only = b.config.cells.cells.length === 1 ? b.config.cells.cells[0]?.id : undefined;
  return {
    host: r.match.hosts.join(','),
    path: `${kind} ${pattern}`,
    methods: r.match.methods.length === 0 ? '*' : r.match.methods.join(','),
    id: r.id,
    access: r.access === 'public' ? 'public' : `${r.issuers.join(',')}${policy}`,
    waf: r.waf?.mode ?? b.config.waf.mode,
    limits: [...new Set([...b.config.defaults.limits, ...r.limits])].join(','),
    to: [
      ...(redirect === undefined ? [] : [`redirect ${redirect.to ?? changed(redirect)}`]),
      ...(r.cell === undefined ? [] : [`cell ${r.cell}`]),
      ...(r.split === undefined ? [] : [`split ${r.split.cells.map((c) => `${c.cell}:${c.weight}`).join(' ')}`]),
      ...(tenant === undefined ? [] : [`tenant by ${tenant[0]} ${String(tenant[1])}`]),
      ...(r.cell === undefined && r.split === undefined && tenant === undefined && only !== undefined
        ? [`cell ${only}`]
        : []),
    ].join(', '),
  };
}

/** Which parts of the address a redirect replaces. */
function changed(redirect: RedirectConfig): string {
  return Object.keys(redirect)
    .filter((name) => name !== 'status')
    .join('+');
}
