/** The stages of a lane by their names, and the call of the one that an exchange is at. */
import { type StageName, STAGES } from '../snapshot/stages.ts';
import type { Exchange } from './exchange.ts';
import type { Stage } from './stage.ts';
import type { Verdict } from './verdict.ts';

export type StageTable = Readonly<Record<StageName, Stage>>;

/** Enters the stage `x.at`. A line for each: V8 calls straight what it has seen a line call, but looks the method up anew, every time, where one line calls all of them. */
export function enterStage(stages: StageTable, x: Exchange): Verdict {
  switch (STAGES[x.at] as StageName) {
    case 'normalize':
      return stages.normalize.enter(x);
    case 'match':
      return stages.match.enter(x);
    case 'admit':
      return stages.admit.enter(x);
    case 'waf':
      return stages.waf.enter(x);
    case 'authenticate':
      return stages.authenticate.enter(x);
    case 'limit':
      return stages.limit.enter(x);
    case 'authorize':
      return stages.authorize.enter(x);
    case 'route':
      return stages.route.enter(x);
    case 'balance':
      return stages.balance.enter(x);
    case 'respond':
      return stages.respond.enter(x);
    case 'forward':
      return stages.forward.enter(x);
  }
}
