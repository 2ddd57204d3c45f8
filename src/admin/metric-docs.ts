/** `docs/metrics.md`, out of the table of metrics. */
import { LABEL_BOUNDS, METRICS } from './metric-table.ts';
import type { MetricRow } from './metric-table.ts';

const BEFORE = `# Metrics

Made from \`src/admin/metric-table.ts\` by \`npm run generate\`; do not edit.

\`GET /metrics\` on the probe listener, in the Prometheus text format. Counters are written by the lanes into shared memory and only
read here, so a scrape costs the request path nothing. Every label is bounded: no bundle and no client can grow the number of series.
What to look at in trouble is in [operating.md](operating.md).

| metric | type | unit | labels | meaning |
|---|---|---|---|---|
`;

export function metricDocs(): string {
  const rows = Object.entries<MetricRow>(METRICS).map(
    ([name, m]) =>
      `| \`${name}\` | ${m.type} | ${m.unit === '' ? 'count' : m.unit} | ${m.labels.map((l) => `\`${l}\``).join(', ')} | ${m.help} |`,
  );
  const labels = Object.entries(LABEL_BOUNDS).map(([name, text]) => `| \`${name}\` | ${text} |`);
  return `${BEFORE}${rows.join('\n')}\n\n## Labels\n\n| label | values |\n|---|---|\n${labels.join('\n')}\n`;
}
