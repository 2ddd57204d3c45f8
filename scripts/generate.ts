/**
 * Files that are made from the code: the JSON Schemas of configuration and policy input, the references of configuration, metrics, refusals, SecLang and WAF expressions. `--check` fails
 * when one is stale.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { metricDocs } from '../src/admin/metric-docs.ts';
import { changeSchemaText } from '../src/control/guardrail/change-schema.ts';
import { configReference, gatewaySchema } from '../src/config/reference.ts';
import { REFUSAL_LIST } from '../src/data/refusal.ts';
import { policyResultSchemaText } from '../src/policy/result-schema.ts';
import { policyInputSchemaText } from '../src/policy/input-schema.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

function refusals(): string {
  const rows = REFUSAL_LIST.map(
    (r) => `| \`${r.code}\` | ${r.status} | ${r.blame} | ${r.close ? 'closes' : 'stays'} | ${r.title} |`,
  );
  return `# Refusals

Every answer that the gateway gives by itself, made from the table in \`src/data/refusal.ts\` by \`npm run generate\`. The body is RFC 9457
\`application/problem+json\`: \`{"type":"about:blank","title":…,"status":…,"code":…,"request_id":…}\`. \`cnx explain <request id>\` says why.

| code | status | blame | connection | title |
|---|---|---|---|---|
${rows.join('\n')}
`;
}

/** What `errorPages` may name: control checks bundles without the table, which is the data plane's. */
function refusalCodes(): string {
  const rows = REFUSAL_LIST.map((r) => `  '${r.code}',`);
  return `/** Codes of refusals, made from the table in \`src/data/refusal.ts\` by \`npm run generate\`. */
export const REFUSAL_CODES: readonly string[] = [
${rows.join('\n')}
];
`;
}

/** Tables of the WAF engine, printed by an example of its crate. */
function printedBy(example: string): string {
  const printed = spawnSync('cargo', ['run', '--quiet', '--locked', '-p', 'cnx-waf', '--example', example], {
    cwd: join(root, 'native'),
    encoding: 'utf8',
  });
  if (printed.error !== undefined) throw printed.error;
  if (printed.status !== 0) throw new Error(`the example ${example} failed:\n${printed.stderr}`);
  return printed.stdout;
}

const FILES: Readonly<Record<string, () => string>> = {
  'config/gateway.schema.json': () => `${JSON.stringify(gatewaySchema(), null, 2)}\n`,
  'config/guardrail-input.schema.json': changeSchemaText,
  'config/policy-input.schema.json': policyInputSchemaText,
  'config/policy-result.schema.json': policyResultSchemaText,
  'docs/config.md': configReference,
  'docs/metrics.md': metricDocs,
  'docs/refusals.md': refusals,
  'src/config/refusal-codes.ts': refusalCodes,
  'docs/seclang.md': () => printedBy('seclang_docs'),
  'docs/waf-expressions.md': () => printedBy('expression_docs'),
};

const check = process.argv.includes('--check');
let stale = 0;
for (const [name, make] of Object.entries(FILES)) {
  const file = join(root, name);
  const text = make();
  const fresh = existsSync(file) && readFileSync(file, 'utf8') === text;
  if (fresh) continue;
  if (check) {
    stale++;
    console.error(`${name} is stale; run \`npm run generate\``);
  } else {
    writeFileSync(file, text);
    console.log(`wrote ${name}`);
  }
}
process.exitCode = stale > 0 ? 1 : 0;
