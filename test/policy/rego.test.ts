/** From Rego to a module: compiled where `opa` is at hand, taken from beside the source where it is not, never stale. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import capabilities from '../../src/config/opa-capabilities.json' with { type: 'json' };
import { checkIn, findOpa, moduleOf, type RegoSource } from '../../src/control/policy/rego.ts';
import { ArchiveError, readTarGz } from '../../src/control/archive/tar.ts';
import { inspectModule } from '../../src/control/policy/inspect.ts';
import { BUILTINS } from '../../src/policy/builtins.ts';
import { SOURCES } from '../fixtures/policy/build.ts';

const opa = findOpa(process.env['PATH']);
const dirs: string[] = [];
after(() => {
  for (const dir of dirs) rmSync(dir, { recursive: true });
});

/** A fixture with its module in a directory of its own. */
function copied(name: string): RegoSource {
  const source = SOURCES.find((s) => s.name === name) as RegoSource;
  const dir = mkdtempSync(join(tmpdir(), 'cnx-test-rego-'));
  dirs.push(dir);
  for (const end of ['.rego', '.wasm', '.wasm.json']) {
    const file = source.file.replace(/\.rego$/, end);
    copyFileSync(file, join(dir, basename(file)));
  }
  return { ...source, file: join(dir, basename(source.file)) };
}

/** Says plainly that OPA is absent; the checked-in modules are tested all the same. */
function withOpa(t: TestContext): string | null {
  if (opa === null) t.diagnostic('opa is not on the PATH: compiling Rego was not tested');
  return opa;
}

