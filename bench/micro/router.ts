/**
 * What choosing a route costs from JavaScript, crossing included: `node bench/micro/router.ts`. The bar is 2 µs a request in a table of 10,000 routes.
 * Prints one JSON row per case. Every answer is checked while the table is warmed up, so that a wrong one cannot win.
 */
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { native } from '../../src/native.ts';
import { METHOD_BITS_ALL, ROUTE_NONE, type RouterRoute } from '../../src/native/router.ts';

export interface MicroRow {
  readonly name: string;
  readonly metric: string;
  readonly unit: string;
  readonly ours: number;
}

const ROUTES = 10_000;
const ROUNDS = 5;
/** Coprime to ROUTES: visits all in an order that no cache foresees. */
const STRIDE = 7_919;
const GET = 1;

/** A table as platforms have them: a hundred hosts, a few API versions, a quarter each exact, prefix and two templates. */
function given(): RouterRoute[] {
  return Array.from({ length: ROUTES }, (_, i): RouterRoute => {
    const base = `/api/v${i % 7}/service-${i}`;
    const [kind, path] = (
      [
        ['exact', `${base}/items`],
        ['prefix', `${base}/items`],
        ['template', `${base}/{id}/items`],
        ['template', `${base}/{id}/items/{rest...}`],
      ] as const
    )[i % 4] ?? ['exact', base];
    const hosts = [`host-${i % 100}.example.com`];
    return { id: `route-${i}`, hosts, kind, path, methods: METHOD_BITS_ALL, headerPredicates: false, priority: 0 };
  });
}

/** Best of some rounds, ns per call: the least disturbed one. */
function best(calls: number, body: (i: number) => void): number {
  let least = Number.POSITIVE_INFINITY;
  for (let r = 0; r < ROUNDS; r++) {
    const from = performance.now();
    for (let i = 0; i < calls; i++) body(i);
    least = Math.min(least, ((performance.now() - from) * 1e6) / calls);
  }
  return Math.round(least);
}

export function run(calls = 300_000): MicroRow[] {
  const addon = native();
  const routes = given();
  const rows: MicroRow[] = [];
  const row = (metric: string, unit: string, ours: number): void => {
    rows.push({ name: 'router', metric, unit, ours });
  };
  const from = performance.now();
  const { handle, problems } = addon.routerCompile(routes);
  row(`compile ${ROUTES} routes`, 'ms', Math.round(performance.now() - from));
  if (problems.length > 0) throw new Error(problems[0]?.message);
  const order = addon.routerRoutes(handle);
  const hosts = routes.map((r) => r.hosts[0] ?? '');
  const paths = routes.map((r) => r.path.replace('{id}', '4711').replace('{rest...}', 'a/b/c'));
  for (let i = 0; i < ROUTES; i++) {
    const entry = addon.routerFind(handle, hosts[i] ?? '', paths[i] ?? '', GET, 0);
    if (order[entry] !== i) throw new Error(`route ${i} was answered as ${order[entry] ?? 'none'}`);
  }
  const ask = (i: number): void => {
    const at = (i * STRIDE) % ROUTES;
    addon.routerFind(handle, hosts[at] ?? '', paths[at] ?? '', GET, 0);
  };
  row(`find among ${ROUTES} routes, all in turn`, 'ns', best(calls, ask));
  row(
    `find among ${ROUTES} routes, always the same`,
    'ns',
    best(calls, () => void addon.routerFind(handle, 'host-2.example.com', '/api/v2/service-2/4711/items', GET, 0)),
  );
  if (addon.routerFind(handle, 'host-2.example.com', '/nothing/here', GET, 0) !== ROUTE_NONE) throw new Error('found');
  row(
    'find nothing',
    'ns',
    best(calls, () => void addon.routerFind(handle, 'host-2.example.com', '/nothing/here', GET, 0)),
  );
  addon.routerDrop(handle);
  return rows;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const row of run()) console.log(JSON.stringify(row));
}
