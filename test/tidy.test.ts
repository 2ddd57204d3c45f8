/** The invariants of ARCHITECTURE.md, as tests: each names the mend. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WORKERS } from '../src/base/worker-entry.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = globSync('src/**/*.ts', { cwd: root })
  .filter((f) => !f.endsWith('.d.ts'))
  .sort();
const production = sources.filter((f) => !f.endsWith('.test.ts'));
const text = new Map(sources.map((f) => [f, readFileSync(join(root, f), 'utf8')]));

/** Source without comments and string contents, so that words in prose do not count. */
function code(file: string): string {
  return (text.get(file) ?? '')
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .replaceAll(/^\s*\/\/.*$/gm, '')
    .replaceAll(/ \/\/ .*$/gm, '');
}

/** Files that a file imports, relative to the root. */
function imports(file: string): string[] {
  const found = [...code(file).matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((m) => m[1] ?? '');
  return found.map((p) => relative(root, resolve(root, dirname(file), p)));
}

/** `file → what` for every production file under `from` that imports something under `to`. */
function crossings(from: string, to: string): string[] {
  return production
    .filter((f) => f.startsWith(from))
    .flatMap((f) =>
      imports(f)
        .filter((i) => i.startsWith(to))
        .map((i) => `${f} → ${i}`),
    );
}

function offenders(files: readonly string[], pattern: RegExp): string[] {
  return files.flatMap((f) =>
    code(f)
      .split('\n')
      .filter((l) => pattern.test(l))
      .map((l) => `${f}: ${l.trim()}`),
  );
}

describe('planes', () => {
  it('control and data never import each other: what both need belongs to src/snapshot', () => {
    assert.deepEqual(crossings('src/control/', 'src/data/'), []);
    assert.deepEqual(crossings('src/data/', 'src/control/'), []);
  });
  it('config is imported by control, the command line and main only: the data plane reads a snapshot', () => {
    for (const from of ['src/data/', 'src/snapshot/', 'src/base/', 'src/admin/', 'src/policy/'])
      assert.deepEqual(crossings(from, 'src/config/'), []);
  });
  it('config and base import nothing of ours', () => {
    for (const own of ['src/config/', 'src/base/']) {
      const outside = production
        .filter((f) => f.startsWith(own))
        .flatMap((f) =>
          imports(f)
            .filter((i) => !i.startsWith(own))
            .map((i) => `${f} → ${i}`),
        );
      assert.deepEqual(outside, []);
    }
  });
  it('snapshot imports only base', () => {
    const outside = production
      .filter((f) => f.startsWith('src/snapshot/'))
      .flatMap((f) =>
        imports(f)
          .filter((i) => !i.startsWith('src/snapshot/') && !i.startsWith('src/base/'))
          .map((i) => `${f} → ${i}`),
      );
    assert.deepEqual(outside, []);
  });
  it('nothing outside src/data/transport depends on uWebSockets.js, and undici serves traffic only there', () => {
    const users = production.filter(
      (f) => /from '(uWebSockets\.js|undici)'/.test(code(f)) && f.startsWith('src/data/'),
    );
    assert.deepEqual(
      users.filter((f) => !f.startsWith('src/data/transport/')),
      [],
    );
  });
});

describe('stages', () => {
  const stages = production.filter((f) => f.startsWith('src/data/stages/'));
  it('contain no async, promise, throw, timer, clock, chance, IO or process: time is x.now, chance is x.random', () => {
    assert.ok(stages.length >= 10);
    const forbidden =
      /\basync\b|\bawait\b|\bPromise\b|\bthrow\b|setTimeout|setInterval|setImmediate|queueMicrotask|Date\.now|performance\.|Math\.random|node:(fs|net|http|https|dns|child_process|worker_threads|process|timers)|\bprocess\./;
    assert.deepEqual(offenders(stages, forbidden), []);
  });
  it('say no HTTP status of our own: those are rows of refusal.ts', () => {
    const rest = production.filter((f) => f.startsWith('src/data/') && f !== 'src/data/refusal.ts');
    assert.deepEqual(offenders(rest, /\b(writeStatus|status)\b[^\n]{0,12}[(=:]\s*['"`]?[45]\d\d\b/), []);
  });
});

describe('the process', () => {
  it('reads its environment in main.ts only', () => {
    assert.deepEqual(
      offenders(
        production.filter((f) => f !== 'src/main.ts'),
        /process\.env/,
      ),
      [],
    );
  });
  it('loads the addon in native.ts only', () => {
    assert.deepEqual(
      offenders(
        production.filter((f) => f !== 'src/native.ts'),
        /process\.dlopen|\.node['"]\s*\)/,
      ),
      [],
    );
  });
});

describe('files', () => {
  it('are imported, or are an entry point', () => {
    const entries = new Set(['src/main.ts', ...Object.values(WORKERS).map((p) => `src/${p}`)]);
    const used = new Set(
      [...globSync('{src,test,bench,scripts}/**/*.ts', { cwd: root })].flatMap((f) => {
        const body = text.get(f) ?? readFileSync(join(root, f), 'utf8');
        return [...body.matchAll(/'(\.[^']+\.ts)'/g)].map((m) => relative(root, resolve(root, dirname(f), m[1] ?? '')));
      }),
    );
    assert.deepEqual(
      production.filter((f) => !entries.has(f) && !used.has(f)),
      [],
    );
  });
  it('are about one thing: none is longer than 600 lines', () => {
    const long = [...text].filter(([, t]) => t.split('\n').length > 600).map(([f]) => f);
    assert.deepEqual(long, []);
  });
  it('have names from the lexicon', () => {
    const banned = /(^|[-/])(manager|helper|util|utils|info|middleware|service|backend)s?(\.|-|\/)/;
    assert.deepEqual(
      sources.filter((f) => banned.test(f)),
      [],
    );
  });
  it('hold no work that was named and not done', () => {
    assert.deepEqual(offenders(sources, /\b(TODO|FIXME|XXX|HACK)\b/), []);
  });
});
