/** What a policy may answer, declared for those who write policies: `config/policy-result.schema.json` is this object as text. decision.ts reads it. */
import { REASON_LENGTH_MAX } from './outcome.ts';

const BOOLEAN = { type: 'boolean', description: 'True: the request passes.' };
const DECISION = {
  type: 'object',
  required: ['allow'],
  additionalProperties: false,
  properties: {
    allow: BOOLEAN,
    reason: {
      type: 'string',
      maxLength: REASON_LENGTH_MAX,
      description: 'Why; goes into the decision record and the log, never to the client.',
    },
  },
};

/** By what a policy says under `result`. */
export const RESULT_SCHEMAS = { boolean: BOOLEAN, decision: DECISION, either: { anyOf: [BOOLEAN, DECISION] } } as const;

/** Text of `config/policy-result.schema.json`. */
export function policyResultSchemaText(): string {
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Result of a policy',
    description: 'Everything else, and no value at all, is a failure and refuses the request.',
    ...RESULT_SCHEMAS.either,
    $defs: { boolean: BOOLEAN, decision: DECISION },
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}
