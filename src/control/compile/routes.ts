/**
 * Routes: the native router, which tells requests apart, and the table of what each route asks for. Problems of the router (duplicates, templates, expressions) are told
 * with the place of the route that has them.
 */
import { Value } from 'typebox/value';
import type { BundleConfig } from '../../config/bundle.ts';
import type { CorsConfig } from '../../config/cors.ts';
import { Timeouts, type RouteConfig } from '../../config/route.ts';
import { METHOD_BITS_ALL, type RouterAddon, type RouterRoute } from '../../native/router.ts';
import { DEFAULT_CLASS, REQUEST_CLASSES } from '../../snapshot/lane-columns.ts';
import type {
  ForwardLimits,
  HeaderPredicate,
  RespondPlan,
  RoutePlan,
  RouteTable,
  TenantSource,
  WafRoutePlan,
} from '../../snapshot/route-plans.ts';
import type { LimitPlan, NativeHandle } from '../../snapshot/snapshot.ts';
import type { Compressions } from './compress.ts';
import { compileLimits, splitLimits } from './limits.ts';
import { compileMirror } from './mirror.ts';
import type { Report } from './report.ts';
import type { RewriteAddon } from '../../native/rewrite.ts';
import { compileRespond } from './respond.ts';
import { Rewrites } from './rewrites.ts';
import { StaticAnswers } from './static.ts';
import { hedgeOf } from './hedge.ts';
import { retryOf } from './retry.ts';
import type { SecretReader } from './secrets.ts';
import { tableOf, Usual } from './route-table.ts';
import { compileSplit } from './split.ts';

/** Bits of the router's method mask; the data plane's method codes are their positions. */
const METHOD_BITS: ReadonlyMap<string, number> = new Map(
  ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT', 'TRACE'].map((name, i) => [name, 1 << i]),
);
const GET = 1;
const HEAD = 2;
/** What holds when neither the route nor `defaults.yaml` says. */
const TIMEOUTS: Timeouts = Value.Create(Timeouts);
/** All methods without a bit of their own. */
const OTHER = 1 << METHOD_BITS.size;

export interface RoutesInput {
  readonly config: BundleConfig;
  readonly native: RouterAddon & RewriteAddon;
  readonly waf: { plan(route: RouteConfig['waf'], path: string): WafRoutePlan };
  readonly secret: SecretReader;
  readonly report: Report;
  /** Files of the bundle that routes answer with; absent: none. */
  readonly web?: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  /** False: the transport cannot answer from what is stored. */
  readonly cache?: boolean;
  readonly compressions: Compressions;
}

export interface CompiledRoutes {
  readonly router: NativeHandle;
  /** Expressions that rewrite paths; 0 = none. */
  readonly rewrites: NativeHandle;
  /** Files and pages of all routes, and the numbers of those pages that are for requests of none. */
  readonly statics: StaticAnswers;
  readonly pages: readonly number[];
  readonly table: RouteTable;
  readonly highestClass: number;
  /** Takes router and expressions out of the registry. */
  release(): void;
}

/** What routes have in common natively and in shared memory. */
interface Gathered {
  readonly usual: Usual;
  readonly rewrites: Rewrites;
  readonly statics: StaticAnswers;
  readonly pages: readonly number[];
}

/** What of a route goes into `ForwardLimits`. */
const FORWARD_FIELDS = ['timeouts', 'bodyBytesMax', 'retries', 'retryOn', 'retryStatuses', 'hedge'] as const;

/** What route references mean, by name. */
interface Names {
  readonly limits: ReadonlyMap<string, number>;
  readonly issuers: ReadonlyMap<string, number>;
  readonly cells: ReadonlyMap<string, number>;
  readonly policies: ReadonlyMap<string, { readonly index: number; readonly entrypoints: readonly string[] }>;
  /** Headers that issuers make from claims, in lower case. */
  readonly claimHeaders: ReadonlySet<string>;
}

