/** Policies for bundles of tests: source, module and record as they lie in the fixtures, so that no compiler is needed. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const FIXTURES = join(import.meta.dirname, '../fixtures/policy');

export interface BundlePolicy {
  /** The entry of `policies.yaml`. */
  readonly entry: object;
  /** Its files, by path in the bundle. */
  readonly files: Readonly<Record<string, Uint8Array>>;
}

/** The small role policy: anyone may GET `/public`, the role `admin` may POST. `input`: what it is shown. */
export function rolesPolicy(name: string, input: readonly string[] = ['method', 'path', 'user.role']): BundlePolicy {
  return fixturePolicy(name, 'roles-v0', { rego: 'v0', entrypoints: ['authz/allow'], input, pure: true });
}

export function fixturePolicy(name: string, fixture: string, entry: object): BundlePolicy {
  const files = ['rego', 'wasm', 'wasm.json'].map((end): [string, Uint8Array] => [
    `policies/${fixture}.${end}`,
    new Uint8Array(readFileSync(join(FIXTURES, `${fixture}.${end}`))),
  ]);
  return { entry: { name, source: `policies/${fixture}.rego`, ...entry }, files: Object.fromEntries(files) };
}
