/** What never gets to a lane: modules that are foreign, loop, abort, answer in a wrong shape or call what is not allowed. Each error names policy and mend. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { inspectModule } from '../../src/control/policy/inspect.ts';
import { preparePolicies, type PolicySource } from '../../src/control/policy/prepare.ts';
import { PolicyEvaluator } from '../../src/policy/evaluator.ts';
import { PolicyError } from '../../src/policy/policy-error.ts';
import { Outcome } from '../../src/policy/outcome.ts';
import { PAGES, sourceOf, wasmOf } from './fixtures.ts';
import { makeModule, OP, type Misbehaviour } from './wasm-builder.ts';

/** Short, for what loops, and longer than a busy machine takes over what does not. */
const DEADLINE_MS = 4_000;

async function errorsOf(sources: readonly PolicySource[], deadlineMs?: number): Promise<readonly PolicyError[]> {
  const result = await preparePolicies(sources, deadlineMs);
  return result.ok ? [] : result.errors;
}

describe('inspection, which runs nothing, refuses', () => {
  const refuses = (m: Misbehaviour, code: string, message: RegExp): void => {
    assert.throws(() => inspectModule('made', makeModule(m), PAGES), { name: 'PolicyError', code, message });
  };
  it('what is not WebAssembly, cut short or too large', () => {
    const whole = wasmOf('roles-v0');
    for (const bytes of [new Uint8Array(0), new Uint8Array([1, 2, 3]), whole.slice(0, 1_000), whole.slice(0, -1)]) {
      assert.throws(() => inspectModule('made', bytes, PAGES), { code: 'not_wasm' });
    }
    assert.throws(() => inspectModule('made', new Uint8Array(16 * 1024 * 1024 + 1), PAGES), { code: 'too_large' });
  });
  it('imports that no OPA policy has', () => {
    refuses(
      { foreign: ['wasi_snapshot_preview1', 'fd_write'] },
      'foreign_import',
      /wasi_snapshot_preview1\.fd_write.*opa build/,
    );
    refuses({ foreign: ['env', 'fetch'] }, 'foreign_import', /env\.fetch/);
  });
  it('a module without the exports of the interface', () => {
    refuses({ without: ['opa_json_parse', 'eval'] }, 'missing_export', /opa_json_parse, eval/);
  });
  it('memory that cannot be bounded, or is too large from the start', () => {
    refuses({ ownMemory: true }, 'memory', /env\.memory/);
    refuses({ pages: PAGES + 1 }, 'memory', /begins with 513 pages.*Raise/);
  });
  it('any damage with an error of its own kind', () => {
    const whole = wasmOf('roles-v0');
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (changes) => {
          const bytes = whole.slice();
          for (const [at, byte] of changes) bytes[at] = byte;
          try {
            inspectModule('damaged', bytes, PAGES);
          } catch (error) {
            assert.ok(error instanceof PolicyError, String(error));
          }
        },
      ),
      { numRuns: 50 },
    );
  });
  it('no module that is in order', () => {
    assert.deepEqual(inspectModule('made', makeModule(), PAGES).patterns, 0);
    for (const name of ['authz', 'roles-v0', 'cases', 'patterns'])
      assert.equal(inspectModule(name, wasmOf(name), PAGES).literalPatterns, true);
  });
});

