import assert from 'node:assert/strict';
import { test } from 'node:test';
import { native } from '../native.ts';
import { tlsBytesMax, type WafTlsFacts } from './waf-tls.ts';
import type { WafTrace, WafVerdict } from './waf.ts';
import {
  packRequest,
  packResponse,
  readVerdict,
  verdictBytes,
  verdictScore,
  verdictWanted,
  WAF_BLOCK,
  WAF_ERROR,
  WAF_HEADERS_MAX,
  WAF_KEPT_BYTES_MAX,
  WAF_PASS,
  WAF_SECURE,
  WAF_VERDICT_BYTES_MAX,
  WAF_VERDICT_HEAD_BYTES,
  WAF_WANTED_BODY,
  WafPacker,
  wafDiagnostics,
} from './waf.ts';

const RULES = `
SecRule ARGS "@rx (?i)<script" "id:100,phase:2,deny,capture,t:none,t:urlDecodeUni,msg:'script in %{MATCHED_VAR_NAME}',severity:CRITICAL,tag:'xss',setvar:'tx.inbound_anomaly_score=+5'"
SecRule REQUEST_HEADERS:User-Agent "@pmFromFile agents.data" "id:101,phase:1,pass,msg:'scanner'"
SecRule REQUEST_COOKIES "@contains evil" "id:102,phase:1,pass,msg:'cookie'"
`;
const waf = native();
const files = [
  { name: 'rules.conf', bytes: Buffer.from(RULES) },
  { name: 'agents.data', bytes: Buffer.from('# scanners\nnikto\n') },
];
const handle = waf.wafCompile(files);
const block = waf.wafProfile(handle, { mode: 'block' });
const detect = waf.wafProfile(handle, { mode: 'detect' });
const request = Buffer.alloc(64 * 1024);
const out = Buffer.alloc(WAF_VERDICT_BYTES_MAX);

function inspect(profile: number, target: string, headers: [string, string][] = [], body?: Buffer): WafVerdict {
  const fields = {
    method: body === undefined ? 'GET' : 'POST',
    target,
    headers,
    ...(body === undefined ? {} : { body }),
  };
  const length = packRequest(request, fields);
  assert.ok(length > 0);
  const verdict = waf.wafInspect(handle, profile, request, length, out);
  const read = readVerdict(out);
  assert.equal(read.verdict, ['pass', 'detect-match', 'block', 'budget-exceeded', 'error'][verdict]);
  assert.equal(read.score, verdictScore(out));
  return read;
}

test('an attack blocks in block mode and is only reported in detect mode', () => {
  const blocked = inspect(block, '/?q=%3Cscript%3Ealert(1)');
  assert.equal(blocked.verdict, 'block');
  assert.equal(blocked.blockingRuleId, 100);
  assert.equal(blocked.action, 'deny');
  assert.equal(blocked.score, 5);
  assert.deepEqual(blocked.matches, [
    { ruleId: 100, severity: 2, phase: 2, message: 'script in ARGS:q', variable: 'ARGS:q', value: '<script>alert(1)' },
  ]);
  const detected = inspect(detect, '/?q=%3Cscript%3Ealert(1)');
  assert.equal(detected.verdict, 'detect-match');
  assert.ok(detected.wouldBlock);
  assert.equal(inspect(block, '/?q=hello').verdict, 'pass');
});

test('header fields, cookies and bodies reach the rules, and secrets are masked', () => {
  const verdict = inspect(detect, '/', [
    ['user-agent', 'Nikto/2'],
    ['cookie', 'a=1; sid=evil'],
  ]);
  assert.deepEqual(
    verdict.matches.map((m) => [m.ruleId, m.variable, m.value]),
    [
      [101, 'REQUEST_HEADERS:user-agent', 'Nikto/2'],
      [102, 'REQUEST_COOKIES:sid', '<masked, 4 bytes>'],
    ],
  );
  const json: [string, string][] = [['content-type', 'application/json']];
  assert.equal(inspect(block, '/', json, Buffer.from('{"a":["<SCRIPT"]}')).matches[0]?.variable, 'ARGS:json.a.array_0');
});

