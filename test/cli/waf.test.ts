/** `cnx waf …` as somebody who moves a rule set over uses it: the release into the bundle, one request through it, the exclusion back into the bundle. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { parse } from 'yaml';
import { run as check } from '../../src/cli/check.ts';
import type { Command } from '../../src/cli/io.ts';
import { run as waf } from '../../src/cli/waf/waf.ts';
import { sha256 } from '../../src/control/crs/lock.ts';
import type { WafRule, WafTrace } from '../../src/native/waf.ts';
import { tarGz, zip } from '../harness/archives.ts';
import { type BundleParts, plainBundle, writeBundle } from '../harness/bundle.ts';
import { crsDirectory } from '../harness/crs.ts';

const root = mkdtempSync(join(tmpdir(), 'cnx-waf-'));
after(() => rmSync(root, { recursive: true, force: true }));

async function said(command: Command, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const io = { stdout: (t: string) => (out += t), stderr: (t: string) => (err += t), env: { PATH: '' } };
  const code = await command(args, io);
  return { code, out: out.replaceAll(`${root}/`, ''), err: err.replaceAll(`${root}/`, '') };
}

let made = 0;
function place(name: string): string {
  return join(root, `${++made}-${name}`);
}

function file(name: string, content: string | Uint8Array): string {
  const path = place(name);
  writeFileSync(path, content);
  return path;
}

function bundle(parts: Partial<BundleParts> = {}): string {
  const directory = place('bundle');
  writeBundle(directory, plainBundle(['127.0.0.1:1'], parts));
  return directory;
}

const SETUP = 'SecDefaultAction "phase:2,log,pass"\n';
const RULE = `SecRule ARGS "@pmFromFile bad.data" "id:942999,phase:2,block,t:none,msg:'Bad',tag:'attack-x',ver:'OWASP_CRS/4.99.0',severity:CRITICAL"\n`;
/** A release in small. */
const RELEASE: readonly (readonly [string, string])[] = [
  ['crs-setup.conf.example', SETUP],
  ['LICENSE', 'a licence'],
  ['rules/REQUEST-942-TEST.conf', RULE],
  ['rules/bad.data', 'badword\n'],
  ['rules/REQUEST-900-EXCLUSION.conf.example', '# for people\n'],
  ['tests/regression/x.yaml', 'not taken'],
  ['README.md', 'not taken'],
];
const topped = RELEASE.map(([name, content]) => [`coreruleset-4.99.0/${name}`, content] as const);
const TAKEN = [
  'LICENSE',
  'crs-setup.conf.example',
  'crs.lock.json',
  'rules/REQUEST-900-EXCLUSION.conf.example',
  'rules/REQUEST-942-TEST.conf',
  'rules/bad.data',
];

function filesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.|LICENSE/.test(name))
    .sort();
}