describe('the sandbox refuses', () => {
  it('what loops: in evaluation, and already when it is loaded; policies after it are still tried', async () => {
    const errors = await errorsOf(
      [
        sourceOf(makeModule({ evaluate: OP.forever }), { name: 'loops' }),
        sourceOf(makeModule({ start: OP.forever.slice(0, -2) }), { name: 'loops-at-start' }),
        sourceOf(makeModule({ evaluate: OP.abort }), { name: 'aborts' }),
      ],
      DEADLINE_MS,
    );
    assert.deepEqual(
      errors.map((e) => [e.policy, e.code]),
      [
        ['loops', 'deadline'],
        ['loops-at-start', 'deadline'],
        ['aborts', 'aborted'],
      ],
    );
    assert.match(errors[0]?.message ?? '', /policy "loops": did not answer within 4000 ms: a rule loops/);
  });
  it('what takes too long, though it would end', async () => {
    const data = JSON.stringify({ many: Array.from({ length: 3_000 }, (_, i) => i) });
    const [error] = await errorsOf(
      [sourceOf(wasmOf('cases'), { name: 'slow', data, entrypoints: ['cases/slow'], memoryPagesMax: 4_096 })],
      1_000,
    );
    assert.ok(error?.code === 'deadline' || error?.code === 'aborted', error?.message);
  });
  it('what aborts, traps, needs too much memory or answers in a wrong shape, every one with its reason', async () => {
    const rule = (name: string, more: Partial<PolicySource> = {}): PolicySource =>
      sourceOf(wasmOf('cases'), { name, entrypoints: [`cases/${name}`], ...more });
    const errors = await errorsOf([
      sourceOf(makeModule({ evaluate: OP.unreachable }), { name: 'traps' }),
      sourceOf(makeModule({ start: OP.unreachable }), { name: 'traps-at-start' }),
      sourceOf(makeModule({ evaluate: OP.recurse }), { name: 'recurses' }),
      sourceOf(makeModule({ abi: [2, 0] }), { name: 'abi' }),
      sourceOf(makeModule({ abi: [1, 1] }), { name: 'old-abi' }),
      sourceOf(makeModule({ builtins: '{"http.send":0}' }), { name: 'calls-out' }),
      sourceOf(makeModule(), { name: 'asked-wrongly', entrypoints: ['made/alow'] }),
      rule('undefined_result'),
      rule('number'),
      rule('hungry', { memoryPagesMax: 64 }),
      rule('now_is_frozen', { pure: true }),
      rule('same', { pure: true, input: ['time.now_ns'] }),
      rule('allowed_unless_blocked', { data: '{"a":' }),
    ]);
    const codes = Object.fromEntries(errors.map((e) => [e.policy, e.code]));
    assert.deepEqual(codes, {
      same: 'not_pure',
      traps: 'trapped',
      'traps-at-start': 'trapped',
      recurses: 'trapped',
      abi: 'abi_version',
      'old-abi': 'abi_version',
      'calls-out': 'builtin_not_allowed',
      'asked-wrongly': 'entrypoint_missing',
      undefined_result: 'undefined_result',
      number: 'wrong_shape',
      hungry: 'aborted',
      now_is_frozen: 'not_pure',
      allowed_unless_blocked: 'data',
    });
    const text = errors.map((e) => e.message).join('\n');
    assert.match(
      text,
      /calls http\.send, which is not allowed here; besides the native built-ins there are time\.now_ns/,
    );
    assert.match(text, /has no entrypoint "made\/alow"; it has made\/allow/);
    assert.match(text, /policy "undefined_result": .*add `default … := false`/);
    assert.match(text, /policy "number": .*a number.*to the input \{"method":"GET"/);
  });
});

describe('a policy that is in order', () => {
  it('is prepared with all that a lane needs, and can be sent to one', async () => {
    const data = readFileSync(new URL('../../config/demo/policies/authz-data.json', import.meta.url), 'utf8');
    const result = await preparePolicies([
      sourceOf(wasmOf('authz'), {
        name: 'authz',
        data,
        entrypoints: ['authz/decision'],
        input: ['method', 'path', 'user.roles'],
        pure: true,
        cacheEntries: 5,
      }),
      sourceOf(wasmOf('roles-v0'), {
        name: 'roles',
        entrypoints: ['authz/allow'],
        input: ['method', 'path', 'user.role'],
      }),
    ]);
    assert.ok(result.ok);
    const [authz, roles] = structuredClone(result.policies);
    assert.deepEqual(
      [authz?.name, authz?.literalPatterns, authz?.digest.length, roles?.name],
      ['authz', true, 64, 'roles'],
    );
    const evaluator = new PolicyEvaluator(authz as NonNullable<typeof authz>);
    const request = {
      method: 'GET',
      path: '/api/orders',
      query: '',
      host: '',
      clientAddress: '',
      clientCountry: '',
      tenant: '',
      route: '',
      now: 0,
      tls: null,
      header: () => undefined,
    };
    assert.equal(
      evaluator.decide({ ...request, user: { subject: 'u', roles: ['reader'], claims: {} } }, 0),
      Outcome.Allow,
    );
    assert.equal(evaluator.reason, 'readers read orders');
    assert.equal(evaluator.decide({ ...request, user: null }, 0), Outcome.Deny);
  });
  it('is not tried again when nothing of it has changed, and is when anything has', async () => {
    const source = sourceOf(wasmOf('roles-v0'), { entrypoints: ['authz/allow'] });
    const prepare = async (more: Partial<PolicySource> = {}) => {
      const result = await preparePolicies([{ ...source, ...more }]);
      assert.ok(result.ok);
      return result.policies[0];
    };
    const first = await prepare();
    assert.equal(await prepare(), first);
    assert.notEqual(await prepare({ data: '{}' }), first);
    assert.notEqual(await prepare({ input: ['path'] }), first);
    assert.equal((await preparePolicies([{ ...source, entrypoints: ['authz/deny'] }])).ok, false);
  });
  it('none at all is fine too', async () => {
    assert.deepEqual(await preparePolicies([]), { ok: true, policies: [] });
  });
});
