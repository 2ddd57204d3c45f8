/** OPA's own SDK, by which our driver is judged. Its ES module exports one default object, and its types say otherwise, so it is required. */
import { createRequire } from 'node:module';
import { BUILTINS } from '../../src/policy/builtins.ts';
import type { OpaSpec } from '../../src/policy/opa-instance.ts';

interface LoadedPolicy {
  setData(data: unknown): void;
  evaluate(input: unknown, entrypoint: string): { result: unknown }[];
}
type Loader = (
  module: WebAssembly.Module,
  memory: { initial: number },
  builtins: Record<string, (...args: unknown[]) => unknown>,
) => LoadedPolicy;

const sdk = createRequire(import.meta.url)('@open-policy-agent/opa-wasm') as { loadPolicySync: Loader };

/** The policy under the SDK, with our built-ins (the SDK's own `sprintf` comes before ours). */
export function oracle(spec: OpaSpec, nowMs = 0): LoadedPolicy {
  const builtins = Object.fromEntries(
    [...BUILTINS].map(([name, builtin]) => [
      name,
      (...args: unknown[]) => {
        const text = builtin.call(args, { nowMs });
        return text === undefined ? undefined : (JSON.parse(text) as unknown);
      },
    ]),
  );
  const policy = sdk.loadPolicySync(spec.module, { initial: 64 }, builtins);
  if (spec.data !== '') policy.setData(JSON.parse(spec.data));
  return policy;
}