describe('cnx waf crs', () => {
  for (const [kind, archive] of [
    ['tar.gz', tarGz(topped)],
    ['zip', zip(topped)],
  ] as const) {
    it(`takes rules, data, setup and licence out of a ${kind}, and nothing else`, async () => {
      const dir = bundle();
      const release = file(`release.${kind}`, archive);
      const { code, out, err } = await said(waf, 'crs', dir, '--from', release, '--sha256', sha256(archive));
      assert.equal(err, '');
      assert.equal(code, 0);
      assert.match(out, /Core Rule Set 4\.99\.0: 5 files/);
      assert.match(out, /crs: \{ dir: waf\/crs \}/);
      assert.deepEqual(filesBelow(join(dir, 'waf/crs')), TAKEN);
      const lock = JSON.parse(readFileSync(join(dir, 'waf/crs/crs.lock.json'), 'utf8')) as Record<string, never>;
      assert.deepEqual(lock['source'], { name: release.split('/').at(-1), sha256: sha256(archive) });
      assert.equal(lock['files']?.['rules/bad.data'], sha256(Buffer.from('badword\n')));
    });
  }

  it('takes what tar and zip themselves write', async () => {
    const from = place('unpacked');
    const dir = bundle();
    await said(waf, 'crs', dir, '--from', file('release.zip', zip(topped)));
    cpSync(join(dir, 'waf/crs'), join(from, 'coreruleset-4.99.0'), { recursive: true });
    const packed = `${from}.tar.gz`;
    execFileSync('tar', ['-czf', packed, '-C', from, 'coreruleset-4.99.0']);
    const other = bundle();
    assert.equal((await said(waf, 'crs', other, '--from', packed)).code, 0);
    assert.deepEqual(filesBelow(join(other, 'waf/crs')), TAKEN);
  });

  it('puts a release in the place of another, and says what changed', async () => {
    const dir = bundle();
    await said(waf, 'crs', dir, '--from', file('one.tar.gz', tarGz(topped)));
    const next = topped
      .filter(([name]) => !name.endsWith('LICENSE'))
      .map(([name, content]) => [name, name.endsWith('.data') ? 'worse\n' : content] as const);
    const { out } = await said(waf, 'crs', dir, '--from', file('two.tar.gz', tarGz(next)));
    assert.match(out, /in the place of 4\.99\.0: \n {2}gone {4}LICENSE\n {2}changed rules\/bad\.data\n$/);
    assert.ok(!existsSync(join(dir, 'waf/crs/LICENSE')));
  });

  const evil = (name: string): Buffer => tarGz([...topped, [name, 'x']]);
  const many = Array.from({ length: 600 }, (_, i) => [`top/rules/r${i}.conf`, RULE] as const);
  const WRONG: readonly (readonly [what: string, archive: () => Buffer, says: RegExp])[] = [
    ['a path that leads out of the archive', () => evil('coreruleset-4.99.0/../../rules/x.conf'), /leads out of it/],
    ['such a path in a ZIP', () => zip([...topped, ['a/rules/..\\..\\x.conf', 'x']]), /leads out of it/],
    ['links in the place of files', () => tarGz(topped, '2'), /neither crs-setup.conf.example nor crs-setup.conf/],
    ['two rule sets at once', () => tarGz([...topped, ['other/rules/x.conf', RULE]]), /more than one rule set/],
    ['a name that is there twice', () => tarGz([...topped, ...topped.slice(0, 1)]), /twice/],
    ['no rules', () => tarGz(topped.slice(0, 2)), /holds no rules/],
    [
      'rules of something else',
      () => tarGz([...topped.slice(0, 2), ['coreruleset-4.99.0/rules/x.conf', 'SecAction "id:1"']]),
      /this is no Core Rule Set/,
    ],
    [
      'too many files',
      () => tarGz([...topped.slice(0, 1).map(([, c]) => ['top/crs-setup.conf', c] as const), ...many]),
      /601 files; at most 512/,
    ],
    [
      'a file that is too large',
      () => tarGz([...topped, ['coreruleset-4.99.0/rules/x.data', 'x'.repeat(4 * 1024 * 1024 + 1)]]),
      /4194305 bytes; at most/,
    ],
    ['a bomb', () => tarGz([['a/rules/x.data', Buffer.alloc(65 * 1024 * 1024)]]), /not a gzip of at most/],
    ['a ZIP whose directory says that a file is shorter', () => zip(topped, (e) => e.writeUInt32LE(3, 24)), /damaged/],
    ['a ZIP bomb', () => zip(topped, (e) => e.writeUInt32LE(0xf000_0000, 24)), /more than \d+ bytes/],
    ['a ZIP with a wrong checksum', () => zip(topped, (e) => e.writeUInt32LE(1, 16)), /damaged/],
    ['a torn ZIP', () => zip(topped).subarray(0, 300), /not a ZIP archive, or a torn one/],
    ['neither of the two', () => Buffer.from('hello'), /not a gzip/],
  ];
  for (const [what, archive, says] of WRONG) {
    it(`refuses ${what}, and leaves what stands there`, async () => {
      const dir = bundle();
      await said(waf, 'crs', dir, '--from', file('good.tar.gz', tarGz(topped)));
      const { code, err } = await said(waf, 'crs', dir, '--from', file('bad', archive()));
      assert.equal(code, 1);
      assert.match(err, says);
      assert.deepEqual(filesBelow(join(dir, 'waf/crs')), TAKEN);
    });
  }

  it('refuses an archive with another checksum than expected, and a directory that is not its own', async () => {
    const dir = bundle({ files: { 'waf/crs/own.conf': '' } });
    const release = file('release.tar.gz', tarGz(topped));
    assert.match(
      (await said(waf, 'crs', dir, '--from', release, '--sha256', '0'.repeat(64))).err,
      /not what was released/,
    );
    assert.match((await said(waf, 'crs', dir, '--from', release)).err, /holds something else/);
    assert.equal((await said(waf, 'crs', dir, '--from', release, '--dir', '../out')).code, 2);
  });

  it('never takes a torn archive for a whole one, wherever it is torn', async () => {
    const dir = bundle();
    const whole = zip(topped);
    for (let cut = 0; cut < whole.length; cut += 37) {
      const { code } = await said(waf, 'crs', dir, '--from', file('torn.zip', whole.subarray(0, cut)));
      assert.equal(code, 1, `cut at ${cut}`);
    }
  });
});

