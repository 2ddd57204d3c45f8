/** `cnx check`, `cnx routes` and `cnx run` as far as they go without a gateway: what a person in front of a wrong directory reads. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run as bundleCommand } from '../../src/cli/bundle/bundle.ts';
import { run as check } from '../../src/cli/check.ts';
import type { Command } from '../../src/cli/io.ts';
import { run as routes } from '../../src/cli/routes.ts';
import { run as runGateway } from '../../src/cli/run.ts';
import { type BundleParts, plainBundle, writeBundle } from '../harness/bundle.ts';

const root = mkdtempSync(join(tmpdir(), 'cnx-cli-'));
after(() => rmSync(root, { recursive: true, force: true }));
const demo = fileURLToPath(new URL('../../config/demo', import.meta.url));

async function said(command: Command, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const io = { stdout: (t: string) => (out += t), stderr: (t: string) => (err += t), env: { PATH: '' } };
  const code = await command(args, io);
  return { code, out: out.replaceAll(`${root}/`, ''), err: err.replaceAll(`${root}/`, '') };
}

let made = 0;
function bundle(parts: Partial<BundleParts>): string {
  const directory = join(root, `bundle-${++made}`);
  writeBundle(directory, plainBundle(['127.0.0.1:1'], parts));
  return directory;
}

describe('cnx check', () => {
  it('says that the demo is right, and what is in it', async () => {
    const { code, out, err } = await said(check, demo);
    assert.equal(err, '');
    assert.equal(
      out,
      'ok: 4 route(s), 2 cell(s), 1 issuer(s), 3 limit(s), 1 policy(ies), 7 rule file(s), 5 test(s) passed\n',
    );
    assert.equal(code, 0);
  });
  it('says every problem at once, each on a line, and how many', async () => {
    const directory = bundle({ release: { floor: -1 }, defaults: { retrys: 1 } });
    writeFileSync(join(directory, 'limit.yaml'), '{}');
    const { code, err } = await said(check, directory);
    const lines = err.replaceAll(/bundle-\d+\//g, '').split('\n');
    assert.deepEqual(lines, [
      'limit.yaml: not a document of a bundle; did you mean "limits"?',
      'release.yaml:1:49: /floor: -1 is out of bounds; 0 to 9007199254740991 is expected (Bundles below this sequence number are refused from now on.)',
      'defaults.yaml:1:2: /retrys: unknown key "retrys"; did you mean "retries"?',
      '3 problem(s)',
      '',
    ]);
    assert.equal(code, 1);
  });
  it('knows the calendar, and that a bundle would refuse itself, with the place', async () => {
    const wrong = async (release: object): Promise<string> => {
      const { code, err } = await said(check, bundle({ release }));
      assert.equal(code, 1);
      return err.replaceAll(/bundle-\d+\//g, '');
    };
    assert.match(
      await wrong({ notAfter: '2027-02-31' }),
      /^release\.yaml:1:\d+: \/notAfter: "2027-02-31" is a day that the calendar has not .*\n1 problem/,
    );
    assert.match(await wrong({ notAfter: '2027-02-29T10:00:00Z' }), /a day that the calendar has not/);
    for (const notAfter of ['2027-01-01T25:00:00Z', '2027-01-01T24:00Z', '2027-13-01', '2027-01-32'])
      assert.match(await wrong({ notAfter }), /^release\.yaml:1:\d+: \/notAfter: .* does not fit .*\n1 problem/);
    assert.match(
      await wrong({ seq: 1, floor: 5 }),
      /^release\.yaml:1:\d+: \/floor: 5 is above the bundle's own sequence number \(seq: 1\)/,
    );
    assert.equal((await said(check, bundle({ release: { notAfter: '2028-02-29', seq: 5, floor: 5 } }))).code, 0);
  });
  it('says of words that look like numbers to put them in quotes', async () => {
    const file = join(root, 'versions.yaml');
    const rest = 'bundle: {source: "oci:b"}\ntrustFile: trust.yaml\nstateDir: s\n';
    writeFileSync(file, `listeners:\n  - {id: web, port: 0, tls: {minVersion: 1.3}}\n${rest}`);
    const { code, err } = await said(check, file);
    assert.match(
      err,
      /versions\.yaml:2:\d+: \/listeners\/0\/tls\/minVersion: 1\.3 is not one of 1\.2, 1\.3; put it in quotes\n/,
    );
    assert.equal(code, 1);
  });
  it('takes nothing that is not UTF-8, and says where', async () => {
    const directory = bundle({});
    writeFileSync(join(directory, 'routes.yaml'), Buffer.from('routes:\n  - id: caf\xe9\n', 'latin1'));
    const { code, err } = await said(check, directory);
    assert.equal(
      err.replaceAll(/bundle-\d+\//g, ''),
      'routes.yaml:2:12: not UTF-8; save the file in that encoding\n1 problem(s)\n',
    );
    assert.equal(code, 1);
  });
  it('finds what only compiling finds, in the documents and in the rules', async () => {
    const route = { id: 'a', match: { path: { template: '/a/{id' } }, access: 'public', reason: 'for a test' };
    const directory = bundle({
      routes: { routes: [route] },
      waf: { rules: ['rules.conf'] },
      files: { 'rules.conf': 'SecRule ARGS "@rx (" "id:1"\nSecRul\n' },
    });
    const { code, err } = await said(check, directory);
    assert.equal(code, 1);
    assert.match(err, /routes\.yaml:1:\d+: \/routes\/0\/match: .*\{id/);
    assert.match(err, /waf\.yaml:1:\d+: \/rules: rules\.conf:1: /);
    assert.match(err, /waf\.yaml:1:\d+: \/rules: rules\.conf:2: /);
    assert.match(err, /3 problem\(s\)/);
  });
  it('tells errors of WAF expressions with their places, and what to write', async () => {
    const rule = (when: unknown): object => ({ when, action: 'block' });
    const route = { id: 'a', match: { path: { prefix: '/' } }, access: 'public', reason: 'for a test' };
    const directory = bundle({
      routes: { routes: [{ ...route, waf: { rules: [rule('http.hots eq "a"')] } }] },
      waf: {
        lists: { office: ['10.0.0.0/33'] },
        rules: [
          'rules.conf',
          rule('http.request.path starts_with "/admin" and not ip.src in $office'),
          rule('http.request.headers["x"] eq "a"'),
          { id: 90_000_000, ...rule('ssl') },
        ],
      },
      files: { 'rules.conf': 'SecAction "id:90000000,phase:1,pass"\n' },
    });
    const { code, err } = await said(check, directory);
    assert.equal(code, 1);
    const lines = [
      'routes.yaml:1: /routes/0/waf/rules/0/when: column 1: no field is called http.hots; did you mean http.host?',
      'waf.yaml:1: /rules/1/when: column 58: $office is a list of strings: "10.0.0.0/33" is no address and no network; correct the entry, or compare a string with the list',
      'waf.yaml:1: /rules/2/when: column 1: http.request.headers["x"] is Array<Bytes>, not one value; write any(http.request.headers["x"][*] eq "a") or http.request.headers["x"][0] eq "a"',
      'waf.yaml:1: /rules: rules.conf:1: the ids from 90000000 to 90999999 are those of expressions; choose another',
    ];
    const heard = err.split('\n').map((l) => l.replace(/^[^/]+\/(\S+:\d+):\d+: /, '$1: '));
    for (const line of lines) assert.ok(heard.includes(line), `${line}\n${err}`);
    assert.match(err, /4 problem\(s\)/);
  });
  it('tells what is wrong with the items of expressions', async () => {
    const directory = bundle({
      waf: {
        lists: { Office: ['a', 1], none: [] },
        rules: [
          { when: 'ssl' },
          { when: 'ssl', action: 'blok' },
          { when: 'ssl', action: 'score' },
          { when: 'ssl', action: 'log', points: 3, tags: ['x'] },
          { when: 'ssl', action: 'log', mesage: 'x' },
          5,
          'rules.txt',
        ],
      },
    });
    const { err } = await said(check, directory);
    for (const line of [
      /\/rules\/0: "action" is missing/,
      /\/rules\/1\/action: "blok" is not one of block, log, score, skip; did you mean "block"\?/,
      /\/rules\/4\/mesage: unknown key "mesage"; did you mean "message"\?/,
      /\/rules\/5: expected a text or a mapping, got 5/,
      /\/rules\/6: "rules\.txt" does not fit .*; expected something like "waf\/sql\.conf"/,
      /\/lists\/none: 0 items; 1 to 100000 are expected/,
    ])
      assert.match(err, line);
    const second = bundle({
      waf: {
        lists: { Office: ['a', 1] },
        rules: [
          { when: 'ssl', action: 'score' },
          { when: 'ssl', action: 'log', points: 3, tags: ['x'] },
        ],
      },
    });
    const told = (await said(check, second)).err;
    for (const line of [
      /\/rules\/0\/action: score needs `points`: say how many/,
      /\/rules\/1\/points: belongs to `action: score`, not to log/,
      /\/rules\/1\/tags: belongs to `action: skip`, not to log/,
      /\/lists\/Office: "Office" is no name of a list/,
      /\/lists\/Office: holds strings and numbers; write one kind/,
    ])
      assert.match(told, line);
  });
  it('finds files that are not there or lie outside, and documents that are there twice', async () => {
    const directory = bundle({ waf: { rules: ['none.conf', 'out.conf', '../up.conf'] } });
    writeFileSync(join(root, 'up.conf'), '');
    symlinkSync(join(root, 'up.conf'), join(directory, 'out.conf'));
    writeFileSync(join(directory, 'waf.json'), '{}');
    const twice = await said(check, directory);
    assert.match(twice.err, /waf\.(json|yaml) already says the same part; keep one of them/);
    rmSync(join(directory, 'waf.json'));
    const { err } = await said(check, directory);
    assert.match(err, /\/rules\/0: there is no file "none\.conf" in the bundle directory/);
    assert.match(err, /\/rules\/1: "out\.conf" leads out of the bundle directory/);
    assert.match(err, /\/rules\/2: "\.\.\/up\.conf" leads out of the bundle directory/);
  });
  it('reads a bootstrap when it is given a file', async () => {
    const file = join(root, 'gateway.yaml');
    writeFileSync(
      file,
      'listeners: [{id: web, port: 1}]\nbundle: {source: "registry.example/a:b"}\ntrustFile: t\nstateDir: s\n',
    );
    assert.deepEqual(await said(check, file), {
      code: 0,
      out: 'ok: a bootstrap with 1 listener(s), bundles from registry.example/a:b\n',
      err: '',
    });
    writeFileSync(file, 'listeners: []\n');
    const { code, err } = await said(check, file);
    assert.equal(code, 1);
    assert.match(err, /^gateway\.yaml:1:1: "bundle" is missing/m);
  });
  it('says how it is used', async () => {
    assert.equal((await said(check)).code, 2);
    assert.match((await said(check, '--help')).out, /^usage: cnx check/);
    await assert.rejects(said(check, join(root, 'nowhere')), /ENOENT/);
  });
});

describe('cnx routes', () => {
  it('prints the compiled table, a route after those that come before it', async () => {
    const { code, out } = await said(routes, demo);
    assert.equal(code, 0);
    assert.equal(
      out,
      `HOST  PATH              METHODS  ROUTE        ACCESS             WAF    LIMITS                  TO
*     prefix /api       *        api          demo policy authz  block  per-address,per-tenant  tenant by claim tenant
*     exact /echo       GET      echo-socket  public             block  per-address             cell us-1
*     exact /slow-lane  GET      slow-lane    public             block  per-address,slow-lane   cell eu-1
*     prefix /          *        home         public             block  per-address             redirect https:8443, cell eu-1
`,
    );
    const rows = JSON.parse((await said(routes, demo, '--json')).out) as { id: string }[];
    assert.deepEqual(
      rows.map((r) => r.id),
      ['api', 'echo-socket', 'slow-lane', 'home'],
    );
  });
  it('of a wrong bundle says what is wrong', async () => {
    const copy = join(root, 'demo');
    cpSync(demo, copy, { recursive: true });
    writeFileSync(join(copy, 'cells.yaml'), 'cells: []\n');
    await assert.rejects(said(routes, copy), /cells\.yaml:1:8: \/cells: 0 items; 1 to 256 are expected/);
  });
});

describe('cnx run', () => {
  it('does not start on what it cannot use, and says why', async () => {
    const file = join(root, 'run.yaml');
    const right = 'listeners: [{id: web, port: 0}]\nbundle: {source: "oci:b"}\ntrustFile: trust.yaml\nstateDir: s\n';
    assert.equal((await said(runGateway)).code, 2);
    await assert.rejects(said(runGateway, '--config', join(root, 'none.yaml')), /there is no file .*none\.yaml/);
    writeFileSync(file, `${right}lanes: many\n`);
    await assert.rejects(
      said(runGateway, '--config', file),
      /run\.yaml:5:8: \/lanes: expected a whole number, got "many"/,
    );
    writeFileSync(file, right);
    await assert.rejects(said(runGateway, '--config', file), /trust\.yaml/);
    writeFileSync(join(root, 'trust.yaml'), 'product: a\nchannel: b\nkeys: []\n');
    await assert.rejects(said(runGateway, '--config', file), /trust\.yaml:3:7: \/keys: 0 items; 1 to 8 are expected/);
  });
});

describe('cnx bundle build', () => {
  const build = (directory: string): ReturnType<typeof said> =>
    said(bundleCommand, 'build', directory, '--out', `oci:${directory}-out:stable`);
  it('writes nothing that a gateway would refuse to compile, and says all of it as `cnx check` does', async () => {
    const reason = 'everything, for a test';
    const directory = bundle({
      routes: { routes: [{ id: 'a', match: { path: { template: '/a/{id' } }, access: 'public', reason }] },
      waf: { mode: 'block', rules: ['waf/own.conf'] },
      files: { 'waf/own.conf': 'SecRule ARGS "@rx (a" "id:1,phase:2,deny"\n' },
    });
    const { code, err } = await build(directory);
    assert.equal(code, 1);
    assert.match(err, /waf\.yaml:1:\d+: \/rules: waf\/own\.conf:1: the expression is wrong/);
    assert.match(err, /routes\.yaml:1:\d+: \/routes\/0\/match: .*a parameter is a whole segment/);
    assert.equal(existsSync(`${directory}-out`), false);
    const checked = await said(check, directory);
    for (const line of checked.err.split('\n').slice(0, 2)) assert.ok(err.includes(line), `${err} lacks ${line}`);
  });
  it('takes secrets, files and names that only a gateway has for granted', async () => {
    const directory = bundle({
      issuers: {
        issuers: [
          { id: 'i', issuer: 'https://i.test', audiences: ['a'], algorithms: ['HS256'], hmacSecret: 'of-the-gateway' },
        ],
      },
      cells: { cells: [{ id: 'one', endpoints: [{ address: 'no-such-name.invalid:80' }] }] },
    });
    const { code, err } = await build(directory);
    assert.deepEqual([code, err], [0, '']);
  });
});

describe('cnx bundle build, of times and numbers', () => {
  it('writes every time that release.yaml may say as the release document must', async () => {
    for (const [notAfter, whole] of [
      ['2027-01-01', '2027-01-01T00:00:00Z'],
      ['2027-01-01T12:30Z', '2027-01-01T12:30:00Z'],
      ['2027-01-01T12:30:05.25Z', '2027-01-01T12:30:05.25Z'],
    ] as const) {
      const directory = bundle({ release: { notAfter } });
      const layout = `oci:${directory}-layout:stable`;
      const built = await said(bundleCommand, 'build', directory, '--out', layout);
      assert.equal(built.err, '');
      const { out } = await said(bundleCommand, 'inspect', layout, '--json');
      assert.ok(out.includes(`"notAfter": "${whole}"`), out);
    }
  });
  it('says of a floor above the number that it would get what to do', async () => {
    const directory = bundle({ release: { floor: 5 } });
    const layout = `oci:${directory}-layout:stable`;
    const built = await said(bundleCommand, 'build', directory, '--out', layout);
    assert.match(built.err, /the floor in release\.yaml is 5, above .* number 1, .*--seq 5/);
    assert.equal((await said(bundleCommand, 'build', directory, '--out', layout, '--seq', '5')).code, 0);
  });
});
