/** Requests that every policy is asked about before it may serve: ordinary ones, and those at the edges of what a client can send. */
import { compileInput, type InputSource, type InputUser } from '../../policy/input.ts';
import type { Probe } from './sandbox.ts';

/** A fixed time, so that a trial gives the same answer tomorrow. Epoch ms. */
const NOW_MS = Date.UTC(2026, 0, 1);

const user = (roles: readonly string[], claims: Record<string, unknown> = {}): InputUser => ({
  subject: 'probe',
  roles,
  claims: { sub: 'probe', ...claims },
});

const source = (part: Partial<InputSource>): InputSource => ({
  method: 'GET',
  path: '/',
  query: '',
  host: 'localhost',
  clientAddress: '192.0.2.1',
  clientCountry: '',
  tenant: '',
  route: 'probe',
  now: NOW_MS,
  user: null,
  tls: null,
  header: () => undefined,
  ...part,
});

const SOURCES: readonly InputSource[] = [
  source({ path: '/api/orders', user: user(['admin']), tenant: 'acme' }),
  source({}),
  source({
    method: 'POST',
    path: '/api/orders/1',
    query: 'a=1&b=2',
    user: user([]),
    clientAddress: '2001:db8::1',
    clientCountry: 'AT',
  }),
  source({
    method: 'DELETE',
    path: '/api/admin',
    user: user(['reader', 'admin'], { email: 'a@example.org', level: 3 }),
  }),
  source({
    path: `/${'long/'.repeat(800)}`,
    query: 'q='.repeat(2_000),
    user: user(Array.from({ length: 64 }, (_, i) => `role-${i}`)),
  }),
  source({ path: '/caf\u00e9/\u{1f600}"\\\u0001', host: 'xn--caf-dma.example', header: () => '"\\\t\u00ff' }),
  source({
    tls: {
      version: 'TLSv1.3',
      cipher: 'TLS_AES_128_GCM_SHA256',
      serverName: 'api.example',
      alpn: 'h2',
      ja4: 't13d1516h2_8daaf6152771_02713d6af862',
      client: {
        subject: 'CN="\\\\,O=\u{1f600}',
        sans: ['DNS:a.example', 'URI:spiffe://a/b'],
        fingerprint: 'ab'.repeat(32),
      },
    },
  }),
  source({
    user: user(['admin'], {
      nested: nest(20),
      list: Array.from({ length: 200 }, (_, i) => i),
      nothing: null,
      text: '',
    }),
  }),
];

function nest(depth: number): unknown {
  return depth === 0 ? {} : { inner: [nest(depth - 1)] };
}

/** All probes of a policy: each request at each entrypoint. */
export function probesOf(policy: string, fields: readonly string[], entrypoints: number): readonly Probe[] {
  const encode = compileInput(policy, fields);
  const inputs = SOURCES.map(encode);
  return Array.from({ length: entrypoints }, (_, entrypoint) =>
    inputs.map((input) => ({ input, entrypoint, nowMs: NOW_MS })),
  ).flat();
}
