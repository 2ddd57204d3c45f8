/** Policies: OPA modules that decide. */
import Type, { type Static } from 'typebox';
import { closed, Id, word } from './fields.ts';

const Entrypoint = Type.String({
  pattern: '^[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)+$',
  maxLength: 256,
  description: 'Package and rule, with slashes.',
  examples: ['authz/allow'],
});

export const PolicyConfig = closed(
  {
    name: Id('Name of the policy, unique in the bundle.'),
    source: Type.String({
      pattern: '^[A-Za-z0-9_./-]+\\.rego$',
      examples: ['policies/authz.rego'],
      maxLength: 255,
      description: 'Rego file, relative to the bundle directory. Its compiled module lies beside it as `.wasm`.',
    }),
    rego: word(['v0', 'v1'], 'Language version of the source.', 'v1'),
    version: Type.String({
      pattern: '^(0|[1-9][0-9]{0,5})\\.(0|[1-9][0-9]{0,5})\\.(0|[1-9][0-9]{0,5})$',
      default: '1.0.0',
      description:
        'Version of what it promises: fields of `input`, `entrypoints` and `result`. `--against` a former release none of these goes or changes without a new major version.',
      examples: ['1.2.0'],
    }),
    result: word(
      ['boolean', 'decision', 'either'],
      'What its rules answer: true or false, `{allow, reason}`, or now this and now that. Tried when the bundle is built.',
      'either',
    ),
    entrypoints: Type.Array(Entrypoint, {
      minItems: 1,
      maxItems: 32,
      description: 'Rules that routes may ask, e.g. `authz/allow`.',
    }),
    data: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9_./-]+\\.(json|yaml|yml)$',
        examples: ['policies/authz-data.json'],
        maxLength: 255,
        description: 'Data document, relative to the bundle directory.',
      }),
    ),
    input: Type.Array(Type.String({ minLength: 1, maxLength: 128, description: 'Field of the input.' }), {
      minItems: 1,
      maxItems: 64,
      description:
        'Fields of the request that the policy sees (docs/policy.md): only these are sent, for evaluation costs about 4 µs per KB of input.',
    }),
    coverageMin: Type.Integer({
      minimum: 0,
      maximum: 100,
      default: 100,
      description:
        'Where tests lie beside the source (`<same>_test.rego`): least share of its lines that they must reach when the bundle is built. Unit: percent.',
    }),
    pure: Type.Boolean({
      default: false,
      description: 'The same input always gives the same decision: it may be cached.',
    }),
    cacheEntries: Type.Integer({
      minimum: 0,
      maximum: 1_000_000,
      default: 10_000,
      description: 'Decisions kept per lane when pure.',
    }),
    memoryPagesMax: Type.Integer({
      minimum: 32,
      maximum: 4_096,
      default: 512,
      description: 'Largest memory of an instance. Unit: pages of 64 KiB.',
    }),
  },
  'A policy.',
);
export type PolicyConfig = Static<typeof PolicyConfig>;

export const PoliciesConfig = closed(
  { policies: Type.Array(PolicyConfig, { maxItems: 64, description: 'All policies.' }) },
  '`policies.yaml`: what decides.',
);
export type PoliciesConfig = Static<typeof PoliciesConfig>;
