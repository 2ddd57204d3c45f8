/** Policies: inspected, tried in a sandbox with a deadline, then given to lanes as shared modules. */
import type { PoliciesConfig } from '../../config/policy.ts';
import type { PolicyPlan } from '../../snapshot/snapshot.ts';
import type { PolicyModule } from '../build/policies.ts';
import { preparePolicies } from '../policy/prepare.ts';
import type { Report } from './report.ts';

export async function compilePolicies(
  config: PoliciesConfig,
  modules: ReadonlyMap<string, PolicyModule>,
  report: Report,
): Promise<readonly PolicyPlan[]> {
  const sources = [];
  for (const [i, p] of config.policies.entries()) {
    const module = modules.get(p.name);
    if (module === undefined) {
      report('policies', `/policies/${i}`, `the bundle holds no module of "${p.name}"`);
      continue;
    }
    const { name, entrypoints, input, pure, cacheEntries, memoryPagesMax, result } = p;
    sources.push({
      name,
      entrypoints,
      input,
      pure,
      cacheEntries,
      memoryPagesMax,
      ...(result === 'either' ? {} : { result }),
      wasm: module.wasm,
      data: module.data,
    });
  }
  const result = await preparePolicies(sources);
  if (result.ok) return result.policies;
  for (const error of result.errors) {
    const i = config.policies.findIndex((p) => p.name === error.policy);
    report('policies', `/policies/${i}`, error.what);
  }
  return [];
}