describe('a bundle with a Core Rule Set', () => {
  const given = async (waf: object = {}): Promise<string> => {
    const dir = bundle({ waf: { mode: 'block', crs: { dir: 'waf/crs' }, ...waf } });
    await said(wafCommand, 'crs', dir, '--from', file('release.tar.gz', tarGz(topped)));
    return dir;
  };
  const wafCommand = waf;

  it('is right as the release has it', async () => {
    const { out, err } = await said(check, await given());
    assert.equal(err, '');
    assert.match(out, /2 rule file\(s\)/);
  });
  it('is wrong when a file is changed, missing or added, each with what to do', async () => {
    const dir = await given();
    appendFileSync(join(dir, 'waf/crs/rules/REQUEST-942-TEST.conf'), '# changed\n');
    rmSync(join(dir, 'waf/crs/LICENSE'));
    writeFileSync(join(dir, 'waf/crs/rules/own.conf'), '');
    const { err } = await said(check, dir);
    assert.match(err, /REQUEST-942-TEST.conf is not what the Core Rule Set 4\.99\.0 has; leave it as it is/);
    assert.match(err, /LICENSE of the Core Rule Set 4\.99\.0 is missing/);
    assert.match(err, /rules\/own.conf is not a file of the Core Rule Set/);
  });
  it('is wrong without its lock, with a wrong one, and when it leads out of the bundle', async () => {
    const dir = await given();
    const lock = join(dir, 'waf/crs/crs.lock.json');
    for (const [text, says] of [
      ['{', /is no JSON/],
      ['{}', /names no version/],
      ['{"version":"1","source":{"name":"a"},"files":{"../../etc/passwd":"00"}}', /no file of a rule set/],
    ] as const) {
      writeFileSync(lock, text);
      assert.match((await said(check, dir)).err, says);
    }
    rmSync(lock);
    assert.match(
      (await said(check, dir)).err,
      /there is no crs\.lock\.json in it; put a Core Rule Set there with `cnx waf crs <bundle directory> --from RELEASE`/,
    );
    const elsewhere = await given();
    rmSync(join(dir, 'waf/crs'), { recursive: true });
    symlinkSync(join(elsewhere, 'waf/crs'), join(dir, 'waf/crs'));
    assert.match((await said(check, dir)).err, /leads out of the bundle directory/);
  });
  it('loads setup, plugins and own files where they belong', async () => {
    const dir = await given({
      crs: {
        dir: 'waf/crs',
        setup: 'own-setup.conf',
        before: ['before.conf'],
        plugins: ['p-after.conf', 'p-config.conf', 'p-before.conf'],
      },
      rules: ['last.conf'],
    });
    const own: Readonly<Record<string, number>> = {
      'own-setup': 1,
      before: 3,
      'p-after': 5,
      'p-config': 2,
      'p-before': 4,
      last: 6,
    };
    for (const [name, id] of Object.entries(own))
      writeFileSync(join(dir, `${name}.conf`), `SecAction "id:${id},phase:2,pass,log,msg:'${name}'"\n`);
    const { out, err } = await said(waf, 'rules', dir, '--json');
    assert.equal(err, '');
    const rules = JSON.parse(out) as WafRule[];
    assert.deepEqual(
      rules.map((r) => r.id),
      [200002, 200003, 200004, 1, 2, 3, 4, 942999, 5, 6],
    );
  });
});

const crs = crsDirectory();