export function compileRoutes(input: RoutesInput): CompiledRoutes {
  const { config, native, report } = input;
  const { routes } = config.routes;
  const limits = compileLimits(config.limits);
  const names: Names = {
    limits: places(config.limits.limits),
    issuers: places(config.issuers.issuers),
    cells: places(config.cells.cells),
    policies: new Map(config.policies.policies.map((p, index) => [p.name, { index, entrypoints: p.entrypoints }])),
    claimHeaders: new Set(
      config.issuers.issuers.flatMap((i) => Object.values(i.claimHeaders).map((name) => name.toLowerCase())),
    ),
  };
  const rewrites = new Rewrites();
  const statics = new StaticAnswers(input.web ?? [], report);
  const pages = statics.addPages(config.defaults.errorPages, 'defaults', '/errorPages');
  const gathered = { usual: new Usual(), rewrites, statics, pages };
  const plans = routes.map((route, index) => planOf(route, index, input, names, limits, gathered));
  const rewriteTable = rewrites.compile(native, report);
  const { handle, problems } = native.routerCompile(routes.map((route, i) => routerRoute(route, i, report)));
  for (const p of problems) report('routes', `/routes/${p.route}/match`, p.message);
  sameHeaders(routes, report);
  const entries = handle === 0 ? new Uint32Array() : native.routerRoutes(handle);
  return {
    router: handle,
    rewrites: rewriteTable,
    statics,
    pages,
    table: tableOf(plans, gathered.usual.texts(), entries),
    highestClass: Math.min(DEFAULT_CLASS, ...new Set(plans.map((plan) => plan.priority?.class ?? DEFAULT_CLASS))),
    release: () => {
      if (handle !== 0) native.routerDrop(handle);
      if (rewriteTable !== 0) native.rewritesDrop(rewriteTable);
    },
  };
}

function places(rows: readonly { readonly id: string }[]): ReadonlyMap<string, number> {
  return new Map(rows.map((row, index) => [row.id, index]));
}

/** The bit of a method in the router's mask. */
export function methodBit(name: string): number {
  return METHOD_BITS.get(name) ?? OTHER;
}

/** A route as the router takes it. */
export function routerRoute(route: RouteConfig, index: number, report: Report): RouterRoute {
  const { kind, text } = pathOf(route);
  if (kind !== 'regex') checkPath(kind, text, `/routes/${index}/match/path/${kind}`, report);
  return {
    id: route.id,
    hosts: route.match.hosts,
    kind,
    path: text,
    methods: methodsOf(route).mask,
    headerPredicates: route.match.headers.length > 0,
    // Of routes with the same host and path, the one that asks for more fields is the more specific.
    priority: route.match.headers.length,
  };
}

function pathOf(route: RouteConfig): { readonly kind: RouterRoute['kind']; readonly text: string } {
  const { exact, prefix, template, regex } = route.match.path;
  if (exact !== undefined) return { kind: 'exact', text: exact };
  if (prefix !== undefined) return { kind: 'prefix', text: prefix };
  if (template !== undefined) return { kind: 'template', text: template };
  return { kind: 'regex', text: regex ?? '' };
}

/** What a normalised path never holds would make a route that never matches. */
function checkPath(kind: RouterRoute['kind'], text: string, path: string, report: Report): void {
  if (/%[0-9A-Fa-f]{2}/.test(text)) {
    report('routes', path, 'paths are compared after decoding: write the character itself, not its percent-encoding');
  }
  if (text.includes('//')) report('routes', path, 'a normalised path has no empty segments, so this never matches');
  if (text.includes('\\')) report('routes', path, 'a path with a backslash is refused, so this never matches');
  if (kind !== 'template' && /\/\{[^/]*\}(\/|$)/.test(text)) {
    report('routes', path, `parameters belong to \`template\`; in \`${kind}\` braces stand for themselves`);
  }
}

/** The mask, and the methods without a bit of their own when only some of them are taken. */
function methodsOf(route: RouteConfig): { readonly mask: number; readonly others: readonly string[] } {
  const { methods } = route.match;
  if (methods.length === 0) return { mask: METHOD_BITS_ALL, others: [] };
  const mask = methods.reduce((bits, name) => bits | methodBit(name), 0);
  return {
    mask: (mask & GET) === 0 ? mask : mask | HEAD,
    others: methods.filter((name) => !METHOD_BITS.has(name)),
  };
}

