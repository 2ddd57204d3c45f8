/** The guardrail of a gateway: a policy over what a new bundle changes. Local, so that who signs bundles cannot loosen it. */
import Type, { type Static } from 'typebox';
import { closed, LocalPath } from './fields.ts';

export const GuardrailConfig = closed(
  {
    moduleFile: LocalPath('Policy, compiled by `opa build -t wasm`; read anew for every bundle.'),
    moduleSha256: Type.Optional(
      Type.String({
        pattern: '^[0-9a-f]{64}$',
        description: 'SHA-256 that the module must have, hex.',
        examples: ['e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
      }),
    ),
    dataFile: Type.Optional(LocalPath('JSON: what the policy has as `data`.')),
    entrypoint: Type.String({
      pattern: '^[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)+$',
      maxLength: 256,
      default: 'guardrail/deny',
      description:
        'Rule that holds the reasons against a bundle, a set of texts: while it is empty, the bundle may serve.',
      examples: ['guardrail/deny'],
    }),
  },
  'What new bundles may change: a policy over the difference to the one that serves (docs/guardrail.md). What is not a clear yes rejects the bundle.',
);
export type GuardrailConfig = Static<typeof GuardrailConfig>;
