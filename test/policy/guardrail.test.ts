/** The guardrail: the example of the documentation, and everything that is not a clear yes. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { changeOf, type Change, type ChangeSide } from '../../src/control/guardrail/change.ts';
import { askGuardrail } from '../../src/control/guardrail/guardrail.ts';
import type { Subject } from '../../src/control/guardrail/subject.ts';
import { makeModule, type Misbehaviour, OP } from './wasm-builder.ts';

const EXAMPLE = fileURLToPath(new URL('../../config/guardrail/guardrail.wasm', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'cnx-guardrail-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const SUBJECT: Subject = {
  routes: { api: { id: 'api', access: 'protected', waf: { mode: 'block' } }, site: { id: 'site', access: 'public' } },
  cells: {},
  issuers: {},
  limits: { few: { id: 'few', requests: 10, windowMs: 1_000 } },
  policies: {},
  files: {},
  tenants: {},
  waf: { mode: 'block' },
  defaults: {},
};
const side = (more: Partial<Subject>, floor = 5): ChangeSide => ({
  end: { digest: 'sha256:a', seq: 10, floor },
  subject: { ...SUBJECT, ...more },
});
const change = (more: Partial<Subject>, floor = 5): Change => changeOf(side({}), side(more, floor), 'forward');
const example = (c: Change): Promise<readonly string[]> =>
  askGuardrail({ moduleFile: EXAMPLE, entrypoint: 'guardrail/deny' }, c);

/** What a module made by hand is told to say. */
async function made(m: Misbehaviour, deadlineMs = 5_000): Promise<string> {
  const moduleFile = join(directory, 'made.wasm');
  writeFileSync(moduleFile, makeModule({ entrypoints: '{"guardrail/deny":0}', ...m }));
  const config = { moduleFile, entrypoint: 'guardrail/deny' };
  return (await askGuardrail(config, change({}), deadlineMs)).join('\n');
}

describe("the documentation's guardrail", () => {
  it('lets pass what harms nobody, and a first bundle', async () => {
    assert.deepEqual(
      await example(change({ routes: { ...SUBJECT.routes, more: { id: 'more', access: 'public' } } })),
      [],
    );
    assert.deepEqual(await example(changeOf(null, side({}), 'forward')), []);
  });

  const denied: readonly (readonly [string, Change, readonly string[]])[] = [
    [
      'a route that loses its protection',
      change({ routes: { ...SUBJECT.routes, api: { id: 'api', access: 'public', waf: { mode: 'block' } } } }),
      ['route api becomes public'],
    ],
    [
      'a route whose WAF goes off',
      change({ routes: { ...SUBJECT.routes, api: { id: 'api', access: 'protected', waf: { mode: 'off' } } } }),
      ['the WAF of route api goes off'],
    ],
    ['a limit that goes', change({ limits: {} }), ['limit few goes']],
    [
      'a limit that is loosened',
      change({ limits: { few: { id: 'few', requests: 1_000, windowMs: 1_000 } } }),
      ['limit few admits more than ten times as much'],
    ],
    ['a WAF that only looks on', change({ waf: { mode: 'detect' } }), ['the WAF goes from block to detect']],
    ['a floor that sinks', change({}, 4), ['the floor sinks']],
    [
      'two things at once',
      change({ limits: {}, waf: { mode: 'off' } }),
      ['limit few goes', 'the WAF goes from block to off'],
    ],
  ];
  for (const [what, c, reasons] of denied)
    it(`denies ${what}, in its own words`, async () => assert.deepEqual(await example(c), reasons));

  it('denies when too many routes go at once', async () => {
    const routes = Object.fromEntries(
      Array.from({ length: 10 }, (_, i) => [`r${i}`, { id: `r${i}`, access: 'public' }]),
    );
    const fewer = Object.fromEntries(Object.entries(routes).slice(3));
    const c = changeOf(side({ routes }), side({ routes: fewer }), 'forward');
    assert.deepEqual(await example(c), ['3 of 10 routes go or change at once']);
  });
});

describe('a guardrail that is not a clear yes', () => {
  it('denies: its file is missing, is another, or no module', async () => {
    const entrypoint = 'guardrail/deny';
    const moduleFile = join(directory, 'absent.wasm');
    assert.match((await askGuardrail({ moduleFile, entrypoint }, change({}))).join(), /cannot say yes: .*ENOENT/);
    const pinned = { moduleFile: EXAMPLE, entrypoint, moduleSha256: '0'.repeat(64) };
    assert.match((await askGuardrail(pinned, change({}))).join(), /has the digest [0-9a-f]{64}, not that of/);
    const right = createHash('sha256').update(readFileSync(EXAMPLE)).digest('hex');
    assert.deepEqual(await askGuardrail({ ...pinned, moduleSha256: right }, change({})), []);
    const other = join(directory, 'other.wasm');
    writeFileSync(other, 'not wasm');
    assert.match((await askGuardrail({ moduleFile: other, entrypoint }, change({}))).join(), /not valid WebAssembly/);
    assert.match(
      (await askGuardrail({ moduleFile: EXAMPLE, entrypoint: 'guardrail/allow' }, change({}))).join(),
      /no entrypoint "guardrail\/allow"; it has guardrail\/deny/,
    );
    const absent = { moduleFile: EXAMPLE, entrypoint, dataFile: join(directory, 'absent.json') };
    assert.match((await askGuardrail(absent, change({}))).join(), /cannot say yes: .*ENOENT/);
  });

  const answers: readonly (readonly [string, Misbehaviour, RegExp])[] = [
    ['no value', { result: '[]' }, /is no set of texts but \[\]/],
    ['a plain yes', { result: '[{"result":true}]' }, /is no set of texts/],
    ['texts and something else', { result: '[{"result":["a",1]}]' }, /is no set of texts/],
    ['no JSON', { result: '{' }, /cannot say yes/],
    ['an abort', { evaluate: OP.abort }, /made to abort/],
    ['a trap', { evaluate: OP.unreachable }, /unreachable/],
    ['a stack without end', { evaluate: OP.recurse }, /cannot say yes/],
    ['a failure', { evaluate: OP.failed }, /cannot say yes/],
    ['a value that it cannot parse', { parsed: 0 }, /cannot say yes/],
    ['another ABI', { abi: [9, 9] }, /ABI 9\.9/],
  ];
  for (const [what, m, said] of answers) it(`denies: it gives ${what}`, async () => assert.match(await made(m), said));

  it('denies: it does not end', async () => {
    assert.match(await made({ evaluate: OP.forever }, 500), /did not answer within 500 ms/);
  });

  it('says yes with no reasons only', async () => {
    assert.equal(await made({ result: '[{"result":[]}]' }), '');
    assert.equal(await made({ result: '[{"result":["because"]}]' }), 'because');
    assert.equal(await made({ result: '[{"result":[""]}]' }), 'no reason given');
  });

  it('sees a change of megabytes, and denies one that is longer than it can see', async () => {
    const big = (bytes: number): Change =>
      change({ defaults: Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`d${i}`, 'x'.repeat(bytes / 64)])) });
    assert.deepEqual(await example(big(4 * 1024 * 1024)), []);
    assert.match((await example(big(9 * 1024 * 1024))).join(), /takes \d+ bytes, at most 8388608 are looked at/);
  });
});
