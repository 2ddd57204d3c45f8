/** Compression of a route's answers: equal settings become one plan, so that a lane tells its transport of each only once. */
import type { CompressConfig } from '../../config/compress.ts';
import type { CompressPlan } from '../../snapshot/route-plans.ts';
import type { Report } from './report.ts';

/** Different settings in one bundle. A transport knows several times as many, so that those of former bundles still count. */
export const COMPRESSIONS_MAX = 64;

export class Compressions {
  readonly #report: Report;
  readonly #supported: boolean;
  readonly #known = new Set<string>();

  /** `supported`: the transport can. */
  constructor(supported: boolean, report: Report) {
    this.#supported = supported;
    this.#report = report;
  }

  /** The plan of a route; absent: none. `path`: JSON Pointer of the route. */
  plan(config: CompressConfig | undefined, path: string): { readonly compress?: CompressPlan } {
    if (config === undefined) return {};
    const at = `${path}/compress`;
    if (!this.#supported) {
      const mend = 'take `transport: native` in the bootstrap, or leave out `compress`';
      this.#report('routes', at, `the transport uws does not compress answers; ${mend}`);
    }
    const { algorithms, types, bytesMin, levels } = config;
    const key = JSON.stringify([algorithms, types, bytesMin, levels.gzip, levels.br, levels.zstd]);
    this.#known.add(key);
    if (this.#known.size === COMPRESSIONS_MAX + 1) {
      this.#report(
        'routes',
        at,
        `more than ${COMPRESSIONS_MAX} different settings of \`compress\`; let routes share some`,
      );
    }
    return { compress: { key, algorithms, types, bytesMin, levels } };
  }
}