function predicatesOf(route: RouteConfig): HeaderPredicate[] {
  return route.match.headers.map((h) => ({ name: h.name.toLowerCase(), value: h.value ?? null, not: h.not }));
}

/** The router cannot see header predicates, so routes that are equal in them too are found here. */
function sameHeaders(routes: readonly RouteConfig[], report: Report): void {
  const seen = new Map<string, string>();
  for (const [i, route] of routes.entries()) {
    if (route.match.headers.length === 0) continue;
    const headers = predicatesOf(route)
      .map((p) => JSON.stringify(p))
      .sort();
    const what = JSON.stringify([pathOf(route), [...route.match.methods].sort(), headers]);
    for (const host of route.match.hosts) {
      const key = `${host} ${what}`;
      const other = seen.get(key);
      if (other === undefined) seen.set(key, route.id);
      else {
        report(
          'routes',
          `/routes/${i}/match`,
          `route \`${route.id}\`: duplicate: route \`${other}\` has the same host, path, methods and headers`,
        );
        break;
      }
    }
  }
}

function planOf(
  route: RouteConfig,
  index: number,
  input: RoutesInput,
  names: Names,
  limits: readonly LimitPlan[],
  gathered: Gathered,
): RoutePlan {
  const { config } = input;
  const { usual } = gathered;
  const path = `/routes/${index}`;
  const tenant = tenantOf(route);
  const policy = route.policy === undefined ? undefined : names.policies.get(route.policy.name);
  const entrypoint = route.policy?.entrypoint;
  const wanted = [...new Set([...config.defaults.limits, ...route.limits])].flatMap((id) => names.limits.get(id) ?? []);
  const { others } = methodsOf(route);
  const cors = corsOf(route, path, config);
  return {
    id: route.id,
    index,
    ...(others.length > 0 ? { otherMethods: others } : {}),
    headers: predicatesOf(route),
    public: route.access === 'public',
    issuers: route.issuers.flatMap((id) => names.issuers.get(id) ?? []),
    policy: policy?.index ?? -1,
    entrypoint: entrypoint === undefined ? 0 : Math.max(0, policy?.entrypoints.indexOf(entrypoint) ?? 0),
    ...splitLimits(
      wanted,
      limits,
      { tenant: isOfToken(tenant, names.claimHeaders), headers: names.claimHeaders },
      route.issuers.length > 0,
    ),
    waf: usual.of('waf', route.waf === undefined, () => input.waf.plan(route.waf, path)),
    tenant,
    cell: cellOf(route, tenant, names),
    ...(route.split === undefined ? {} : { split: compileSplit(route.split, route.id, names.cells) }),
    ...(route.mirror === undefined ? {} : { mirror: compileMirror(route.mirror, config.cells, path, input.report) }),
    respond: usual.of('respond', route.respond === undefined && cors === undefined, () =>
      respondOf(route, cors, path, input, gathered, names),
    ),
    ...cacheOf(route, path, input),
    ...input.compressions.plan(route.compress, path),
    forward: usual.of(
      'forward',
      FORWARD_FIELDS.every((name) => route[name] === undefined),
      () => forwardOf(route, path, input),
    ),
    ...priorityOf(route),
    websocket: route.websocket,
    forwardClientCertificate: route.forwardClientCertificate,
  };
}

/** Only a token says whose requests they are: in a claim, or in a header that an issuer makes from one. */
function isOfToken(tenant: TenantSource | null, claimHeaders: ReadonlySet<string>): boolean {
  return tenant?.from === 'claim' || (tenant?.from === 'header' && claimHeaders.has(tenant.name));
}

