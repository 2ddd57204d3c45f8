/** What operators ask of one gateway, written down before it is done. */
import type { RolloutActions } from '../../admin/control-view.ts';
import type { Journal } from '../audit/journal.ts';
import type { Overrides } from './overrides.ts';

export function rolloutActions(
  journal: Journal,
  overrides: Overrides,
  unwritten: RolloutActions['unwritten'],
): RolloutActions {
  return {
    unwritten,
    rollBack: (reason) => {
      journal.asked('rollback', { reason });
      return overrides.rollBack(reason);
    },
    pin: (digest, forMs, reason, again) => {
      journal.asked('pin', { digest, forMs, reason, ...(again ? { again } : {}) });
      return overrides.pinTo(digest, forMs, reason, again);
    },
    unpin: (reason) => {
      journal.asked('unpin', { reason });
      return overrides.unpin(reason);
    },
  };
}
