/** Who has the last word about a bundle that compiles: its own tests. Off the request path; nothing has changed when they say no. */
import { renderProblem } from '../config/document.ts';
import { ActivationError, type Candidate } from './activator.ts';
import { rehearse, RehearsalError } from './rehearsal/rehearse.ts';

/** Throws ActivationError for a bundle that must not serve. */
export async function accept({ config, documents, snapshot }: Candidate): Promise<void> {
  try {
    const failed = await rehearse(config, documents, snapshot);
    if (failed.length > 0) throw new ActivationError('tests', failed.map(renderProblem).join('\n'));
  } catch (error) {
    if (!(error instanceof RehearsalError)) throw error;
    throw new ActivationError('activate', error.message, { cause: error });
  }
}
