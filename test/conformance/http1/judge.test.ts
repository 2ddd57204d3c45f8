/** Recorded good and bad behaviour meets every judge of the suite: a judge that cannot fail is a defect. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { markOf } from '../result.ts';
import { bodyFor, withHost } from './complete-request.ts';
import { happened, judge, type Seen, type Wish } from './judge.ts';
import type { StepSeen } from './observe.ts';
import type { UpstreamRecord } from './recording-upstream.ts';
import { readMessage, readStream } from './reference.ts';
import { readResponses } from './responses.ts';
import { judgeEntry } from './sets/http11probe.ts';
import { withEnd } from './sets/llhttp.ts';

const GOOD = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n';
const BAD = 'GET / HTTP/1.1\r\nHost: a.test\r\nX : y\r\n\r\n';
const CL_TE = 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n';
const OK_FROM_UPSTREAM = 'HTTP/1.1 200 OK\r\nX-Recorded: 1\r\nContent-Length: 2\r\n\r\nOK';
const REFUSED = 'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';

/** What a client saw that sent `sent` and got `received`, and what the upstream got. */
function seenOf(sent: string, received: string, ending: StepSeen['ending'], upstream: readonly string[] = []): Seen {
  const bytes = Buffer.from(sent, 'latin1');
  const messages = readStream(bytes);
  const { responses, garbage } = readResponses(
    Buffer.from(received, 'latin1'),
    messages.map((message) => message.method),
    ending !== 'open',
  );
  const stalled = received === '' && ending === 'open' && messages[0]?.outcome !== 'incomplete';
  const step = {
    executed: true,
    sent: bytes,
    messages,
    responses,
    garbage,
    receivedBytes: received.length,
    ending,
    stalled,
  };
  const records = upstream.map((text, n): UpstreamRecord => {
    const message = readMessage(Buffer.from(text, 'latin1'));
    const outcome =
      message.outcome === 'complete' ? 'complete' : message.outcome === 'invalid' ? 'malformed' : 'partial';
    return { id: n + 1, connection: 1, client: '', outcome, faults: [...message.findings], message, excerpt: text };
  });
  return { steps: [step], records };
}

test('each behaviour of a gateway has its outcome, and each wish its verdict on it', () => {
  const rows: readonly (readonly [
    behaviour: string,
    seen: Seen,
    outcome: string,
    marks: Readonly<Partial<Record<Wish, string>>>,
  ])[] = [
    [
      'a good request served',
      seenOf(GOOD, OK_FROM_UPSTREAM, 'open', [GOOD]),
      'served',
      { serve: 'pass', refuse: 'pass', either: 'pass', ambiguous: 'pass' },
    ],
    ['a good request refused', seenOf(GOOD, REFUSED, 'end'), 'refused', { serve: 'fail', either: 'pass' }],
    ['a good request closed upon', seenOf(GOOD, '', 'end'), 'refused', { serve: 'fail' }],
    ['a good request met with silence', seenOf(GOOD, '', 'open'), 'stalled', { serve: 'fail', either: 'fail' }],
    [
      'an answer of the gateway’s own',
      seenOf(GOOD, OK_FROM_UPSTREAM, 'open'),
      'answered',
      { serve: 'fail', either: 'pass' },
    ],
    [
      'another request’s answer',
      seenOf(GOOD, OK_FROM_UPSTREAM.replace('Recorded: 1', 'Recorded: 9'), 'open', [GOOD]),
      'served',
      { serve: 'fail' },
    ],
    ['forwarded, then closed upon', seenOf(GOOD, '', 'end', [GOOD]), 'dropped', { serve: 'fail', either: 'fail' }],
    ['an answer cut short', seenOf(GOOD, OK_FROM_UPSTREAM.slice(0, -1), 'end', [GOOD]), 'dropped', { serve: 'fail' }],
    ['an answer that is not HTTP', seenOf(GOOD, '<html>', 'end'), 'garbled', { serve: 'fail', refuse: 'fail' }],
    [
      'another method upstream',
      seenOf(GOOD, OK_FROM_UPSTREAM, 'open', [GOOD.replace('GET', 'PUT')]),
      'altered',
      { serve: 'fail' },
    ],
    [
      'a bad request refused',
      seenOf(BAD, REFUSED, 'end'),
      'refused',
      { serve: 'pass', refuse: 'pass', ambiguous: 'pass', either: 'pass' },
    ],
    ['a bad request closed upon', seenOf(BAD, '', 'reset'), 'refused', { refuse: 'pass' }],
    ['a bad request met with silence', seenOf(BAD, '', 'open'), 'stalled', { refuse: 'fail', either: 'fail' }],
    [
      'a bad request repaired',
      seenOf(BAD, OK_FROM_UPSTREAM, 'open', [GOOD]),
      'served',
      { refuse: 'fail', either: 'warn', ambiguous: 'fail' },
    ],
    [
      'a bad request repaired, then closed',
      seenOf(BAD, OK_FROM_UPSTREAM, 'end', [GOOD]),
      'served',
      { refuse: 'fail', ambiguous: 'warn' },
    ],
    [
      'a bad request passed on as it is',
      seenOf(BAD, REFUSED, 'end', [BAD]),
      'malformed',
      { refuse: 'fail', either: 'fail', ambiguous: 'fail' },
    ],
    [
      'two requests made of one',
      seenOf(CL_TE, OK_FROM_UPSTREAM, 'end', [GOOD, GOOD]),
      'smuggled',
      { refuse: 'fail', either: 'fail', ambiguous: 'fail' },
    ],
    ['half a request waited for', seenOf(GOOD.slice(0, -2), '', 'open'), 'waiting', { serve: 'pass', refuse: 'pass' }],
    [
      'half a request passed on',
      seenOf(GOOD.slice(0, -2), '', 'open', [GOOD.slice(0, -2)]),
      'waiting',
      { refuse: 'pass' },
    ],
  ];
  for (const [behaviour, seen, outcome, marks] of rows) {
    assert.equal(happened(seen).outcome, outcome, behaviour);
    for (const [wish, mark] of Object.entries(marks))
      assert.equal(markOf(judge(wish as Wish, seen)), mark, `${behaviour}, ${wish}`);
  }
});