function respondOf(
  route: RouteConfig,
  cors: ReturnType<typeof corsOf>,
  path: string,
  { config, secret, report }: RoutesInput,
  { rewrites, statics, pages }: Gathered,
  { claimHeaders }: Names,
): RespondPlan {
  const { securityHeaders, strictTransport } = config.defaults;
  const { methods } = route.match;
  return compileRespond({
    config: route.respond,
    securityHeaders,
    strictTransport,
    path,
    secret,
    report,
    claimHeaders: claimHeaders.size,
    rewrites,
    statics,
    pages,
    methods,
    cors,
  });
}

function corsOf(
  route: RouteConfig,
  path: string,
  { defaults }: BundleConfig,
): { readonly config: CorsConfig; readonly path: string } | undefined {
  if (route.cors !== undefined) return { config: route.cors, path: `${path}/cors` };
  return defaults.cors === undefined ? undefined : { config: defaults.cors, path: '/cors' };
}

function tenantOf(route: RouteConfig): TenantSource | null {
  const t = route.tenant;
  if (t === undefined) return null;
  if (t.claim !== undefined) return { from: 'claim', name: t.claim };
  if (t.header !== undefined) return { from: 'header', name: t.header.toLowerCase() };
  if (t.hostLabel !== undefined) return { from: 'host', label: t.hostLabel };
  if (t.pathSegment !== undefined) return { from: 'path', segment: t.pathSegment };
  if (t.sniLabel !== undefined) return { from: 'sni', label: t.sniLabel };
  return t.fixed === undefined ? null : { from: 'fixed', name: t.fixed };
}

/** The route's own cell; the only one there is when nothing chooses; -1: the tenant decides. */
function cellOf(route: RouteConfig, tenant: TenantSource | null, names: Names): number {
  if (route.cell !== undefined) return names.cells.get(route.cell) ?? -1;
  return tenant === null && route.split === undefined && names.cells.size === 1 ? 0 : -1;
}

function cacheOf(route: RouteConfig, path: string, input: RoutesInput): Pick<RoutePlan, 'cache'> {
  const { cache } = route;
  if (cache === undefined) return {};
  if (input.cache === false)
    input.report(
      'routes',
      `${path}/cache`,
      'the transport uws stores no answers; take `transport: native` in the bootstrap, or leave out `cache`',
    );
  return { cache: { ...cache, requestDirectives: cache.requestDirectives === 'honour' } };
}

function priorityOf({ priority }: RouteConfig): Pick<RoutePlan, 'priority'> {
  if (priority === undefined) return {};
  return { priority: { class: REQUEST_CLASSES.indexOf(priority.class), header: priority.header?.toLowerCase() ?? '' } };
}

function forwardOf(route: RouteConfig, path: string, input: RoutesInput): ForwardLimits {
  const { config, report } = input;
  const { defaults } = config;
  const native = input.cache !== false;
  const timeout = (name: keyof Timeouts): number =>
    route.timeouts?.[name] ?? defaults.timeouts?.[name] ?? TIMEOUTS[name];
  const retry = retryOf(route, config, path, native, report);
  const totalTimeoutMs = timeout('totalMs');
  if (totalTimeoutMs > 0 && !native)
    report(
      'routes',
      `${path}/timeouts`,
      'the transport uws has no deadline over all attempts; take `transport: native` in the bootstrap, or leave out `totalMs`',
    );
  const headTimeoutMs = timeout('headMs');
  const perTryMs = retry === null || retry.perTryTimeoutMs === 0 ? headTimeoutMs : retry.perTryTimeoutMs;
  const hedge = hedgeOf(route.hedge, path, Math.min(headTimeoutMs, perTryMs), native, report);
  return {
    connectTimeoutMs: timeout('connectMs'),
    headTimeoutMs,
    idleTimeoutMs: timeout('idleMs'),
    bodyBytesMax: route.bodyBytesMax ?? defaults.bodyBytesMax,
    retries: route.retries ?? defaults.retries,
    ...(retry === null ? {} : { retry }),
    ...(totalTimeoutMs === 0 ? {} : { totalTimeoutMs }),
    ...(hedge === null ? {} : { hedge }),
  };
}
