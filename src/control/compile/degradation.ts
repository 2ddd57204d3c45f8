/** Dependencies as control watches them. */
import type { DegradationConfig } from '../../config/degradation.ts';
import type { DegradationPlan, DependencyPlan } from '../../snapshot/snapshot.ts';

export function compileDegradation(config: DegradationConfig): DegradationPlan {
  return {
    ...config,
    dependencies: config.dependencies.map(({ name, for: purpose, critical, watch }): DependencyPlan => {
      const kinds = ['issuer', 'cell', 'address', 'part'] as const;
      const kind = kinds.find((k) => watch[k] !== undefined) ?? 'part';
      return { name, for: purpose, critical, watch: { kind, of: watch[kind] ?? '' } };
    }),
  };
}