test('a profile leaves rules, tags and targets out and pins what the route says', () => {
  for (const options of [
    { exclusions: [{ rules: '100' }] },
    { exclusions: [{ tag: 'xss' }] },
    { exclusions: [{ rules: '100', target: 'ARGS:q' }] },
    { mode: 'off' as const },
  ]) {
    const profile = waf.wafProfile(handle, { mode: 'block', ...options });
    assert.equal(inspect(profile, '/?q=<script').verdict, 'pass');
  }
  const tight = waf.wafProfile(handle, { mode: 'block', workMax: 10 });
  const verdict = inspect(tight, `/?q=${'a'.repeat(1000)}`);
  assert.equal(verdict.verdict, 'budget-exceeded');
  assert.equal(verdict.limit, 'work');
  assert.throws(() => waf.wafProfile(handle, { mode: 'loud' as 'off' }), /write off, detect or block/);
});

test('wrong rules are told with file, line and mend, all at once', () => {
  const wrong = [
    { name: 'a.conf', bytes: Buffer.from('SecRul x\nSecRule ARGS "@rx (a" "id:1"') },
    {
      name: 'b.conf',
      bytes: Buffer.from('SecRule ARGS "@pmFromFile none.data" "id:2"\nSecRule ARGS "@inspectFile x" "id:3"'),
    },
  ];
  let thrown: unknown;
  try {
    waf.wafCompile(wrong);
  } catch (error) {
    thrown = error;
  }
  const list = wafDiagnostics(thrown) ?? [];
  assert.deepEqual(
    list.map((d) => [d.file, d.line]),
    [
      ['a.conf', 1],
      ['a.conf', 2],
      ['b.conf', 1],
      ['b.conf', 2],
    ],
  );
  assert.ok(list.every((d) => d.message !== '' && d.mend !== ''));
  assert.equal(wafDiagnostics(new Error('other')), null);
});

test('stale handles, malformed requests and small buffers are errors and crash nothing', () => {
  const length = packRequest(request, { method: 'GET', target: '/' });
  const old = waf.wafCompile(files);
  const profile = waf.wafProfile(old, {});
  assert.equal(waf.wafInspect(old, profile, request, length, out), WAF_PASS);
  assert.equal(waf.wafInspect(handle, profile, request, length, out), WAF_ERROR, 'a profile of another rule set');
  assert.ok(waf.wafRelease(old));
  assert.ok(!waf.wafRelease(old));
  assert.equal(waf.wafInspect(old, profile, request, length, out), WAF_ERROR);
  assert.throws(() => waf.wafStats(old), /released/);
  assert.throws(() => waf.wafProfile(old, {}), /released/);
  assert.equal(waf.wafInspect(handle, 4_000_000_000, request, length, out), WAF_ERROR);
  assert.equal(waf.wafInspect(handle, block, request, length + 1, out), WAF_ERROR);
  assert.equal(waf.wafInspect(handle, block, request, 10 ** 9, out), WAF_ERROR);
  assert.equal(waf.wafInspect(handle, block, request, length, Buffer.alloc(WAF_VERDICT_HEAD_BYTES - 1)), WAF_ERROR);
  assert.equal(waf.wafInspect(handle, block, request, length, request), WAF_ERROR, 'overlapping buffers');
  for (let n = 0; n < length; n++) assert.equal(waf.wafInspect(handle, block, request, n, out), WAF_ERROR);
  assert.equal(waf.wafInspect(handle, block, request, length, out), WAF_PASS);
});

test('matches that do not fit the buffer are counted', () => {
  const length = packRequest(request, { method: 'GET', target: `/?${'q=<script&'.repeat(20)}` });
  const small = Buffer.alloc(200);
  assert.equal(waf.wafInspect(handle, block, request, length, small), WAF_BLOCK);
  assert.ok(readVerdict(small).matches.length < 20);
  waf.wafInspect(handle, block, request, length, out);
  assert.equal(readVerdict(out).matches.length, 20);
});

