/** What the documentation gives to copy can be read by what it is for. That it also works was tried by hand; that it still parses is held here. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseAllDocuments, parse } from 'yaml';

const PAGES = [
  'README.md',
  ...readdirSync('docs')
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** Fenced blocks of a language. */
const blocksOf = (page: string, language: string): string[] =>
  [...readFileSync(page, 'utf8').matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'gm'))].map(
    ([, text]) => text ?? '',
  );

// Ways to write one thing stand one under another: names may come twice.
test('every YAML of the documentation is YAML', () => {
  let seen = 0;
  for (const page of PAGES)
    for (const block of blocksOf(page, 'yaml'))
      for (const document of parseAllDocuments(block, { uniqueKeys: false })) {
        seen++;
        assert.deepEqual(document.errors, [], `${page}:\n${block}`);
      }
  assert.ok(seen > 20, String(seen));
});

test('the pipelines of docs/rollout.md have steps that a shell reads', () => {
  const scripts: string[] = [];
  for (const block of blocksOf('docs/rollout.md', 'yaml')) {
    const { jobs = {}, ...rest } = parse(block) as {
      jobs?: Record<string, { steps: { run?: string }[] }>;
    } & Record<string, { script?: string[] } | null>;
    for (const { steps } of Object.values(jobs)) for (const { run } of steps) if (run !== undefined) scripts.push(run);
    for (const job of Object.values(rest)) if (Array.isArray(job?.script)) scripts.push(job.script.join('\n'));
  }
  assert.equal(scripts.filter((script) => script.includes('cnx rollout run')).length, 2);
  for (const script of scripts) execFileSync('sh', ['-n'], { input: script });
});
