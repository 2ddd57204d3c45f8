/** The stages of one lane, with what they stand on. One instance each; what belongs to a revision hangs on the revision. */
import type { Addon } from '../../native.ts';
import type { EndpointColumns } from '../../snapshot/endpoint-columns.ts';
import type { LaneSetup } from '../../snapshot/messages.ts';
import { Mode, ModeWord } from '../../snapshot/mode.ts';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { StageName } from '../../snapshot/stages.ts';
import type { CachePurge } from '../../snapshot/messages.ts';
import { UpstreamPaths } from '../answers/upstream-target.ts';
import { Authenticator } from '../authn/authenticator.ts';
import { ResponseCache } from '../cache/cache.ts';
import { Limits } from '../limits.ts';
import type { Overload } from '../overload/overload.ts';
import type { Stage, Wake } from '../stage.ts';
import { AdmitStage } from '../stages/admit.ts';
import { AuthenticateStage, openAuthn } from '../stages/authenticate.ts';
import { AuthorizeStage } from '../stages/authorize.ts';
import { Balance } from '../stages/balance.ts';
import { Forward } from '../stages/forward.ts';
import type { MirrorTold } from '../mirror/mirroring.ts';
import { Mirrors } from '../mirror/mirrors.ts';
import { LimitStage } from '../stages/limit.ts';
import { MatchStage } from '../stages/match.ts';
import { Normalize } from '../stages/normalize.ts';
import { Respond } from '../stages/respond.ts';
import { Route } from '../stages/route.ts';
import { WafStage } from '../stages/waf.ts';
import { Chooser } from '../upstream/choose.ts';
import type { EndpointUse } from '../upstream/endpoint-use.ts';
import { WafPoolClient } from '../waf/pool-client.ts';
import { Refreshes } from './refreshes.ts';
import { Revision } from './revision.ts';

export interface LaneStagesParts {
  readonly setup: Pick<LaneSetup, 'laneCount' | 'wafPort' | 'cache' | 'mode'>;
  readonly native: Addon;
  readonly columns: EndpointColumns;
  readonly use: EndpointUse;
  readonly overload: Overload;
  readonly wake: Wake;
  readonly askForKeys: (jwksUrl: string) => void;
  /** The other lanes must forget this too. */
  readonly invalidated: (purge: CachePurge) => void;
  /** How the answers of a request and of its copy compare. */
  readonly mirrored: MirrorTold;
  /** Monotonic ms. */
  readonly tick: () => number;
}

export class LaneStages {
  readonly table: Readonly<Record<StageName, Stage>>;
  readonly authenticator: Authenticator;
  readonly wafPool: WafPoolClient;
  readonly cache: ResponseCache;
  readonly #refreshes: Refreshes;
  readonly #mirrors: Mirrors;
  readonly #authorize = new AuthorizeStage();

  constructor(parts: LaneStagesParts) {
    const { setup, native, wake } = parts;
    const limits = new Limits(native);
    this.authenticator = new Authenticator(wake, parts.askForKeys, Date.now);
    this.wafPool = new WafPoolClient(setup.wafPort, wake);
    const waf = new WafStage(native, this.wafPool);
    const chooser = new Chooser(parts.columns, setup.laneCount);
    this.#refreshes = new Refreshes(chooser);
    const paths = new UpstreamPaths(native);
    this.#mirrors = new Mirrors(chooser, parts.mirrored, parts.tick);
    const mode = new ModeWord(setup.mode);
    this.cache = new ResponseCache({
      ...setup.cache,
      degraded: () => mode.now !== Mode.Normal,
      wake,
      later: setImmediate,
      tell: parts.invalidated,
      pathUpstream: (x) => paths.of(x),
      refresh: (x, refresh) => mode.now !== Mode.Survival && this.#refreshes.begin(x, refresh),
    });
    this.table = {
      normalize: new Normalize(),
      match: new MatchStage(native),
      admit: new AdmitStage(limits, parts.overload),
      waf,
      authenticate: new AuthenticateStage(this.authenticator),
      limit: new LimitStage(limits),
      authorize: this.#authorize,
      route: new Route(paths, this.#mirrors, parts.use.latency),
      balance: new Balance(chooser, parts.use, this.cache, mode, () => parts.overload.shed > 0),
      respond: new Respond(paths, waf.answers),
      forward: new Forward(),
    };
  }

  /** A snapshot as this lane runs it. */
  open(snapshot: Snapshot): Revision {
    this.#authorize.open(snapshot);
    return new Revision(snapshot, { authn: openAuthn(snapshot, this.authenticator) });
  }

  /** Endpoints that live snapshots have. */
  retain(endpoints: readonly EndpointPlan[]): void {
    this.#refreshes.retain(endpoints);
    this.#mirrors.retain(endpoints);
  }

  close(): void {
    this.#refreshes.close();
    this.#mirrors.close();
    this.wafPool.close();
  }
}
