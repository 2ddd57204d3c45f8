/** `POST /v1/rollout/rollback`, `pin` and `unpin`: what operators decide about the bundles of one gateway. */
import { type Answer, type Asked, json } from './answer.ts';
import type { RolloutActions } from './control-view.ts';

const REASON_CHARS_MAX = 200;

export async function rolloutAction(actions: RolloutActions, asked: Asked): Promise<Answer> {
  if (asked.method !== 'POST') return json('methodNotAllowed', { error: 'only POST here' }, { allow: 'POST' });
  const reason = (asked.query.get('reason') ?? '').slice(0, REASON_CHARS_MAX);
  if (reason === '') return json('badRequest', { error: 'say why: reason=<text>, for the audit log' });
  const done = (told: Record<string, unknown>): Answer => {
    const unwritten = actions.unwritten();
    return json('ok', unwritten === null ? told : { ...told, unwritten });
  };
  try {
    switch (asked.path) {
      case '/v1/rollout/rollback':
        return done({ serves: await actions.rollBack(reason) });
      case '/v1/rollout/pin': {
        const digest = asked.query.get('digest') ?? '';
        const until = await actions.pin(
          digest,
          Number(asked.query.get('forMs')),
          reason,
          asked.query.get('again') === 'true',
        );
        return done({ pinned: digest, until: new Date(until).toISOString() });
      }
      case '/v1/rollout/unpin':
        return done({ unpinned: await actions.unpin(reason) });
      default:
        return json('notFound', { error: 'here are /v1/rollout/rollback, pin and unpin' });
    }
  } catch (error) {
    // The sentence is for the operator; anything else is a fault of ours and told as such.
    if (error instanceof Error && error.name === 'OverrideRefused') return json('badRequest', { error: error.message });
    throw error;
  }
}