describe('checked-in modules', () => {
  for (const source of SOURCES) {
    it(`${source.name} is what its record and its source say`, async () => {
      const { compiled, record } = await moduleOf(source, null);
      assert.deepEqual([compiled, record.rego, record.entrypoints], [false, source.rego, [...source.entrypoints]]);
    });
  }
  it('are refused when source, module, language or entrypoints have changed, with the mend', async () => {
    const refuses = async (source: RegoSource, message: RegExp): Promise<void> => {
      await assert.rejects(moduleOf(source, null), { name: 'PolicyError', code: 'module_stale', message });
    };
    const changed = copied('roles-v0');
    writeFileSync(changed.file, `${readFileSync(changed.file, 'utf8')}\n# one more line\n`);
    await refuses(
      changed,
      /policy "roles-v0": roles-v0\.rego has changed since roles-v0\.wasm was made of it; install OPA/,
    );

    const swapped = copied('roles-v0');
    copyFileSync(copied('cases').file.replace('.rego', '.wasm'), swapped.file.replace('.rego', '.wasm'));
    await refuses(swapped, /is not the module that its record describes/);

    await refuses({ ...copied('roles-v0'), rego: 'v1' }, /was made as rego v0, the policy says v1/);
    await refuses(
      { ...copied('roles-v0'), entrypoints: ['authz/allow', 'authz/other'] },
      /without the entrypoint authz\/other/,
    );

    for (const record of [
      '',
      '{',
      'null',
      '[]',
      '{"source":1}',
      '{"source":"","wasm":"","opa":"","rego":"v2","entrypoints":[]}',
    ]) {
      const broken = copied('roles-v0');
      writeFileSync(broken.file.replace('.rego', '.wasm.json'), record);
      await refuses(broken, /the record roles-v0\.wasm\.json is not \{source/);
    }
    const alone = copied('roles-v0');
    rmSync(alone.file.replace('.rego', '.wasm'));
    await refuses(alone, /there is no module roles-v0\.wasm with its record .* and no `opa` to make it; install OPA/);
  });
});

describe('compiling', () => {
  it('gives the very modules that are checked in, when OPA has their version', async (t) => {
    if (withOpa(t) === null) return;
    for (const source of SOURCES) {
      const made = await moduleOf(source, opa);
      const kept = await moduleOf(source, null);
      assert.equal(made.compiled, true);
      if (made.record.opa === kept.record.opa) assert.equal(made.record.wasm, kept.record.wasm, source.name);
      else
        t.diagnostic(
          `opa ${made.record.opa} is here, ${source.name}.wasm was made with ${kept.record.opa}: not compared`,
        );
    }
  });
  it('checks in a module that is then accepted without OPA', async (t) => {
    if (withOpa(t) === null) return;
    const source = copied('roles-v0');
    writeFileSync(source.file, 'package authz\n\ndefault allow = true\n');
    const made = await moduleOf(source, opa);
    await checkIn(source, made);
    const kept = await moduleOf(source, null);
    assert.deepEqual([kept.compiled, kept.record], [false, made.record]);
    assert.deepEqual(kept.wasm, made.wasm);
  });
  it('shows what OPA says of an error, and the mend where OPA cannot know it', async (t) => {
    if (withOpa(t) === null) return;
    const fails = async (text: string, rego: 'v0' | 'v1', message: RegExp): Promise<void> => {
      const source = { ...copied('roles-v0'), rego };
      writeFileSync(source.file, text);
      await assert.rejects(moduleOf(source, opa), { name: 'PolicyError', code: 'compile_failed', message });
    };
    await fails(
      'package authz\n\ndefault allow = false\n\nallow { input.x == 1 }\n',
      'v1',
      /roles-v0\.rego:5: rego_parse_error.*language version/s,
    );
    await fails('package authz\n\nallow {\n', 'v0', /rego_parse_error/);
    await fails(
      'package authz\n\nallow if http.send({"url": "http://localhost", "method": "GET"}).status_code == 200\n',
      'v1',
      /undefined function http\.send.*only the built-ins of docs\/policy\.md/s,
    );
    await fails('package other\n\nallow := true\n', 'v1', /authz\/allow/);
  });
  it('offers print, which leaves nothing in the module', async (t) => {
    if (withOpa(t) === null) return;
    const source = copied('roles-v0');
    writeFileSync(source.file, 'package authz\n\nallow if { print("x", input.path); input.path == "/" }\n');
    const { wasm } = await moduleOf({ ...source, rego: 'v1' }, opa);
    assert.equal(inspectModule('printing', wasm, 512).literalPatterns, true);
  });
  it('says when the command is not one', async () => {
    const source = copied('roles-v0');
    await assert.rejects(moduleOf(source, join(dirname(source.file), 'opa')), {
      code: 'compile_failed',
      message: /ENOENT/,
    });
  });
});

describe('the capabilities that policies are compiled with', () => {
  const names = capabilities.builtins.map((b) => b.name);
  it('hold every built-in of ours, and none that nobody gives', () => {
    for (const name of BUILTINS.keys()) assert.ok(names.includes(name), name);
    for (const name of [
      'http.send',
      'opa.runtime',
      'rand.intn',
      'time.diff',
      'regex.split',
      'io.jwt.decode',
      'net.lookup_ip_addr',
      'uuid.rfc4122',
      'yaml.unmarshal',
      'trace',
    ]) {
      assert.ok(!names.includes(name), name);
    }
  });
  it('give each of ours the number of arguments that it takes', () => {
    for (const [name, { arity }] of BUILTINS) {
      const declared = capabilities.builtins.find((b) => b.name === name)?.decl as { args?: unknown[] } | undefined;
      assert.equal(declared?.args?.length ?? 0, arity, name);
    }
  });
});

describe('findOpa', () => {
  it('looks through a PATH', () => {
    assert.equal(findOpa(undefined), null);
    assert.equal(findOpa(''), null);
    const source = copied('roles-v0');
    writeFileSync(join(dirname(source.file), 'opa'), '');
    assert.equal(findOpa(`/nowhere:${dirname(source.file)}`), join(dirname(source.file), 'opa'));
  });
});

/** A ustar archive of one member and its end. */
function tarGz(name: string, content: string, change: (head: Buffer) => void = () => {}): Buffer {
  const head = Buffer.alloc(512);
  head.write(name, 0);
  head.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  head.write('0', 156);
  change(head);
  head.write('        ', 148);
  head.write(
    `${head
      .reduce((a, b) => a + b, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  );
  const body = Buffer.alloc(Math.ceil(content.length / 512) * 512);
  body.write(content);
  return gzipSync(Buffer.concat([head, body, Buffer.alloc(1024)]));
}

describe('the archive reader', () => {
  const read = (bytes: Uint8Array) =>
    Object.fromEntries([...readTarGz(bytes, ['policy.wasm'])].map(([k, v]) => [k, Buffer.from(v).toString()]));
  it('gives the regular files that are wanted, and nothing else', () => {
    assert.deepEqual(read(tarGz('/policy.wasm', 'code')), { 'policy.wasm': 'code' });
    assert.deepEqual(read(tarGz('./policy.wasm', 'x'.repeat(600))), { 'policy.wasm': 'x'.repeat(600) });
    assert.deepEqual(read(tarGz('policy.wasm', '')), { 'policy.wasm': '' });
    assert.deepEqual(read(tarGz('../policy.wasm', 'code')), {});
    assert.deepEqual(read(tarGz('/other.wasm', 'code')), {});
    assert.deepEqual(read(tarGz('policy.wasm', '', (head) => head.write('2', 156))), {}, 'a link');
  });
  it('refuses what is damaged, too large or without end', () => {
    const bad = [
      Buffer.from('no gzip'),
      gzipSync(''),
      gzipSync(Buffer.alloc(512, 1)),
      gzipSync(Buffer.concat([Buffer.alloc(100)])),
      gzipSync(Buffer.alloc(65 * 1024 * 1024)),
      tarGz('policy.wasm', 'x', (head) => head.write('77777777777', 124)),
      tarGz('policy.wasm', 'x', (head) => head.write('-0000000001', 124)),
    ];
    for (const bytes of bad) assert.throws(() => readTarGz(bytes, ['policy.wasm']), ArchiveError);
  });
  it('never fails in another way, whatever the bytes', () => {
    const whole = tarGz('policy.wasm', 'code');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1_600 }), fc.boolean(), (bytes, zipped) => {
        try {
          readTarGz(zipped ? gzipSync(bytes) : bytes, ['policy.wasm']);
        } catch (error) {
          assert.ok(error instanceof ArchiveError, String(error));
        }
      }),
    );
    for (let cut = 0; cut < whole.length; cut++)
      assert.throws(() => readTarGz(whole.subarray(0, cut), []), ArchiveError);
  });
});
