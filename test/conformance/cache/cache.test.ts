/** The suite `cache`: it judges caches of known manners as it should, and the gateway fails nothing that is required. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, describe, it } from 'node:test';
import { DataDirectory } from '../data.ts';
import { type CaseResult, markOf } from '../result.ts';
import { SUITES } from '../suites.ts';
import { Origin } from './origin.ts';
import { runCache } from './suite.ts';

const DATA = resolve(import.meta.dirname, '../../../../shared/data');
const FRESH = [['Cache-Control', 'max-age=100']];

const TESTS = [
  { id: 'stored', name: 'stored', requests: [{ response_headers: FRESH, setup: true }, { expected_type: 'cached' }] },
  { id: 'not-stored', name: 'not stored', requests: [{ setup: true }, { expected_type: 'not_cached' }] },
  {
    id: 'liked',
    name: 'liked',
    kind: 'optimal',
    requests: [{ response_headers: FRESH, setup: true }, { expected_type: 'cached' }],
  },
  {
    id: 'validated',
    name: 'validated',
    requests: [
      { response_headers: [['ETag', '"a"']], setup: true },
      { expected_type: 'etag_validated', request_headers: [['If-None-Match', '"a"']], expected_status: 304 },
    ],
  },
  {
    id: 'not-asked',
    name: 'validated without asking',
    requests: [{ response_headers: [['ETag', '"a"']], setup: true }, { expected_type: 'etag_validated' }],
  },
  {
    id: 'fields',
    name: 'fields',
    requests: [
      {
        response_headers: [
          ['X-A', '1'],
          ['X-A', '2'],
          ['Date', 0],
        ],
        expected_response_headers: ['x-a', ['X-A', '1, 2'], ['Date', 0]],
      },
    ],
  },
  { id: 'absent', name: 'absent', requests: [{ expected_response_headers: ['x-b'] }] },
  { id: 'browser', name: 'browser', browser_only: true, requests: [{}] },
];

describe('the suite cache', { timeout: 240_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'cnx-cache-tests-'));
  after(() => rmSync(directory, { recursive: true, force: true }));
  mkdirSync(join(directory, 'cache-tests'));
  writeFileSync(join(directory, 'cache-tests', 'tests.json'), JSON.stringify([{ id: 'set', tests: TESTS }]));

  it('tells an origin without a cache from what a cache must do', async () => {
    const origin = new Origin();
    const port = await origin.listen(0);
    const notes: string[] = [];
    const extras: unknown[] = [];
    try {
      const results = await runCache({
        data: new DataDirectory(directory),
        target: { host: '127.0.0.1', port },
        origin,
        progress: () => undefined,
        extra: (name, value) => {
          extras.push([name, value]);
        },
        note: (line) => {
          notes.push(line);
        },
      });
      assert.deepEqual(
        results.map((result) => [result.id, markOf(result)]),
        [
          ['set/stored', 'fail'],
          ['set/not-stored', 'pass'],
          ['set/liked', 'warn'],
          ['set/validated', 'pass'],
          ['set/not-asked', 'fail'],
          ['set/fields', 'pass'],
          ['set/absent', 'fail'],
        ],
      );
      assert.deepEqual(extras[0], ['required', { total: 6, passed: 3 }]);
      assert.ok(notes.includes('left out: 1 tests of caches in browsers'));
    } finally {
      await origin.close();
    }
  });

  it('the gateway fails nothing that is required, and does nearly all that is liked', async (t) => {
    const data = new DataDirectory(DATA);
    const results: CaseResult[] =
      (await SUITES['cache']?.run({
        data,
        upstreamPort: 0,
        extra: () => undefined,
        progress: () => undefined,
        note: () => undefined,
      })) ?? [];
    if (data.missing.length > 0 && process.env['CI'] !== 'true') {
      t.diagnostic(`no data in ${DATA}`);
      return;
    }
    assert.deepEqual(data.missing, []);
    assert.deepEqual(
      results.filter((result) => markOf(result) === 'fail').map(({ id, got }) => `${id}: ${got}`),
      [],
    );
    const optimal = results.filter((result) => result.outcome.startsWith('optimal:'));
    const met = optimal.filter((result) => result.mark === 'pass').length;
    assert.ok(met >= optimal.length * 0.95, `${met} of ${optimal.length}`);
  });
});
