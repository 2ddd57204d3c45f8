/**
 * Files that are made from the code: the configuration's JSON Schema and reference, the references of metrics and refusals. `--check` fails when one is stale.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { metricDocs } from '../src/admin/metric-docs.ts';
import { configReference, gatewaySchema } from '../src/config/reference.ts';
import { REFUSAL_LIST } from '../src/data/refusal.ts';

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

const FILES: Readonly<Record<string, () => string>> = {
  'config/gateway.schema.json': () => `${JSON.stringify(gatewaySchema(), null, 2)}\n`,
  'docs/config.md': configReference,
  'docs/metrics.md': metricDocs,
  'docs/refusals.md': refusals,
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
