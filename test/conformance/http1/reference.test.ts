import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FINDINGS, type Finding } from './findings.ts';
import { answerIsDue, readMessage, readStream } from './reference.ts';

const H = 'Host: a.test\r\n';
const POST = `POST / HTTP/1.1\r\n${H}`;
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n\r\n`;

/** Bytes, how they end, and what is found in them. One row for each finding at least. */
const ROWS: readonly (readonly [
  bytes: string,
  outcome: 'complete' | 'incomplete' | 'invalid',
  findings: readonly Finding[],
])[] = [
  [`GET / HTTP/1.1\r\n${H}\r\n`, 'complete', []],
  [`${POST}Content-Length: 5\r\n\r\nhello`, 'complete', []],
  [`${CHUNKED}5\r\nhello\r\n0\r\n\r\n`, 'complete', []],
  [`${CHUNKED}5;a=b;c="d e"\r\nhello\r\n0\r\nX-T: 1\r\n\r\n`, 'complete', []],
  [`GET http://a.test/x?y HTTP/1.1\r\n${H}\r\n`, 'complete', []],
  [`GET /%41?a=b&c=%20 HTTP/1.1\r\n${H}X-Value:\tcaf\xe9\t\r\n\r\n`, 'complete', []],
  [`GET / HTTP/1.1\r\n${H}`, 'incomplete', []],
  [`${POST}Content-Length: 5\r\n\r\nhell`, 'incomplete', []],
  [`${CHUNKED}5\r\nhel`, 'incomplete', []],
  [`${CHUNKED}5`, 'incomplete', []],
  [`${CHUNKED}0\r\n`, 'incomplete', []],
  [`GET / HTTP/1.1\r\n${H}X: a\nY: b\r\n\r\n`, 'invalid', ['bare-lf']],
  [`GET / HTTP/1.1\n\n`, 'invalid', ['bare-lf']],
  [`GET / HTTP/1.1\r\n${H}X: a\rb\r\n\r\n`, 'invalid', ['bare-cr']],
  [`GET / HTTP/1.1\r\n${H}X: a\0b\r\n\r\n`, 'invalid', ['control']],
  [`GET  / HTTP/1.1\r\n${H}\r\n`, 'invalid', ['request-line', 'target']],
  [`GET /\r\n${H}\r\n`, 'invalid', ['request-line']],
  [`G(T / HTTP/1.1\r\n${H}\r\n`, 'invalid', ['method']],
  [`GET /a#b HTTP/1.1\r\n${H}\r\n`, 'invalid', ['target']],
  [`GET /%zz HTTP/1.1\r\n${H}\r\n`, 'invalid', ['target']],
  [`GET a.test:80 HTTP/1.1\r\n${H}\r\n`, 'invalid', ['target']],
  [`GET * HTTP/1.1\r\n${H}\r\n`, 'invalid', ['target']],
  [`GET http://u@a.test/ HTTP/1.1\r\n${H}\r\n`, 'invalid', ['target', 'host-differs']],
  [`GET / HTTP/2.0\r\n${H}\r\n`, 'invalid', ['version']],
  [`GET / HTTP/1.1\r\n${H}X: a\r\n b\r\n\r\n`, 'invalid', ['line-folding']],
  [`GET / HTTP/1.1\r\n${H}X : a\r\n\r\n`, 'invalid', ['space-before-colon']],
  [`GET / HTTP/1.1\r\n${H}: a\r\n\r\n`, 'invalid', ['field-name']],
  [`GET / HTTP/1.1\r\n${H}nothing\r\n\r\n`, 'invalid', ['field-name']],
  [`GET / HTTP/1.1\r\n\r\n`, 'invalid', ['host-missing']],
  [`GET / HTTP/1.1\r\n${H}${H}\r\n`, 'invalid', ['host-repeated']],
  [`GET / HTTP/1.1\r\nHost: \r\n\r\n`, 'invalid', ['host-malformed']],
  [`GET / HTTP/1.1\r\nHost: u@a.test\r\n\r\n`, 'invalid', ['host-malformed']],
  [`${POST}Content-Length: +5\r\n\r\nhello`, 'invalid', ['content-length']],
  [`${POST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`, 'invalid', ['content-length']],
  [`${POST}Content-Length: \r\n\r\n`, 'invalid', ['content-length']],
  [`${POST}Content-Length: 99999999999999999999\r\n\r\n`, 'invalid', ['content-length', 'content-large']],
  [`${POST}Transfer-Encoding: chunked, gzip\r\n\r\n`, 'invalid', ['transfer-encoding']],
  [`${POST}Transfer-Encoding: chunked, chunked\r\n\r\n`, 'invalid', ['transfer-encoding']],
  [`${POST}Transfer-Encoding:\r\n\r\n`, 'invalid', ['transfer-encoding']],
  [`POST / HTTP/1.0\r\n${H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 'invalid', ['http-1.0', 'transfer-encoding']],
  [`${POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 'invalid', ['both-framings']],
  [`${CHUNKED}+5\r\nhello\r\n0\r\n\r\n`, 'invalid', ['chunk-line']],
  [`${CHUNKED}5 \r\nhello\r\n0\r\n\r\n`, 'invalid', ['chunk-line']],
  [`${CHUNKED}5;a[=b\r\nhello\r\n0\r\n\r\n`, 'invalid', ['chunk-line']],
  [`${CHUNKED}\r\nhello\r\n0\r\n\r\n`, 'invalid', ['chunk-line']],
  [`${CHUNKED}5\nhello\r\n0\r\n\r\n`, 'invalid', ['chunk-line']],
  [`${CHUNKED}5\r\nhello0\r\n\r\n`, 'invalid', ['chunk-data']],
  [`${CHUNKED}0\r\nX : a\r\n\r\n`, 'invalid', ['trailer-malformed']],
  [`\r\nGET / HTTP/1.1\r\n${H}\r\n`, 'complete', ['leading-empty-line']],
  [`GET / HTTP/1.0\r\n\r\n`, 'complete', ['http-1.0']],
  [`GET / HTTP/1.2\r\n${H}\r\n`, 'complete', ['http-1.x']],
  [`PURGE / HTTP/1.1\r\n${H}\r\n`, 'complete', ['method-uncommon']],
  [`OPTIONS * HTTP/1.1\r\n${H}\r\n`, 'complete', ['asterisk-form']],
  [`GET / HTTP/1.1\r\nHost: a.test:99999\r\n\r\n`, 'complete', ['host-unusual']],
  [`GET http://b.test/ HTTP/1.1\r\n${H}\r\n`, 'complete', ['host-differs']],
  [`GET https://a.test/ HTTP/1.1\r\n${H}\r\n`, 'complete', ['scheme-other']],
  [`GET /a%00b HTTP/1.1\r\n${H}\r\n`, 'complete', ['target-encoded-control']],
  [`GET /a/../b HTTP/1.1\r\n${H}\r\n`, 'complete', ['target-dot-segments']],
  [`GET /${'a'.repeat(9_000)} HTTP/1.1\r\n${H}\r\n`, 'complete', ['head-large']],
  [`GET / HTTP/1.1\r\n${H}Content-Length: 1\r\n\r\nx`, 'complete', ['content-unexpected']],
  [`${POST}Content-Length: 05\r\n\r\nhello`, 'complete', ['content-length-zeros']],
  [`${POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 'complete', ['transfer-coding-other']],
  [`${POST}Transfer_Encoding: chunked\r\nContent-Length: 1\r\n\r\nx`, 'complete', ['framing-lookalike']],
  [`${POST}Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n`, 'complete', ['field-repeated']],
  [`${CHUNKED}5;a=${'b'.repeat(300)}\r\nhello\r\n0\r\n\r\n`, 'complete', ['chunk-extension-large']],
  [`${CHUNKED}0\r\nHost: evil\r\n\r\n`, 'complete', ['trailer-forbidden']],
  [`GET / HTTP/1.1\r\n${H}Connection: upgrade\r\nUpgrade: x\r\n\r\n`, 'complete', ['upgrade']],
  [`${POST}Expect: 100-continue\r\nContent-Length: 0\r\n\r\n`, 'complete', ['expect']],
];

test('the reference reader finds in each request what is in it, and nothing else', () => {
  for (const [text, outcome, findings] of ROWS) {
    const message = readMessage(Buffer.from(text, 'latin1'));
    const seen = { outcome: message.outcome, findings: [...message.findings].sort() };
    assert.deepEqual(seen, { outcome, findings: [...findings].sort() }, JSON.stringify(text.slice(0, 200)));
  }
});

test('every finding of the table is reached by a row', () => {
  const reached = new Set(ROWS.flatMap(([, , findings]) => findings));
  assert.deepEqual(
    Object.keys(FINDINGS).filter((finding) => !reached.has(finding as Finding)),
    [],
  );
});

test('what is written by the grammar is read whole, whatever follows it', () => {
  const token = fc.stringMatching(/^[A-Za-z0-9-]{1,12}$/);
  const value = fc.stringMatching(/^[!-~]{0,20}$/);
  const request = fc.record({
    path: fc.stringMatching(/^[a-z0-9]{0,12}$/),
    fields: fc.array(
      fc.tuple(
        token.map((name) => `X-${name}`),
        value,
      ),
      { maxLength: 8 },
    ),
    chunks: fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 5 }),
    chunked: fc.boolean(),
    after: fc.uint8Array({ maxLength: 40 }),
  });
  fc.assert(
    fc.property(request, ({ path, fields, chunks, chunked, after }) => {
      const content = Buffer.concat(chunks);
      const lines = fields.map(([name, text]) => `${name}: ${text}\r\n`).join('');
      const framing = chunked ? 'Transfer-Encoding: chunked\r\n' : `Content-Length: ${content.length}\r\n`;
      const head = Buffer.from(`${POST.replace(' / ', ` /${path} `)}${lines}${framing}\r\n`);
      const body = chunked
        ? Buffer.concat([
            ...chunks.map((chunk) =>
              Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n')]),
            ),
            Buffer.from('0\r\n\r\n'),
          ])
        : content;
      const message = readMessage(Buffer.concat([head, body, after]));
      assert.equal(message.outcome, 'complete');
      assert.deepEqual(message.body, content);
      assert.equal(message.end, head.length + body.length);
    }),
  );
});

test('no bytes make the reader throw, run on, or find an end beyond them', () => {
  const piece = fc.constantFrom(
    'GET / HTTP/1.1',
    '\r\n',
    '\n',
    '\r',
    'Host: a',
    'Transfer-Encoding: chunked',
    'Content-Length: 3',
    ' ',
    ':',
    '0',
    '5',
    '\0',
    'xyz',
    ';',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 24 }), (pieces) => {
      const bytes = Buffer.from(pieces.join(''), 'latin1');
      for (const message of readStream(bytes))
        assert.ok(message.end <= bytes.length || message.outcome === 'incomplete');
    }),
  );
});

test('an answer is due for a whole message and for a wrong head, not for half a message', () => {
  const due = (text: string): boolean => answerIsDue(readStream(Buffer.from(text, 'latin1')));
  assert.equal(due(`GET / HTTP/1.1\r\n${H}\r\n`), true);
  assert.equal(due(`GET / HTTP/1.1\r\n${H}X : y\r\n\r\n`), true);
  assert.equal(due(`GET / HTTP/1.1\r\n${H}`), false);
  assert.equal(due(`${POST}Content-Length: 9\r\n\r\nhalf`), false);
  assert.equal(due('GET /\r\n'), false);
});