describe('cnx waf test', { skip: crs === null ? 'the Core Rule Set is not here' : false }, () => {
  const ATTACK =
    'GET /?id=1%27%20OR%201=1--%20&comment=<script>alert(1)</script> HTTP/1.1\nHost: shop.example\nUser-Agent: Mozilla/5.0\nAccept: */*\n\n';
  const BENIGN =
    'GET /search?q=red+shoes HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\r\n';
  const trace = async (...args: string[]): Promise<{ code: number; trace: WafTrace }> => {
    const { code, out, err } = await said(waf, 'test', ...args, '--json');
    assert.equal(err, '');
    return { code, trace: JSON.parse(out) as WafTrace };
  };
  const directory = crs ?? '';

  it('tells each match, what it would do, and what to paste; and pasting it works', async () => {
    const request = file('attack.http', ATTACK);
    const { code, out } = await said(waf, 'test', directory, '--request', request);
    assert.equal(code, 3);
    assert.match(out, /REFUSED by rule 949110/);
    assert.match(out, /942100 {3}CRITICAL {2}SQL Injection/);
    assert.match(out, /ARGS:id = 1' OR 1=1--/);
    assert.match(out, /^inbound {3}\d+ of 5/m);
    const [, pasted = ''] =
      /paste into waf\.yaml:\n {2}exclude:\n([^]*)with it: passes, and no rule matches\n$/.exec(out) ?? [];
    const exclude = parse(pasted) as object[];
    assert.ok(exclude.some((e) => JSON.stringify(e) === '{"rule":942100,"target":"ARGS:id"}'));
    const dir = bundle({ waf: { mode: 'block', crs: { dir: 'waf/crs' }, exclude } });
    await said(waf, 'crs', dir, '--from', directory);
    assert.equal((await said(waf, 'test', dir, '--request', request)).code, 0);
  });
  it('lets pass what is no attack', async () => {
    const { code, out } = await said(waf, 'test', directory, '--request', file('benign.http', BENIGN));
    assert.equal(code, 0);
    assert.match(out, /: passes\n\nno rule matched/);
  });
  it('runs a route as it is written: mode, level, exclusions, settings', async () => {
    const route = (id: string, waf: object): object => ({
      id,
      match: { path: { exact: `/${id}` } },
      access: 'public',
      reason: 'for a test',
      waf,
    });
    const dir = bundle({
      waf: { mode: 'block', crs: { dir: 'waf/crs', allowedMethods: ['GET'] }, threshold: 7 },
      routes: {
        routes: [
          route('strict', { threshold: 3, paranoiaLevel: 4 }),
          route('lifted', { exclude: [{ rules: '911100' }, { tag: 'attack-protocol' }, { message: 'nothing' }] }),
          route('methods', { crs: { allowedMethods: ['GET', 'PURGE'] } }),
          route('watched', { mode: 'detect', threshold: 5 }),
          route('off', { mode: 'off' }),
          route('higher', { threshold: 100 }),
        ],
      },
    });
    await said(waf, 'crs', dir, '--from', directory);
    const purge = file('purge.http', 'PURGE / HTTP/1.1\nHost: shop.example\nUser-Agent: x\nAccept: */*\n\n');
    const ids = (t: WafTrace): number[] => t.matches.filter((m) => m.logged && m.phase < 3).map((m) => m.ruleId);
    const of = (id: string, request = purge) => trace(dir, '--route', id, '--request', request);
    assert.deepEqual(ids((await trace(dir, '--request', purge)).trace), [911100], 'a score of 5 stays below 7');
    assert.equal((await of('strict')).code, 3);
    assert.ok(ids((await of('strict')).trace).length > 1);
    assert.deepEqual(ids((await of('lifted')).trace), []);
    assert.deepEqual(ids((await of('methods')).trace), []);
    const watched = await of('watched');
    assert.deepEqual([watched.code, watched.trace.verdict, watched.trace.wouldBlock], [3, 'detect-match', true]);
    assert.match(
      (await said(waf, 'test', dir, '--route', 'off', '--request', purge)).out,
      /passes: the WAF is off here/,
    );
    assert.equal((await of('higher', file('a.http', ATTACK))).code, 0);
    assert.equal(
      (await trace(dir, '--route', 'higher', '--request', purge, '--paranoia', '4')).trace.tx[
        'blocking_paranoia_level'
      ],
      '4',
    );
    const { code, err } = await said(waf, 'test', dir, '--route', 'offf', '--request', purge);
    assert.deepEqual([code, /there is no route "offf"; there are strict, lifted/.test(err)], [2, true]);
  });
  it('finds the route that takes the request, and says which', async () => {
    const route = (id: string, match: object, waf: object): object => ({
      id,
      match,
      access: 'public',
      reason: 'for a test',
      waf,
    });
    const dir = bundle({
      waf: { mode: 'block', crs: { dir: 'waf/crs', allowedMethods: ['GET'] } },
      routes: {
        routes: [
          route('any', { path: { prefix: '/' } }, {}),
          route('purged', { path: { prefix: '/a' }, methods: ['PURGE'] }, { exclude: [{ rule: 911100 }] }),
          route('told', { path: { prefix: '/a' }, headers: [{ name: 'X-Beta', value: '1' }] }, { mode: 'detect' }),
          route('elsewhere', { hosts: ['*.other.example'], path: { prefix: '/a' } }, { mode: 'off' }),
          route('posts', { hosts: ['only.example'], path: { exact: '/b' }, methods: ['POST'] }, {}),
        ],
      },
    });
    await said(waf, 'crs', dir, '--from', directory);
    const tell = async (line: string, ...fields: string[]): Promise<[number, string]> => {
      const request = [line, ...fields, 'User-Agent: x', 'Accept: */*', '', ''].join('\n');
      const { code, out } = await said(waf, 'test', dir, '--request', file('r.http', request));
      return [code, /^route {5}(.*)$/m.exec(out)?.[1] ?? ''];
    };
    assert.deepEqual(await tell('PURGE / HTTP/1.1', 'Host: shop.example'), [3, 'any']);
    assert.deepEqual(await tell('PURGE /%61/b?c HTTP/1.1', 'Host: SHOP.example:80'), [0, 'purged']);
    assert.deepEqual(await tell('PUT /a HTTP/1.1', 'Host: shop.example', 'X-BETA: 1'), [3, 'told']);
    assert.deepEqual(await tell('PUT /a HTTP/1.1', 'Host: shop.example', 'X-Beta: 2'), [3, 'any']);
    assert.deepEqual(await tell('GET http://a.other.example/a HTTP/1.1', 'Host: a.other.example'), [0, 'elsewhere']);
    assert.deepEqual(await tell('GET /a HTTP/1.1', 'Host: a b'), [
      0,
      'none takes it: the gateway would refuse it; here waf.yaml alone counts',
    ]);
  });
  it('reads bodies: with a length, in chunks, and with none said', async () => {
    const head =
      'POST / HTTP/1.1\nHost: a.example\nUser-Agent: x\nAccept: */*\nContent-Type: application/x-www-form-urlencoded\n';
    const body = 'q=1%27+OR+1=1--+';
    for (const rest of [
      `Content-Length: ${body.length}\n\n${body}\n\n`,
      `Transfer-Encoding: chunked\n\n4\r\n${body.slice(0, 4)}\r\n${(body.length - 4).toString(16)}\n${body.slice(4)}\n0\n\n`,
      `\n${body}`,
    ]) {
      const { trace: t } = await trace(directory, '--request', file('post.http', head + rest));
      assert.ok(
        t.matches.some((m) => m.ruleId === 942100 && m.variable === 'ARGS:q'),
        rest,
      );
    }
  });
  it('runs an answer through the phases of answers', async () => {
    const answer = file(
      'answer.http',
      'HTTP/1.1 200 OK\nContent-Type: text/html\n\nYou have an error in your SQL syntax; check the manual that corresponds to your MySQL server version',
    );
    const { code, trace: t } = await trace(directory, '--request', file('benign.http', BENIGN), '--response', answer);
    assert.equal(code, 3);
    assert.ok(t.scores.outbound >= 4);
  });
  it('runs files with rules, and their phrase files', async () => {
    const rules = file(
      'rules.conf',
      `SecRule ARGS "@pmFromFile ${made + 2}-words.data" "id:7,phase:2,deny,msg:'no'"\n`,
    );
    const words = file('words.data', 'shoes\n');
    const { code, trace: t } = await trace(rules, words, '--request', file('benign.http', BENIGN));
    assert.deepEqual([code, t.blockingRuleId], [3, 7]);
  });
  it('says what is wrong with a message, a rule or the command line', async () => {
    const request = file('benign.http', BENIGN);
    for (const [args, code, says] of [
      [[directory], 2, /--request FILE is missing/],
      [[directory, '--request', request, '--paranoia', '5'], 2, /--paranoia is 1, 2, 3 or 4/],
      [['--request', request], 2, /a bundle directory, or files with rules/],
      [[directory, '--request', file('empty', '')], 1, /the request is empty/],
      [[directory, '--request', file('odd', 'hello\n\n')], 1, /expected something like GET \/path HTTP\/1\.1/],
      [[directory, '--request', file('odd', 'GET / HTTP/1.1\nbroken\n\n')], 1, /no field of the request/],
      [
        [directory, '--request', request, '--response', file('odd', 'HTTP/1.1 OK\n\n')],
        1,
        /expected something like HTTP\/1\.1 200 OK/,
      ],
      [[file('rules.conf', 'SecRule ARGS "@rx (" "id:1"\n'), '--request', request], 1, /rules\.conf:1: /],
      [[directory, '--request', '/nowhere'], 1, /ENOENT/],
    ] as const) {
      const heard = await said(waf, 'test', ...args);
      assert.equal(heard.code, code, heard.err);
      assert.match(heard.err, says);
    }
  });
  it('lists the rules', async () => {
    const { out } = await said(waf, 'rules', directory, '--tag', 'attack-sqli', '--id', '942100-942150');
    assert.match(out, /^942100 {4}2 {2}P1 {2}CRITICAL {3}SQL Injection Attack Detected via libinjection$/m);
    assert.match(out, /\d+ rule\(s\)\n$/);
  });
});

describe('cnx waf tune', () => {
  const line = (id: number, address: string, matches: object[], over: object = {}): string =>
    JSON.stringify({
      kind: 'request',
      id: `3f2a1b-00-${id.toString(16).padStart(8, '0')}`,
      time: '',
      method: 'GET',
      scheme: 'https',
      host: 'a',
      path: '/',
      query: '',
      at: 'waf',
      detail: '',
      subject: '',
      tenant: '',
      credential: 'none',
      lane: 0,
      revision: 1,
      status: 403,
      durationMs: 1,
      bytesIn: 0,
      bytesOut: 0,
      attempts: 0,
      clientAddress: address,
      clientRequestId: '',
      stageUs: {},
      cut: [],
      refusal: null,
      limit: null,
      policy: null,
      bundle: null,
      upstream: null,
      route: 'shop',
      waf: { verdict: 'detected', score: 5, matches },
      ...over,
    });
  const match = (rule: number, variable: string, more: object = {}): object => ({
    rule,
    variable,
    value: 'v',
    message: 'm',
    ...more,
  });
  it('proposes what most clients stumble over first, and never the rule over the sum', async () => {
    const sum = match(949110, 'TX:blocking_inbound_anomaly_score', { decides: true });
    const log = file(
      'log',
      [
        line(1, '192.0.2.1', [match(1, 'ARGS:a'), sum]),
        line(2, '192.0.2.1', [match(1, 'ARGS:a')]),
        line(3, '192.0.2.1', [match(1, 'ARGS:a')]),
        line(4, '192.0.2.2', [match(2, 'ARGS:b'), match(2, 'ARGS:b')]),
        line(5, '192.0.2.3', [match(2, 'ARGS:b')]),
        line(6, '192.0.2.4', [match(3, 'ARGS:c')], { route: 'other' }),
        'not json "matches":[{',
        '{"kind":"event"}',
        '',
      ].join('\n'),
    );
    const { out, code } = await said(waf, 'tune', '--log', log, '--route', 'shop');
    assert.equal(code, 0);
    assert.deepEqual(out.split('\n'), [
      '5 request(s) in which the WAF found something',
      '',
      'route shop: 2 request(s) from 2 address(es), m',
      "  - { rule: 2, target: 'ARGS:b' }",
      '  like 3f2a1b-00-00000004, 3f2a1b-00-00000005',
      '',
      'route shop: 3 request(s) from 1 address(es), m',
      "  - { rule: 1, target: 'ARGS:a' }",
      '  like 3f2a1b-00-00000001, 3f2a1b-00-00000002, 3f2a1b-00-00000003',
      '',
    ]);
    const top = JSON.parse((await said(waf, 'tune', '--log', log, '--top', '1', '--json')).out) as object[];
    assert.equal(top.length, 1);
  });
});
