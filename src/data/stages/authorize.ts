/** authorize: may this request do that? The route's policy decides; what is not a clear yes is a no. */
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { OUTCOME_WORDS, Outcome } from '../../policy/outcome.ts';
import { type Exchange, PolicyOutcome } from '../exchange.ts';
import { ExchangeInput, type OpenPolicy, openPolicies } from '../policies.ts';
import { REFUSALS } from '../refusal.ts';
import type { Stage } from '../stage.ts';
import { Verdict } from '../verdict.ts';

export class AuthorizeStage implements Stage {
  readonly #input = new ExchangeInput();
  /** By snapshot, for exchanges of an older one may still be on their way. */
  readonly #opened = new WeakMap<Snapshot, readonly OpenPolicy[]>();
  #snapshot: Snapshot | null = null;
  #policies: readonly OpenPolicy[] = [];

  /** Instantiates the policies of a snapshot. To be called when a lane opens it, so that no request pays for it; called again, it does nothing. */
  open(snapshot: Snapshot): readonly OpenPolicy[] {
    const known = this.#opened.get(snapshot);
    if (known !== undefined) return known;
    const policies = openPolicies(snapshot);
    this.#opened.set(snapshot, policies);
    return policies;
  }

  enter(x: Exchange): Verdict {
    const route = x.route;
    // Control lets only public routes be without a policy.
    if (route === null || route.policy < 0) return Verdict.Next;
    const snapshot = x.revision.snapshot;
    if (snapshot !== this.#snapshot) {
      this.#policies = this.open(snapshot);
      this.#snapshot = snapshot;
    }
    const policy = this.#policies[route.policy];
    if (policy === undefined || typeof policy === 'string') {
      x.policy = PolicyOutcome.Failed;
      return x.refuse(REFUSALS.policy_failed, policy ?? `there is no policy ${route.policy}`);
    }
    this.#input.x = x;
    const outcome = policy.decide(this.#input, route.entrypoint);
    if (outcome === Outcome.Allow) {
      x.policy = policy.cached ? PolicyOutcome.AllowedCached : PolicyOutcome.Allowed;
      return Verdict.Next;
    }
    const name = snapshot.policies[route.policy]?.name ?? '';
    if (outcome === Outcome.Deny) {
      x.policy = policy.cached ? PolicyOutcome.DeniedCached : PolicyOutcome.Denied;
      return x.refuse(
        REFUSALS.policy_denied,
        policy.reason === '' ? `policy ${name}` : `policy ${name}: ${policy.reason}`,
      );
    }
    x.policy = PolicyOutcome.Failed;
    return x.refuse(REFUSALS.policy_failed, `policy ${name}: ${OUTCOME_WORDS[outcome] ?? ''}: ${policy.detail}`);
  }
}