test('a batch answers each of its requests', () => {
  const targets = ['/?q=a', '/?q=<script', '/?q=b'];
  request.writeUInt32LE(targets.length, 0);
  const packer = new WafPacker(request);
  let at = 4;
  for (const target of targets) {
    packer.begin(at + 4);
    packer.head('GET', target, 'HTTP/1.1', '127.0.0.1', 1, 'id');
    const size = packer.body(null);
    request.writeUInt32LE(size, at);
    at += 4 + size;
  }
  const written = waf.wafInspectBatch(handle, block, request, at, out);
  assert.equal(out.readUInt32LE(0), 3);
  const verdicts: string[] = [];
  for (let p = 4; p < written; p += 4 + out.readUInt32LE(p)) verdicts.push(readVerdict(out, p + 4).verdict);
  assert.deepEqual(verdicts, ['pass', 'block', 'pass']);
  assert.equal(waf.wafInspectBatch(handle, block, request, at - 1, out), -1);
  assert.equal(waf.wafInspectBatch(handle, block, request, at, Buffer.alloc(40)), -1);
});

test('the packer says when something does not fit', () => {
  const small = new WafPacker(Buffer.alloc(64));
  small.begin();
  small.head('GET', `/${'a'.repeat(100)}`, 'HTTP/1.1', '', 0, '');
  small.header('a', 'b');
  assert.equal(small.body(Buffer.from('x')), -1);
  const many = new WafPacker(Buffer.alloc(64 * 1024));
  many.begin();
  many.head('GET', '/', 'HTTP/1.1', '', 0, '');
  for (let i = 0; i <= WAF_HEADERS_MAX; i++) many.header('a', 'b');
  assert.equal(many.length, -1);
});

test('what a handshake told is packed behind the body and asked by expressions', () => {
  const rule = { place: 'a', before: 0, local: false, action: 'log' } as const;
  const own = waf.wafCompile([], {
    expressions: [
      { ...rule, when: 'ssl and tls.ja4 in $known and tls.client_certificate.subject eq "CN=ä"' },
      { ...rule, place: 'b', when: 'any(tls.client_certificate.names[*] eq "DNS:b.example")' },
    ],
    lists: [{ place: 'l', name: 'known', entries: ['t13d'], numbers: false }],
  });
  assert.ok(waf.wafStats(own).readsTls && !waf.wafStats(handle).readsTls);
  const profile = waf.wafProfile(own, { mode: 'block' });
  const facts = { version: 'TLSv1.3', cipher: 'c', serverName: 'b.example', ja4: 't13d' };
  const client = { subject: 'CN=ä', sans: ['DNS:a.example', 'DNS:b.example'], fingerprint: '00ff' };
  const matches = (tls: WafTlsFacts): number => {
    const packer = new WafPacker(request);
    packer.begin();
    packer.head('GET', '/', 'HTTP/1.1', '192.0.2.1', 1, 'id', WAF_SECURE);
    packer.header('host', 'b.example');
    const bare = packer.body(Buffer.from('body'));
    const length = packer.tls(tls);
    assert.ok(length > bare && length - bare <= tlsBytesMax(tls));
    assert.notEqual(waf.wafInspect(own, profile, request, length, out), WAF_ERROR);
    return readVerdict(out).matchCount;
  };
  assert.equal(matches({ ...facts, client }), 2);
  assert.equal(matches({ ...facts, client: null }), 0);
  const small = new WafPacker(Buffer.alloc(64));
  small.begin();
  small.head('GET', '/', 'HTTP/1.1', '', 0, '');
  small.body(null);
  assert.equal(small.tls({ ...facts, client }), -1);
  assert.ok(waf.wafRelease(own));
});

test('stats name what was compiled', () => {
  const stats = waf.wafStats(handle);
  assert.equal(stats.rules, 3);
  assert.equal(stats.prefilteredRules, 3);
  assert.ok(stats.memoryBytes > 0 && stats.profiles >= 2 && stats.sourceBytes > 100);
});

test('a thread inspects in its own memory what it inspects in any', () => {
  assert.equal(waf.wafInspectMemory(handle, block, 0), WAF_ERROR, 'before there is memory');
  const mine = Buffer.from(waf.wafRequestMemory(4096).buffer);
  const said = Buffer.from(waf.wafVerdictMemory(WAF_VERDICT_BYTES_MAX).buffer);
  for (const target of ['/?q=shoes', '/?q=attack']) {
    const length = packRequest(mine, { method: 'GET', target });
    const expected = waf.wafInspect(handle, block, mine, length, out);
    assert.equal(waf.wafInspectMemory(handle, block, length), expected);
    // What was seen before costs less work.
    assert.deepEqual({ ...readVerdict(said), work: 0 }, { ...readVerdict(out), work: 0 });
  }
  assert.equal(waf.wafInspectMemory(handle, block, 4097), WAF_ERROR);
  assert.throws(() => waf.wafRequestMemory(2 ** 30), /more than/);
});

