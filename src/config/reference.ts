/** The reference of the configuration and its JSON Schema, made from the declarations: what is written there is what is checked. */
import type { TSchema } from 'typebox';
import { BootstrapConfig } from './bootstrap.ts';
import { PARTS } from './bundle.ts';
import { ReleaseConfig } from './release.ts';
import { TrustConfig } from './trust.ts';

interface Shape {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly patternProperties?: Readonly<Record<string, Shape>>;
  readonly items?: Shape;
}

/** Every document, in the order of the reference. */
const DOCUMENTS: readonly (readonly [string, TSchema])[] = [
  ['gateway', BootstrapConfig],
  ['trust', TrustConfig],
  ['release', ReleaseConfig],
  ...Object.entries(PARTS).map(([name, part]) => [name, part.schema] as const),
];

/** One JSON Schema with a definition per document, for editors: `$ref: gateway.schema.json#/$defs/routes`. */
export function gatewaySchema(): object {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'CloudNexus Gateway configuration',
    $defs: Object.fromEntries(DOCUMENTS),
  };
}

function bounds(s: Shape): string {
  const parts: string[] = [];
  if (s.enum !== undefined) parts.push(s.enum.map((v) => `\`${String(v)}\``).join(' \\| '));
  if (s.minimum !== undefined || s.maximum !== undefined) parts.push(`${s.minimum ?? '…'} – ${s.maximum ?? '…'}`);
  if (s.minItems !== undefined || s.maxItems !== undefined)
    parts.push(`${s.minItems ?? 0} – ${s.maxItems ?? '…'} items`);
  if (s.maxLength !== undefined) parts.push(`≤ ${s.maxLength} characters`);
  if (s.pattern !== undefined) parts.push(`\`${s.pattern.replaceAll('|', '\\|')}\``);
  return parts.join('; ');
}

function rows(s: Shape, path: string, out: string[]): void {
  for (const [name, child] of Object.entries(s.properties ?? {})) {
    const here = path === '' ? name : `${path}.${name}`;
    const need = s.required?.includes(name) === true && child.default === undefined;
    const fallback =
      child.default === undefined ? (need ? '**required**' : '') : `\`${JSON.stringify(child.default)}\``;
    const text = (child.description ?? '').replaceAll('|', '\\|');
    out.push(
      `| \`${here}\` | ${child.enum === undefined ? [child.type ?? ''].flat().join(' or ') : 'word'} | ${fallback} | ${bounds(child.items?.enum === undefined ? child : child.items)} | ${text} |`,
    );
    rows(child, here, out);
    if (child.items !== undefined) rows(child.items, `${here}[]`, out);
    for (const value of Object.values(child.patternProperties ?? {})) rows(value, `${here}.<name>`, out);
  }
}

/** The reference as Markdown. */
export function configReference(): string {
  const parts = DOCUMENTS.map(([name, schema]) => {
    const out: string[] = [];
    const shape = schema as Shape;
    rows(shape, '', out);
    return `## ${name}.yaml\n\n${shape.description ?? ''}\n\n| field | type | default | bounds | meaning |\n|---|---|---|---|---|\n${out.join('\n')}\n`;
  });
  return `# Configuration

Made from the declarations in \`src/config/\` by \`npm run generate\`. Two documents are local to a gateway: \`gateway.yaml\` (the bootstrap) and \`trust.yaml\`.
The others make up a bundle directory; \`cnx check <directory>\` says every problem of form (keys, types, bounds) at once, and, when those are mended, every one of meaning (references, rules, policies). YAML and JSON are read alike, unknown keys are errors.

${parts.join('\n')}`;
}
