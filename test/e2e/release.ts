/** Bundles that tests of rollouts bring to gateways. */
import { type BundleParts, plainBundle } from '../harness/bundle.ts';

/** Answers say which release they are of; tenants come from a header. `bad`: one path in five fails. */
export function release(address: string, n: number, bad = false): BundleParts {
  const route = (id: string, prefix: string, respond: object = {}): object => ({
    id,
    match: { path: { prefix } },
    access: 'public',
    reason: 'everything, for a test',
    tenant: { header: 'x-tenant' },
    cell: 'one',
    respond: { answerHeaders: { set: { 'x-release': String(n) } }, ...respond },
  });
  const routes = [route('all', '/'), ...(bad ? [route('bad', '/b', { addPrefix: '/status/503' })] : [])];
  return plainBundle([address], { routes: { routes } });
}
