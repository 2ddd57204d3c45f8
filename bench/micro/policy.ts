/**
 * What a decision costs: `node bench/micro/policy.ts`. The bar is p99 < 100 µs for the demo policy without its cache. Prints one JSON row per case and
 * percentile. Every decision is checked, so that a wrong one cannot win.
 */
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { inspectModule } from '../../src/control/policy/inspect.ts';
import { PolicyEvaluator } from '../../src/policy/evaluator.ts';
import { compileInput, type InputSource } from '../../src/policy/input.ts';
import { OpaInstance } from '../../src/policy/opa-instance.ts';
import { Outcome } from '../../src/policy/outcome.ts';

export interface MicroRow {
  readonly name: string;
  readonly metric: string;
  readonly unit: string;
  readonly ours: number;
}

const WARMING = 2_000;
const FIELDS = ['method', 'path', 'tenant', 'user.roles', 'user.claims.tenant'];

const user = { subject: 'u-1', roles: ['reader'], claims: { sub: 'u-1', tenant: 'acme' } };
const request: InputSource = {
  method: 'GET',
  path: '/api/orders/17',
  query: '',
  host: 'localhost',
  clientAddress: '127.0.0.1',
  clientCountry: '',
  tenant: 'acme',
  route: 'api',
  now: 0,
  user,
  tls: null,
  header: () => undefined,
};
/** Twenty claims and a long path, 1.8 KB of input. */
const heavy: InputSource = {
  ...request,
  path: `/api/orders/${'segment/'.repeat(40)}`,
  user: {
    ...user,
    claims: Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`claim-${i}`, `value ${i} `.repeat(5)])),
  },
};

function specOf(path: string, entrypoints: readonly string[], data = '') {
  const file = fileURLToPath(new URL(`../../${path}`, import.meta.url));
  const { module, literalPatterns } = inspectModule(path, new Uint8Array(readFileSync(file)), 512);
  return { name: path, module, literalPatterns, data, entrypoints, memoryPagesMax: 512 };
}

export function run(calls = 50_000): MicroRow[] {
  const rows: MicroRow[] = [];
  /** Each call on its own, clock calls (about 0.1 µs) included. */
  const percentiles = (metric: string, body: (i: number) => boolean, bare = false, rounds = calls): void => {
    const times = new Float64Array(rounds);
    for (let i = 0; i < Math.min(WARMING, rounds); i++) body(i);
    const all = performance.now();
    let right = 0;
    for (let i = 0; i < rounds; i++) {
      const from = bare ? 0 : performance.now();
      if (body(i)) right++;
      if (!bare) times[i] = (performance.now() - from) * 1e3;
    }
    const mean = ((performance.now() - all) * 1e3) / rounds;
    if (right !== rounds) throw new Error(`${metric}: ${rounds - right} of ${rounds} decisions were wrong`);
    const row = (percentile: string, us: number): void => {
      rows.push({ name: 'policy', metric: `${metric}, ${percentile}`, unit: 'us', ours: Math.round(us * 100) / 100 });
    };
    if (bare) return row('mean', mean);
    times.sort();
    row('p50', times[rounds >> 1] ?? 0);
    row('p99', times[Math.floor(rounds * 0.99)] ?? 0);
  };

  const data = readFileSync(new URL('../../config/demo/policies/authz-data.json', import.meta.url), 'utf8');
  const demo = specOf('config/demo/policies/authz.wasm', ['authz/decision'], data);
  const sources = [
    request,
    { ...request, method: 'POST' },
    { ...request, path: '/api/admin/x' },
    { ...request, user: null },
  ];
  const expected = [Outcome.Allow, Outcome.Deny, Outcome.Deny, Outcome.Deny];
  const asked = (e: PolicyEvaluator) => (i: number) => e.decide(sources[i & 3] as InputSource, 0) === expected[i & 3];
  percentiles('demo policy', asked(new PolicyEvaluator({ ...demo, input: FIELDS, pure: false, cacheEntries: 0 })));
  percentiles(
    'demo policy, cached',
    asked(new PolicyEvaluator({ ...demo, input: FIELDS, pure: true, cacheEntries: 100 })),
    true,
  );

  const encode = compileInput('demo', FIELDS);
  percentiles('input of the demo policy', () => encode(request).length > 0, true);

  const roles = specOf('test/fixtures/policy/roles-v0.wasm', ['authz/allow']);
  const whole = new PolicyEvaluator({ ...roles, input: ['method', 'path', 'user'], pure: false, cacheEntries: 0 });
  percentiles('role policy, 1.8 KB of input', () => whole.decide(heavy, 0) === Outcome.Deny);

  const patterns = specOf('test/fixtures/policy/patterns.wasm', ['patterns/allow']);
  for (const literalPatterns of [true, false]) {
    const instance = new OpaInstance({ ...patterns, literalPatterns });
    const what = literalPatterns ? 'kept' : 'compiled anew';
    percentiles(
      `10 patterns, ${what}`,
      () => instance.evaluate('{"path":"/none"}', 0, 0) === Outcome.Deny,
      false,
      calls / 25,
    );
  }
  return rows;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const row of run()) console.log(JSON.stringify(row));
}
