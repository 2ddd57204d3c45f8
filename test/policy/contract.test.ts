/** What policies promise: the schema of what they read, what they answer, and what a new release may not take back. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { Compile } from 'typebox/compile';
import { Document } from '../../src/config/document.ts';
import { PoliciesConfig } from '../../src/config/policy.ts';
import { validate } from '../../src/config/validate.ts';
import { checkAgainst } from '../../src/control/policy/contract.ts';
import { preparePolicies } from '../../src/control/policy/prepare.ts';
import { checkInput, findOpa } from '../../src/control/policy/rego.ts';
import { decide } from '../../src/policy/decision.ts';
import { compileInput } from '../../src/policy/input.ts';
import { Outcome } from '../../src/policy/outcome.ts';
import { projectedSchema } from '../../src/policy/projection.ts';
import { RESULT_SCHEMAS } from '../../src/policy/result-schema.ts';
import { buildBundle, CHANNEL, makeKey, plainBundle, writeBundle } from '../harness/bundle.ts';
import { run as bundleCommand } from '../../src/cli/bundle/bundle.ts';
import { makeModule } from './wasm-builder.ts';

const directory = mkdtempSync(join(tmpdir(), 'cnx-contract-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const POLICY = { name: 'made', source: 'policies/made.rego', entrypoints: ['made/allow'], input: ['method', 'user'] };

function policies(...list: readonly object[]): PoliciesConfig {
  const text = JSON.stringify({ policies: list.map((more) => ({ ...POLICY, ...more })) });
  const read = validate(PoliciesConfig, new Document('policies.yaml', text));
  assert.ok(read.ok, JSON.stringify(read));
  return read.value;
}

function broken(before: object, next: object): string[] {
  const told: string[] = [];
  checkAgainst(policies(before), policies(next), (i, path, message) => told.push(`/${i}${path}: ${message}`));
  return told;
}

describe('the promise of a policy', () => {
  const kept: readonly (readonly [string, object, object])[] = [
    ['nothing changes', {}, {}],
    ['it reads more', {}, { input: ['method', 'user', 'path'] }],
    ['it reads all of what it read a part of', { input: ['user.sub'] }, { input: ['user'] }],
    ['more can be asked', {}, { entrypoints: ['made/allow', 'made/decision'] }],
    [
      'everything changes with a major version',
      { result: 'boolean' },
      { version: '2.0.0', input: ['path'], result: 'decision' },
    ],
    ['another policy is new', {}, { name: 'other', version: '0.1.0', input: ['path'] }],
  ];
  for (const [what, before, next] of kept) it(`is kept when ${what}`, () => assert.deepEqual(broken(before, next), []));

  const lost: readonly (readonly [string, object, object, RegExp])[] = [
    [
      'a field goes',
      {},
      { input: ['method'], version: '1.9.0' },
      /the input has no user any more.*1\.0\.0 promised; say version 2\.0\.0/,
    ],
    ['only a part of a field stays', {}, { input: ['method', 'user.sub'] }, /no user any more/],
    ['an entrypoint goes', {}, { entrypoints: ['made/decision'] }, /no entrypoint made\/allow any more/],
    [
      'the result is of another kind',
      { result: 'boolean' },
      { result: 'decision' },
      /the result was boolean and is decision/,
    ],
    ['the version goes back', { version: '1.10.0' }, { version: '1.9.0' }, /goes back from 1\.10\.0 to 1\.9\.0/],
  ];
  for (const [what, before, next, said] of lost)
    it(`is broken when ${what}`, () => {
      const told = broken(before, next);
      assert.equal(told.length, 1);
      assert.match(told[0] ?? '', said);
    });
});

describe('what a policy answers', () => {
  async function tried(result: 'boolean' | 'decision' | null, answer: string): Promise<string> {
    const made = await preparePolicies([
      {
        name: 'made',
        wasm: makeModule({ result: answer }),
        data: '{}',
        entrypoints: ['made/allow'],
        input: ['method'],
        pure: false,
        cacheEntries: 0,
        memoryPagesMax: 64,
        ...(result === null ? {} : { result }),
      },
    ]);
    return made.ok ? '' : made.errors.map(({ what }) => what).join();
  }
  it('is what it promises', async () => {
    assert.equal(await tried('boolean', '[{"result":false}]'), '');
    assert.equal(await tried('decision', '[{"result":{"allow":true}}]'), '');
    assert.equal(await tried(null, '[{"result":{"allow":true}}]'), '');
  });
  it('is refused when it is something else', async () => {
    const other =
      /^made\/allow answered \[\{"result":.* to the input \{"method":"GET"\}, which is not what `result` promises$/;
    assert.match(await tried('decision', '[{"result":true}]'), other);
    assert.match(await tried('boolean', '[{"result":{"allow":true}}]'), other);
    assert.match(await tried('boolean', '[]'), /undefined/);
  });
  it('is what its published schema admits, and nothing else', () => {
    const schema = Compile(RESULT_SCHEMAS.either as never);
    const values = fc.oneof(
      fc.boolean(),
      fc.jsonValue(),
      fc.record(
        { allow: fc.oneof(fc.boolean(), fc.string()), reason: fc.oneof(fc.string(), fc.integer()) },
        { requiredKeys: [] },
      ),
    );
    fc.assert(
      fc.property(values, (value) => {
        const { outcome } = decide(JSON.stringify([{ result: value }]));
        assert.equal(schema.Check(value), outcome === Outcome.Allow || outcome === Outcome.Deny);
      }),
    );
  });
});

describe('the schema of what a policy reads', () => {
  const FIELDS = [
    'method',
    'segments',
    'user',
    'user.sub',
    'user.roles',
    'user.claims',
    'user.claims.a.b',
    'client.address',
    'client.country',
    'headers.x-a',
    'tls.client.sans',
    'tls',
    'time.now_ns',
    'tenant',
  ];
  const nobody = {
    method: 'GET',
    path: '/a/b',
    query: '',
    host: 'a.example',
    clientAddress: '192.0.2.1',
    clientCountry: 'DE',
    tenant: 'acme',
    route: 'r',
    now: 1_767_225_600_000,
    user: { subject: 's', roles: ['r'], claims: { sub: 's', 'a.b': 1 } },
    tls: {
      version: 'TLSv1.3',
      cipher: 'c',
      serverName: 'a',
      alpn: 'h2',
      ja4: 'j',
      client: { subject: 's', sans: ['x'], fingerprint: 'f' },
    },
    header: () => 'v',
  };
  it('admits what is sent, whichever fields are named', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.constantFrom(...FIELDS), { minLength: 1 }), (fields) => {
        const sent = JSON.parse(compileInput('made', fields)(nobody)) as unknown;
        const schema = Compile(projectedSchema(fields) as never);
        assert.ok(
          schema.Check(sent),
          `${fields.join(' ')}: ${JSON.stringify(sent)} ${JSON.stringify([...schema.Errors(sent)])}`,
        );
      }),
    );
  });
  it('does not admit what is not named', () => {
    const schema = Compile(projectedSchema(['method', 'user.roles']) as never);
    assert.ok(schema.Check({ method: 'GET', user: { roles: [] } }));
    assert.ok(!schema.Check({ path: '/' }));
    assert.ok(!schema.Check({ user: { sub: 'x' } }));
  });
  it('is what Rego is checked by: a field that is never sent is found with its line, in both languages', async (t) => {
    const opa = findOpa(process.env['PATH']);
    if (opa === null) {
      t.diagnostic('opa is not on the PATH: sources were not checked');
      return;
    }
    const file = join(directory, 'made.rego');
    const checked = (rego: 'v0' | 'v1', text: string, fields: readonly string[]): Promise<void> => {
      writeFileSync(file, text);
      return checkInput({ name: 'made', file, rego, entrypoints: ['made/allow'] }, projectedSchema(fields), opa);
    };
    const v1 = 'package made\n\nallow if input.user.roles[_] == "admin"\n';
    const v0 = 'package made\n\nallow { input.user.roles[_] == "admin" }\n';
    await checked('v1', v1, ['user']);
    await checked('v1', v1, ['user.roles']);
    await checked('v0', v0, ['user.roles', 'headers.x-a']);
    for (const [rego, text] of [
      ['v1', v1],
      ['v0', v0],
    ] as const)
      await assert.rejects(
        checked(rego, text, ['user.sub']),
        /made\.rego:3: rego_type_error: undefined ref: input\.user\.roles.*names under `input`/s,
      );
  });
});

describe('cnx bundle build --against', () => {
  it('refuses what breaks a promise of the release before, and records what policies were made of', async () => {
    const { keyFile } = await makeKey(join(directory, 'keys'));
    const source = join(directory, 'source');
    const layout = join(directory, 'layout');
    const demo = new URL('../../config/demo/policies/', import.meta.url);
    const { readFileSync } = await import('node:fs');
    const files = Object.fromEntries(
      ['authz.rego', 'authz.wasm', 'authz.wasm.json', 'authz-data.json'].map((name) => [
        `policies/${name}`,
        readFileSync(new URL(name, demo)),
      ]),
    );
    const write = (more: object): void =>
      writeBundle(source, {
        ...plainBundle(['127.0.0.1:1']),
        policies: {
          policies: [
            {
              name: 'authz',
              source: 'policies/authz.rego',
              data: 'policies/authz-data.json',
              entrypoints: ['authz/decision', 'authz/allow'],
              input: ['method', 'path', 'tenant', 'user.roles', 'user.claims.tenant', 'host'],
              ...more,
            },
          ],
        },
        files,
      });
    const call = async (...args: string[]): Promise<{ code: number; out: string; err: string }> => {
      let out = '';
      let err = '';
      const code = await bundleCommand(args, {
        stdout: (text) => (out += text),
        stderr: (text) => (err += text),
        env: { SOURCE_DATE_EPOCH: '1767225600' },
      });
      return { code, out, err };
    };
    const former = `oci:${layout}:${CHANNEL}`;
    write({});
    await buildBundle(source, layout, keyFile);
    const { release } = JSON.parse((await call('inspect', former, '--json')).out) as {
      release: { policies: readonly { name: string; sourceDigest: string; inputProjection: readonly string[] }[] };
    };
    assert.equal(release.policies[0]?.name, 'authz');
    assert.match(release.policies[0]?.sourceDigest ?? '', /^[0-9a-f]{64}$/);
    assert.ok(release.policies[0]?.inputProjection.includes('user.roles'));

    const less = ['method', 'path', 'tenant', 'user.roles', 'user.claims.tenant'];
    write({ input: less });
    const refused = await call('build', source, '--out', former, '--against', former);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /policies\.yaml.*\/policies\/0\/version: the input has no host any more/);
    write({ input: less, version: '2.0.0' });
    const built = await call('build', source, '--out', former, '--against', former);
    assert.equal(built.code, 0, built.err);
    write({ input: less, version: '2.0.0', result: 'boolean' });
    const wrong = await call('build', source, '--out', former);
    assert.match(wrong.err, /\/policies\/0: authz\/decision answered .*which is not what `result` promises/s);
  });
});
