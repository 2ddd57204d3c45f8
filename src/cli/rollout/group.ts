/** A group of gateways, asked how they stand to a candidate. */
import type { Status } from '../../admin/admin-server.ts';
import { ask, ASK_TIMEOUT_MS, isOk, urlOf } from '../../admin/client.ts';
import { answerOf, errorOf } from '../explain.ts';
import type { Heard, Standing } from './decide.ts';

/** Gateways of one group, and how many are asked at once. */
export const GROUP_MAX = 256;
const ASKED_AT_ONCE = 16;
/** A bundle is fetched, compiled and given to all lanes before a poll that was asked for answers. */
const POLL_TIMEOUT_MS = 15_000;

export interface Group {
  readonly urls: readonly string[];
  readonly token: string | null;
}

/** What every gateway says, in the order of the group. Never rejects: who does not answer is a standing too. */
export async function hear(group: Group, index: string | null, candidate: string): Promise<Heard[]> {
  return each(group.urls, async (url) => {
    try {
      const answer = await ask(urlOf(url, 'v1/status'), group.token, ASK_TIMEOUT_MS);
      if (!isOk(answer.status)) return unheard(url, errorOf(answer.body, answer.status));
      const status = answerOf(answer) as Status;
      return { url, id: status.gateway?.id ?? '', standing: standingOf(status, index, candidate) };
    } catch (error) {
      return unheard(url, error instanceof Error ? error.message : String(error));
    }
  });
}

/** Asks all to look at the source now. Who does not is seen by what it says next. Resolves with those that did not. */
export async function pollAll(group: Group): Promise<string[]> {
  const failures = await each(group.urls, async (url) => {
    try {
      const answer = await ask(urlOf(url, 'v1/poll'), group.token, POLL_TIMEOUT_MS, 'POST');
      return isOk(answer.status) ? null : `${url}: ${errorOf(answer.body, answer.status)}`;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  });
  return failures.filter((failure) => failure !== null);
}

function unheard(url: string, detail: string): Heard {
  return { url, id: '', standing: { state: 'unheard', detail } };
}

/** How a gateway stands to a candidate under the index that the tag names; null: it names none. */
export function standingOf(status: Status, index: string | null, candidate: string): Standing {
  const { bundle, channel, source, rollout, pin } = status;
  if (index === null || channel === null || channel === undefined || channel.digest !== index) {
    const why = source.lastError ?? source.state;
    return { state: 'behind', detail: `it has not followed the newest index yet (${why})` };
  }
  const serves = bundle !== null && bundle.digest === candidate;
  if (channel.bundle !== candidate) return { state: serves || rollout?.digest === candidate ? 'leaving' : 'others' };
  // What was refused before this index counted here is no answer to it. Both times are the gateway's own.
  // The first of them is the cause.
  const objection = status.rejections.findLast(
    (r) => r.digest === candidate && Date.parse(r.at) >= Date.parse(channel.takenAt) && isFinal(r.step, r.reason),
  );
  if (objection !== undefined) return { state: 'refused', detail: `${objection.step}: ${objection.reason}` };
  if (pin !== null) return { state: 'waiting', detail: `an operator pinned it to ${pin.digest} until ${pin.until}` };
  if (rollout?.digest === candidate) {
    const { step, steps, share, waitsFor } = rollout;
    const waits = waitsFor === null ? '' : `, waits for ${waitsFor}`;
    return {
      state: 'trying',
      detail: `${share * 100} % of identities see it (step ${step} of ${steps.length})${waits}`,
    };
  }
  if (!serves) return { state: 'waiting', detail: `it does not run it yet (${source.lastError ?? source.state})` };
  const nowMs = Date.parse(status.startedAt) + status.uptimeSeconds * 1000;
  return { state: 'serving', forMs: Math.max(0, nowMs - Date.parse(bundle.activatedAt)) };
}

/** Codes of refusals that say nothing about the bundle, or that end by themselves. */
const PASSING = new Set([
  'pinned',
  'unsigned',
  'wrong_key',
  'bad_signature',
  'revoked_key',
  'expired_key',
  'below_threshold',
  'digest_mismatch',
  'size_mismatch',
  'media_type_mismatch',
]);

/** Whether a gateway that said so will not run these bytes. Lanes that could not take it are asked again. */
function isFinal(step: string, reason: string): boolean {
  if (step === 'activate') return false;
  return step !== 'verify' || !PASSING.has(reason.split(':', 1)[0] ?? '');
}

async function each<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let i = 0; i < items.length; i += ASKED_AT_ONCE)
    results.push(...(await Promise.all(items.slice(i, i + ASKED_AT_ONCE).map(run))));
  return results;
}