test('content that changes on its way is seen', () => {
  const sent = 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello';
  assert.equal(happened(seenOf(sent, OK_FROM_UPSTREAM, 'open', [sent])).outcome, 'served');
  assert.equal(happened(seenOf(sent, OK_FROM_UPSTREAM, 'open', [sent.replace('hello', 'hullo')])).outcome, 'altered');
});

test('http11probe: the table decides, above it stalls and the upstream, and the text where the table cannot see', () => {
  const only400 = {
    Open: { Pass: [400], Warn: [204], Fail: [null, 200, 404] },
    ClosedByServer: { Pass: [null, 400], Fail: [200] },
    TimedOut: { Pass: [null, 400], Fail: [200] },
  };
  const entry = { expected_text: '400 or close', scored: true, verdict_table: only400 };
  const mark = (seen: Seen, more: Record<string, unknown> = {}): string =>
    markOf(judgeEntry({ ...entry, ...more }, seen));
  assert.equal(mark(seenOf(BAD, REFUSED, 'end')), 'pass');
  assert.equal(mark(seenOf(BAD, '', 'end')), 'pass');
  assert.equal(mark(seenOf(BAD, OK_FROM_UPSTREAM, 'open', [GOOD])), 'fail');
  assert.equal(mark(seenOf(BAD, OK_FROM_UPSTREAM, 'open', [GOOD]), { scored: false }), 'warn');
  assert.equal(
    mark(seenOf(BAD, 'HTTP/1.1 451 No\r\nContent-Length: 0\r\n\r\n', 'open')),
    'fail',
    'an unknown 4xx is not 400',
  );
  assert.equal(mark(seenOf(BAD, '', 'open')), 'fail', 'a table passes silence, this suite does not');
  assert.equal(mark(seenOf(BAD, REFUSED, 'end', [GOOD, GOOD])), 'fail', 'what reaches the upstream counts');
  assert.equal(mark(seenOf(BAD, REFUSED, 'end', [GOOD, GOOD]), { scored: false }), 'fail', 'even unscored');

  const depends = (text: string, sent: string, received: string): string =>
    markOf(
      judgeEntry(
        {
          expected_text: text,
          verdict_depends_on_body_or_headers: true,
          verdict_table: { Open: { Fail: [200, 204, 405] } },
        },
        seenOf(sent, received, 'open', [sent]),
      ),
    );
  const post = 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello';
  const answer = (body: string, fields = '', status = '200 OK'): string =>
    `HTTP/1.1 ${status}\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`;
  assert.equal(depends('2xx + echo', post, answer('hello')), 'pass');
  assert.equal(depends('2xx + echo', post, answer('OK')), 'fail');
  assert.equal(depends('405 + Allow header', GOOD, answer('', 'Allow: GET\r\n', '405 No')), 'pass');
  assert.equal(depends('405 + Allow header', GOOD, answer('', '', '405 No')), 'fail');
  assert.equal(depends('2xx with a=1, b=2 in body', GOOD, answer('a=1\nb=2')), 'pass');
  assert.equal(depends('2xx with a=1, b=2 in body', GOOD, answer('a=1')), 'fail');
  assert.equal(depends('400 (rejected) or 2xx without control chars', GOOD, answer('a\u0001')), 'fail');
  assert.equal(depends('400 (rejected) or 2xx without control chars', GOOD, answer('a')), 'pass');
  const odd = 'POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent_Length: 99\r\n\r\nx';
  const text = 'Reject/drop (pass), normalize (fail), preserve (warn)';
  assert.equal(depends(text, odd, answer('Content-Length: 1\n')), 'pass');
  assert.equal(depends(text, odd, answer('Content-Length: 99\n')), 'fail');
  assert.equal(depends(text, odd, answer('content_length: 99\n')), 'warn');
});

test('what header-level suites leave out is added so that it fits', () => {
  const lines = (bytes: Buffer): string[] => bytes.toString('latin1').split('\r\n');
  assert.deepEqual(lines(withHost(Buffer.from('GET / HTTP/1.1\r\nA: b\r\n\r\n'), 'h')).slice(0, 2), [
    'GET / HTTP/1.1',
    'Host: h',
  ]);
  const two = withHost(Buffer.from('GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n'), 'h');
  assert.equal(readStream(two).filter((message) => message.outcome === 'complete').length, 2);
  assert.equal(withHost(Buffer.from(GOOD), 'h').toString(), GOOD);

  const both = Buffer.from('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200\r\n Transfer-Encoding: chunked\r\n\r\n');
  const body = bodyFor(both, 'h');
  assert.equal(body.length, 200);
  assert.ok(body.toString().startsWith('0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n'));
  assert.equal(readMessage(body.subarray(5)).outcome, 'complete', 'what is left over is a request');

  assert.equal(withEnd(Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n'), 27, false).toString().slice(-4), '\r\n\r\n');
  assert.equal(withEnd(Buffer.from('GET / HTTP/1.1\r\nX : a'), 18, true).toString().slice(-4), '\r\n\r\n');
});