test('fields are found in the memory of a transport as in a packed request', () => {
  const mine = Buffer.from(waf.wafRequestMemory(4096).buffer);
  const said = Buffer.from(waf.wafVerdictMemory(WAF_VERDICT_BYTES_MAX).buffer);
  const [stride, countAt, fieldsAt, headAt] = [1024, 16, 64, 256];
  const heads = new Uint8Array(2 * stride);
  const words = new Uint32Array(heads.buffer);
  const memory = waf.wafHeadMemory(heads, stride, countAt, fieldsAt, headAt);
  assert.ok(memory >= 0);
  const lay = (place: number, headers: readonly (readonly [string, string])[]): void => {
    let at = 0;
    words[(place * stride + countAt) / 4] = headers.length;
    for (const [i, [name, value]] of headers.entries()) {
      const word = (place * stride + fieldsAt) / 4 + i * 2;
      Buffer.from(heads.buffer).latin1Write(name + value, place * stride + headAt + at, name.length + value.length);
      words[word] = (at + name.length) | (value.length << 16);
      words[word + 1] = at | (name.length << 16) | (3 << 24);
      at += name.length + value.length;
    }
  };
  for (const agent of ['curl/8', 'nikto/2']) {
    const headers = [
      ['host', 'a.example'],
      ['user-agent', agent],
      ['cookie', 'a=evil'],
    ] as const;
    lay(1, headers);
    const bare = packRequest(mine, { method: 'GET', target: '/' });
    const verdict = waf.wafInspectHead(handle, block, bare, memory, 1, 0, 0);
    const length = packRequest(request, { method: 'GET', target: '/', headers });
    assert.equal(verdict, waf.wafInspect(handle, block, request, length, out));
    assert.deepEqual({ ...readVerdict(said), work: 0 }, { ...readVerdict(out), work: 0 });
  }
  const bare = packRequest(mine, { method: 'GET', target: '/' });
  assert.equal(waf.wafInspectHead(handle, block, bare, memory, 0, 0, 0), WAF_PASS);
  assert.equal(waf.wafInspectHead(handle, block, bare, memory, 2, 0, 0), WAF_ERROR, 'a place that is not there');
  assert.equal(waf.wafInspectHead(handle, block, bare, memory + 1, 0, 0, 0), WAF_ERROR, 'a memory that is not there');
  words[countAt / 4] = 25;
  assert.equal(
    waf.wafInspectHead(handle, block, bare, memory, 0, 0, 0),
    WAF_ERROR,
    'more fields than there is room for',
  );
  assert.equal(waf.wafHeadMemory(heads, 8, 16, 64, 256), -1);
});

const ANSWER_RULES = `
SecResponseBodyAccess On
SecRule ARGS "@contains odd" "id:200,phase:2,pass,nolog,setvar:tx.odd=1"
SecRule RESPONSE_BODY "@contains secret" "id:201,phase:4,deny,msg:'leak',logdata:'%{MATCHED_VAR}',tag:'leak',severity:'ERROR',chain"
  SecRule TX:odd "@eq 1" "setvar:tx.outbound_anomaly_score=4"
`;
const answerHandle = waf.wafCompile([{ name: 'a.conf', bytes: Buffer.from(ANSWER_RULES) }]);
const answering = waf.wafProfile(answerHandle, { mode: 'block', answers: true });
const html = { status: 200, headers: [['content-type', 'text/html']], body: Buffer.from('a secret') } as const;

