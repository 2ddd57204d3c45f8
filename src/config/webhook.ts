/** Whom a gateway tells of what happens to its bundles. */
import Type, { type Static } from 'typebox';
import { closed, Id, SecretPlace, word } from './fields.ts';

/** Kinds of entries of the audit log, by what they tell of. */
export const AUDIT_KINDS = [
  'started',
  'stopping',
  'channel',
  'activated',
  'rejected',
  'seed',
  'last_resort',
  'state',
  'passed_over',
  'trust',
  'trust_refused',
  'distrusted',
  'stale',
  'tried',
  'step',
  'cell',
  'superseded',
  'reverted',
  'released',
  'pinned',
  'unpinned',
  'admin',
] as const;
export type AuditKind = (typeof AUDIT_KINDS)[number];

export const WebhookConfig = closed(
  {
    id: Id('Name of the receiver, for logs and its queue.'),
    url: Type.String({
      pattern: '^https?://[^\\s]+$',
      maxLength: 2_048,
      description: 'Gets a POST for every event; plain http only to loopback.',
      examples: ['https://ops.example/hooks/cnx'],
    }),
    secretFrom: SecretPlace(
      'Key of the signature (HMAC-SHA256), shared with the receiver: the text itself, or base64 after `whsec_`',
    ),
    kinds: Type.Array(word([...AUDIT_KINDS], 'Kind of an entry of the audit log.'), {
      default: [],
      maxItems: 32,
      description: 'Kinds of events that are told; empty: all.',
    }),
  },
  'A receiver of events.',
);
export type WebhookConfig = Static<typeof WebhookConfig>;

export const WebhooksConfig = Type.Array(WebhookConfig, {
  default: [],
  maxItems: 8,
  description: 'Receivers of what happens to bundles (docs/rollout.md).',
});

/** What the schema cannot say, by the path of the field. */
export function webhookProblems(hooks: readonly WebhookConfig[], at: (path: string, message: string) => void): void {
  for (const [i, { id, url }] of hooks.entries()) {
    if (hooks.findIndex((other) => other.id === id) < i)
      at(`/webhooks/${i}/id`, `"${id}" is already the id of another receiver`);
    const parsed = URL.parse(url);
    if (parsed === null) at(`/webhooks/${i}/url`, 'is no URL');
    else if (parsed.protocol === 'http:' && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(parsed.hostname))
      at(`/webhooks/${i}/url`, 'plain http would show events to everybody on the way: use https');
  }
}
