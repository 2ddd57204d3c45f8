/** What a bundle says, as it is compared with another one: everything by name, with defaults filled in, and files by their digests. */
import { createHash } from 'node:crypto';
import type { BundleConfig } from '../../config/bundle.ts';
import type { BundleFiles } from '../build/bundle-directory.ts';

type Rows = Readonly<Record<string, object>>;

export interface Subject {
  readonly routes: Rows;
  readonly cells: Rows;
  readonly issuers: Rows;
  readonly limits: Rows;
  /** With `module`, the SHA-256 of what decides, and `data_sha256`. */
  readonly policies: Rows;
  /** Rules, phrase files and files that are served: by path, `{sha256}`. */
  readonly files: Rows;
  /** `cells.yaml` without its cells: pins and regions of tenants. */
  readonly tenants: object;
  readonly waf: object;
  readonly defaults: object;
}

export function subjectOf(config: BundleConfig, files: BundleFiles): Subject {
  const { cells, ...tenants } = config.cells;
  const held = [...files.seclang, ...files.seclangData, ...(files.web ?? [])];
  return {
    routes: byName(config.routes.routes, (route) => route.id),
    cells: byName(cells, (cell) => cell.id),
    issuers: byName(config.issuers.issuers, (issuer) => issuer.id),
    limits: byName(config.limits.limits, (limit) => limit.id),
    policies: byName(
      config.policies.policies.map((policy) => {
        const module = files.modules.get(policy.name);
        return module === undefined
          ? policy
          : { ...policy, module: sha256(module.wasm), data_sha256: sha256(Buffer.from(module.data)) };
      }),
      (policy) => policy.name,
    ),
    files: Object.fromEntries(held.map(({ name, bytes }) => [name, { sha256: sha256(bytes) }])),
    tenants,
    waf: config.waf,
    defaults: config.defaults,
  };
}

function byName<T extends object>(list: readonly T[], name: (item: T) => string): Record<string, T> {
  return Object.fromEntries(list.map((item) => [name(item), item]));
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