test('an answer is inspected with what was kept of its request, in buffers, in this thread’s memories and after a batch', () => {
  const requestMemory = Buffer.from(waf.wafRequestMemory(4096).buffer);
  const verdictMemory = Buffer.from(waf.wafVerdictMemory(WAF_VERDICT_BYTES_MAX).buffer);
  const keptMemory = Buffer.from(waf.wafKeptMemory(WAF_KEPT_BYTES_MAX).buffer);
  const kept = Buffer.alloc(1000);
  for (const [target, expected] of [
    ['/?a=odd', 'block'],
    ['/?a=even', 'pass'],
  ] as const) {
    const length = packRequest(request, { method: 'GET', target });
    waf.wafInspect(answerHandle, answering, request, length, out);
    assert.equal(verdictWanted(out), WAF_WANTED_BODY);
    assert.equal(readVerdict(out).wanted, 'body');
    const keptBytes = waf.wafKeep(answerHandle, answering, kept);
    assert.ok(keptBytes > 0 && keptBytes < 100, `${keptBytes} bytes are kept`);
    assert.equal(waf.wafKeep(answerHandle, answering, kept.subarray(0, 9)), -1);
    const answer = packResponse(request, html);
    waf.wafInspectResponse(answerHandle, answering, kept.subarray(0, keptBytes), request, answer, out);
    const verdict = readVerdict(out);
    assert.equal(verdict.verdict, expected);
    assert.equal(verdict.score, expected === 'block' ? 4 : 0);

    waf.wafInspectMemory(answerHandle, answering, packRequest(requestMemory, { method: 'GET', target }));
    const inMemory = waf.wafKeepMemory(answerHandle, answering);
    assert.deepEqual(keptMemory.subarray(0, inMemory), kept.subarray(0, keptBytes));
    waf.wafInspectResponseMemory(answerHandle, answering, inMemory, packResponse(requestMemory, html), 0, 0);
    assert.deepEqual({ ...readVerdict(verdictMemory), work: 0 }, { ...verdict, work: 0 });

    const size = packRequest(request.subarray(8), { method: 'GET', target });
    request.writeUInt32LE(1);
    request.writeUInt32LE(size, 4);
    const written = waf.wafInspectBatch(answerHandle, answering, request, 8 + size, out);
    const behind = out.subarray(8 + verdictBytes(out.subarray(8)), written);
    assert.deepEqual(behind, kept.subarray(0, keptBytes));
  }
  const notRead = packResponse(request, { status: 200, headers: html.headers });
  waf.wafInspect(
    answerHandle,
    answering,
    requestMemory,
    packRequest(requestMemory, { method: 'GET', target: '/?a=odd' }),
    out,
  );
  const length = waf.wafKeep(answerHandle, answering, kept);
  waf.wafInspectResponse(answerHandle, answering, kept.subarray(0, length), request, notRead, out);
  assert.equal(readVerdict(out).verdict, 'pass');
  const foreign = waf.wafInspectResponse(handle, block, kept.subarray(0, length), request, notRead, out);
  assert.equal(foreign, WAF_ERROR, 'what another rule set kept is refused');
  assert.deepEqual(waf.wafStats(answerHandle).answer, {
    rules: true,
    body: true,
    mimeTypes: ['text/plain', 'text/html', 'text/xml'],
    bodyBytesMax: 524_288,
    rejectLonger: false,
  });
});

test('a trace tells each match with its texts, what was interrupted, the scores and the variables', () => {
  const length = packRequest(request, { method: 'GET', target: '/?a=odd' });
  const answer = Buffer.alloc(1000);
  const size = packResponse(answer, html);
  const trace = JSON.parse(
    waf.wafTrace(answerHandle, answering, request.subarray(0, length), answer.subarray(0, size)),
  ) as WafTrace;
  assert.equal(trace.verdict, 'block');
  assert.deepEqual(trace.interruptions, [{ phase: 4, ruleId: 201, action: 'deny' }]);
  assert.deepEqual(trace.scores, {
    inbound: 0,
    outbound: 4,
    inboundPerLevel: [0, 0, 0, 0],
    outboundPerLevel: [0, 0, 0, 0],
  });
  assert.deepEqual(trace.tx, { odd: '1', outbound_anomaly_score: '4' });
  const [set, leak] = trace.matches;
  assert.deepEqual([set?.ruleId, set?.logged, set?.variable, set?.value], [200, false, 'ARGS:a', 'odd']);
  assert.equal(leak?.severity, 'ERROR');
  assert.deepEqual(leak.tags, ['leak']);
  assert.match(leak.logLine, /\[id "201"\] \[msg "leak"\] \[data "1"\] \[severity "ERROR"\] \[tag "leak"\]$/);
  const alone = JSON.parse(waf.wafTrace(answerHandle, answering, request.subarray(0, length), null)) as WafTrace;
  assert.deepEqual([alone.verdict, alone.matches.length], ['pass', 1]);
  assert.throws(() => waf.wafTrace(answerHandle, answering, Buffer.from('no'), null), /malformed/);
});
