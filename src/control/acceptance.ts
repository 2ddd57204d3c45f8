/** Who has the last word about a bundle that compiles: its own tests, then the guardrail. Off the request path; nothing has changed when one of them says no. */
import { renderProblem } from '../config/document.ts';
import type { GuardrailConfig } from '../config/guardrail.ts';
import { type ActiveConfig, ActivationError, type Candidate } from './activator.ts';
import { changeOf, type ChangeSide } from './guardrail/change.ts';
import { askGuardrail } from './guardrail/guardrail.ts';
import { rehearse, RehearsalError } from './rehearsal/rehearse.ts';

/** Gives what throws ActivationError for a bundle that must not serve. */
export function acceptanceBy(guardrail: GuardrailConfig | undefined): (candidate: Candidate) => Promise<void> {
  return async (candidate) => {
    await playTests(candidate);
    if (guardrail === undefined) return;
    const { bundle, active } = candidate;
    const change = changeOf(
      active === null ? null : sideOf(active),
      sideOf(candidate),
      bundle.direction === 'rollback' ? 'rollback' : 'forward',
    );
    const reasons = await askGuardrail(guardrail, change);
    if (reasons.length > 0) throw new ActivationError('guardrail', reasons.join('\n'));
  };
}

async function playTests({ config, documents, snapshot }: Candidate): Promise<void> {
  try {
    const failed = await rehearse(config, documents, snapshot);
    if (failed.length > 0) throw new ActivationError('tests', failed.map(renderProblem).join('\n'));
  } catch (error) {
    if (!(error instanceof RehearsalError)) throw error;
    throw new ActivationError('activate', error.message, { cause: error });
  }
}

function sideOf({ bundle, subject }: ActiveConfig): ChangeSide {
  const { seq, floor } = bundle.release;
  return { end: { digest: bundle.digest, seq, floor }, subject };
}
