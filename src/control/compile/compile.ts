/**
 * From a checked bundle to a snapshot: everything that can be wrong is found here, off the lanes, and all at once. What is native (router, WAF) is registered
 * for the whole process and given back with `release` when no lane uses the snapshot any more.
 */
import type { BundleConfig, Part } from '../../config/bundle.ts';
import { ConfigError, type Document, type Problem } from '../../config/document.ts';
import type { Addon } from '../../native.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { BundleFiles } from '../build/bundle-directory.ts';
import type { EndpointSlots } from '../health/slots.ts';
import { compileCells } from './cells.ts';
import { Compressions } from './compress.ts';
import { compileDegradation } from './degradation.ts';
import type { CellSource } from './endpoint-template.ts';
import { compileIssuers } from './issuers.ts';
import { compileLimits } from './limits.ts';
import { compilePolicies } from './policies.ts';
import { type CompiledRoutes, compileRoutes } from './routes.ts';
import { type SecretReader, secretReader } from './secrets.ts';
import { WafCompiler } from './waf.ts';

/** `check`: nothing will run; every secret counts as mapped. */
export type CompileFor =
  | { readonly kind: 'check' }
  | {
      readonly kind: 'run';
      readonly revision: number;
      readonly digest: string;
      readonly seq: number;
      readonly secrets: ReadonlyMap<string, string>;
      /** The transport speaks HTTP/2 to endpoints. */
      readonly http2: boolean;
      /** False: the transport cannot answer from what is stored. */
      readonly cache?: boolean;
      /** Where the gateway stands; absent: nobody said. */
      readonly zone?: string;
      /** Endpoints files that the bootstrap maps; absent: any. */
      readonly endpointFiles?: ReadonlySet<string>;
    };

export interface Compiled {
  /** With those endpoints that have an address. */
  readonly snapshot: Snapshot;
  /** Where further endpoints come from. */
  readonly sources: readonly CellSource[];
  /** Gives back what is registered natively and the endpoints' slots. Call it when no lane uses the snapshot any more. */
  release(): void;
}

/** Stands for any secret when nothing will run. */
const ANY_SECRET = 'x'.repeat(64);

/** Throws `ConfigError` with every problem. */
export async function compileBundle(
  config: BundleConfig,
  documents: ReadonlyMap<Part, Document>,
  files: BundleFiles,
  purpose: CompileFor,
  native: Addon,
  slots: EndpointSlots,
): Promise<Compiled> {
  const problems: Problem[] = [];
  const told = new Set<string>();
  const report = (part: Part, path: string, message: string): void => {
    // What `defaults.yaml` says is compiled for each of its routes.
    const what = `${part} ${path} ${message}`;
    if (told.has(what)) return;
    told.add(what);
    const doc = documents.get(part);
    problems.push(doc === undefined ? { file: part, line: 0, column: 0, path, message } : doc.problem(path, message));
  };
  const secret: SecretReader = purpose.kind === 'check' ? () => ANY_SECRET : secretReader(purpose.secrets, report);
  const wafWritten = documents.get('waf')?.value as { readonly mode?: unknown } | null | undefined;
  const waf = new WafCompiler(native, config, files, report, wafWritten?.mode !== undefined);
  const policies = await compilePolicies(config.policies, files.modules, report);
  const cells = compileCells(config.cells, {
    slots,
    report,
    secret,
    checkOnly: purpose.kind === 'check',
    http2: purpose.kind === 'run' && purpose.http2,
    ...(purpose.kind === 'run' && purpose.zone !== undefined ? { zone: purpose.zone } : {}),
    ...(purpose.kind === 'run' && purpose.endpointFiles !== undefined ? { endpointFiles: purpose.endpointFiles } : {}),
  });
  const limits = compileLimits(config.limits);
  const issuers = compileIssuers(config.issuers, secret, report);
  // What checks a bundle knows no transport; `cache` says whether there is a native one.
  const isNative = purpose.kind === 'check' || purpose.cache !== false;
  const routes = compileRoutes({
    config,
    native,
    waf,
    secret,
    report,
    web: files.web ?? [],
    cache: isNative,
    compressions: new Compressions(isNative, report),
  });
  const release = (): void => {
    routes.release();
    waf.release();
    cells.release();
  };
  if (problems.length > 0) {
    release();
    throw new ConfigError(problems);
  }
  const run = purpose.kind === 'run' ? purpose : { revision: 0, digest: '', seq: 0 };
  const snapshot: Snapshot = {
    revision: run.revision,
    digest: run.digest,
    seq: run.seq,
    router: routes.router,
    rewrites: routes.rewrites,
    ...staticsOf(routes),
    routes: routes.table,
    highestClass: routes.highestClass,
    waf: waf.program,
    wafLimits: { laneBytesMax: config.waf.laneBytesMax, readsTls: waf.readsTls },
    issuers,
    limits,
    policies,
    cells: cells.cells,
    endpoints: cells.endpoints,
    ring: cells.ring,
    pins: cells.pins,
    ...(cells.regions === undefined ? {} : { regions: cells.regions }),
    ...(config.defaults.degradation === undefined
      ? {}
      : { degradation: compileDegradation(config.defaults.degradation) }),
    trust: { forwardedFrom: config.defaults.forwardedFrom },
    observe: {
      accessLogSample: config.defaults.accessLogSample,
      maskedQuery: config.defaults.maskedQuery.map((q) => q.toLowerCase()),
    },
  };
  return { snapshot, sources: cells.sources, release };
}

function staticsOf({ statics, pages }: CompiledRoutes): Pick<Snapshot, 'files' | 'pages' | 'pagesOfNoRoute'> {
  const files = statics.table();
  return {
    ...(files === undefined ? {} : { files }),
    ...(statics.pages.length === 0 ? {} : { pages: statics.pages, pagesOfNoRoute: pages }),
  };
}
