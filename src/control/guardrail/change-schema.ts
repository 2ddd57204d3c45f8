/** JSON Schema of a guardrail's input and answer: `config/guardrail-input.schema.json`, made by `npm run generate`. Things are described where they are declared, in `gateway.schema.json`. */
import { NAMED_PARTS, WHOLE_PARTS } from './change.ts';

const IN_DOCUMENTS = 'gateway.schema.json#/$defs';

/** Where a thing of each part is declared; absent: nowhere. */
const DECLARED: Readonly<Record<string, string>> = {
  routes: `${IN_DOCUMENTS}/routes/properties/routes/items`,
  cells: `${IN_DOCUMENTS}/cells/properties/cells/items`,
  issuers: `${IN_DOCUMENTS}/issuers/properties/issuers/items`,
  limits: `${IN_DOCUMENTS}/limits/properties/limits/items`,
  waf: `${IN_DOCUMENTS}/waf`,
  defaults: `${IN_DOCUMENTS}/defaults`,
};

const count = { type: 'integer', minimum: 0 };

function replaced(value: object): object {
  return {
    type: 'object',
    required: ['before', 'after', 'fields'],
    properties: {
      before: value,
      after: value,
      fields: { type: 'array', maxItems: 64, items: { type: 'string' }, description: 'JSON Pointers of what differs.' },
    },
  };
}

function part(name: string): object {
  const declared = DECLARED[name];
  const value = declared === undefined ? { type: 'object' } : { $ref: declared };
  const named = { type: 'object', additionalProperties: value };
  return {
    type: 'object',
    required: ['total', 'added', 'removed', 'changed'],
    properties: {
      total: { type: 'object', required: ['before', 'after'], properties: { before: count, after: count } },
      added: named,
      removed: named,
      changed: { type: 'object', additionalProperties: replaced(value) },
    },
  };
}

const END = {
  type: 'object',
  required: ['digest', 'seq', 'floor'],
  properties: {
    digest: { type: 'string', description: '`sha256:…`; empty for a directory.' },
    seq: count,
    floor: count,
  },
};

export function changeSchemaText(): string {
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'What a new bundle changes: input of a guardrail',
    description:
      'Things stand by their names, with defaults filled in; policies with the SHA-256 of module and data, files with theirs.',
    type: 'object',
    required: ['schema', 'active', 'candidate', 'direction', ...NAMED_PARTS, ...WHOLE_PARTS],
    properties: {
      schema: { const: 1 },
      active: { anyOf: [{ type: 'null', description: 'Nothing serves yet.' }, END] },
      candidate: END,
      direction: { enum: ['forward', 'rollback'] },
      ...Object.fromEntries(NAMED_PARTS.map((name) => [name, part(name)])),
      ...Object.fromEntries(
        WHOLE_PARTS.map((name) => {
          const declared = DECLARED[name];
          return [name, replaced(declared === undefined ? { type: 'object' } : { $ref: declared })];
        }),
      ),
    },
    $defs: {
      answer: {
        description: 'What the entrypoint must be: reasons against the bundle; none lets it pass.',
        type: 'array',
        items: { type: 'string' },
      },
    },
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}
