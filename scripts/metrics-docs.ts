/** Writes docs/metrics.md from the table of metrics. A test holds the two together. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { metricDocs } from '../src/admin/metric-docs.ts';

writeFileSync(fileURLToPath(new URL('../docs/metrics.md', import.meta.url)), metricDocs());
