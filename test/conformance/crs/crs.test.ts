/** The runner itself: how tests are read, sent, answered and excused. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { DataDirectory } from '../data.ts';
import { casesOf, folderOf, readCases } from './cases.ts';
import { EXCEPTIONS } from './exceptions.ts';
import { answerOf } from './reflect.ts';
import { readRequest, requestBytes } from './request.ts';

function stageOf(input: string, output = 'log: { expect_ids: [1] }') {
  const text = `rule_id: 9\ntests:\n  - test_id: 1\n    stages:\n      - input: ${input}\n        output: { ${output} }\n`;
  const stage = casesOf('S/9.yaml', text)[0]?.stages[0];
  assert.ok(stage !== undefined);
  return stage;
}

const bytesOf = (input: string): string => requestBytes(stageOf(input).input).toString('latin1');

describe('requests are those of go-ftw', () => {
  for (const [name, input, expected] of [
    ['a bare one is a GET that closes', '{}', 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n'],
    [
      'data makes a form, escaped when it is not yet',
      '{ method: POST, data: "a=<b c>&d" }',
      'POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nConnection: close\r\nContent-Length: 13\r\n\r\na=%3Cb+c%3E&d',
    ],
    [
      'escaped data and other types stay as they are',
      '{ method: PUT, data: "a=%3C", headers: { Content-Type: text/plain } }',
      'PUT / HTTP/1.1\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 5\r\n\r\na=%3C',
    ],
    [
      'multipart has its lines ended rightly',
      '{ method: POST, data: "a\\nb", headers: { Content-Type: multipart/form-data; boundary=x } }',
      'POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\nConnection: close\r\nContent-Length: 4\r\n\r\na\r\nb',
    ],
    [
      'nothing is added when it must not be; numbers stay texts',
      '{ autocomplete_headers: false, data: x, headers: { Content-Length: 007 } }',
      'GET / HTTP/1.1\r\nContent-Length: 007\r\n\r\nx',
    ],
    ['a whole request is sent verbatim', `{ encoded_request: ${Buffer.from('X\n').toString('base64')} }`, 'X\n'],
    [
      'templates repeat',
      '{ autocomplete_headers: false, data: \'{{ "ab" | repeat 3 }}\' }',
      'GET / HTTP/1.1\r\n\r\nababab',
    ],
  ] as const)
    test(name, () => {
      assert.equal(bytesOf(input), expected);
    });
});

test('the reader is lenient: targets with spaces, fields without colon, both framings', () => {
  const request = readRequest(
    Buffer.from(
      'GET /a b HTTP/1.1\r\nnone\r\nA:  x \r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
    ),
  );
  assert.deepEqual(
    [request.method, request.target, request.protocol, request.headers?.slice(0, 2), String(request.body)],
    [
      'GET',
      '/a b',
      'HTTP/1.1',
      [
        ['none', ''],
        ['A', 'x'],
      ],
      'abc',
    ],
  );
  const bare = readRequest(Buffer.from('GET / HTTP/1.1\nA: b\nContent-Length: 1\n\nc'));
  assert.deepEqual([bare.headers?.[0], String(bare.body)], [['A', 'b'], 'c']);
  const within = readRequest(Buffer.from('GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n'));
  assert.deepEqual(within.headers, [['A', 'b\nC: d']]);
  assert.deepEqual(readRequest(Buffer.from('GET /\r\n\r\n')), {
    ...readRequest(Buffer.from('GET /\r\n\r\n')),
    target: '/',
    protocol: '',
  });
});

test('the upstream answers what it is told, and guesses the media type as Go does', () => {
  const post = (body: string): ReturnType<typeof answerOf> =>
    answerOf({ method: 'POST', target: '/reflect', body: Buffer.from(body) });
  assert.equal(String(post('{"encodedBody":"YQ=="}').body), 'a');
  assert.deepEqual(post('{"status":503,"headers":{"X-A":"b"},"body":"<!DOCTYPE html>"}').headers, [
    ['X-A', 'b'],
    ['Content-Type', 'text/html; charset=utf-8'],
  ]);
  assert.equal(post('no').status, 400);
  assert.equal(answerOf({ method: 'GET', target: '/reflect' }).body?.length, 0);
});

test('an exception is a class with a reason, and asks the engine first where a test names rules', () => {
  const twice = '{ autocomplete_headers: false, headers: { Host: a, Content-Length: 1, Transfer-Encoding: chunked } }';
  const rowOf = (stage: ReturnType<typeof stageOf>): string | undefined =>
    EXCEPTIONS.find((row) => row.applies(stage, requestBytes(stage.input)))?.class;
  assert.equal(rowOf(stageOf('{}', 'status: 400')), 'answer-only');
  assert.equal(rowOf(stageOf('{}', 'expect_error: true')), 'error-only');
  assert.equal(rowOf(stageOf(twice)), 'not-http');
  assert.equal(rowOf(stageOf('{ uri: "/?q=<\'\\"", headers: { Host: a } }')), undefined);
  for (const row of EXCEPTIONS) assert.ok(row.reason.length > 40, row.class);
  assert.ok(EXCEPTIONS.filter((row) => row.when === 'otherwise').length === 1);
});

test('the tests are found in their folder of the data, and in a directory that is such a folder itself', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cnx-crs-tests-'));
  try {
    assert.equal(folderOf(join(directory, 'none')), 'crs-tests');
    assert.equal(folderOf(directory), 'crs-tests');
    mkdirSync(join(directory, 'REQUEST-942-APPLICATION-ATTACK-SQLI'));
    writeFileSync(
      join(directory, 'REQUEST-942-APPLICATION-ATTACK-SQLI/942100.yaml'),
      'rule_id: 942100\ntests: [{test_id: 1, stages: [{input: {uri: /}, output: {log: {no_expect_ids: [942100]}}}]}]\n',
    );
    assert.equal(folderOf(directory), '.');
    assert.deepEqual(
      readCases(new DataDirectory(directory)).map(({ id, set }) => [id, set]),
      [['942100-1', 'REQUEST-942-APPLICATION-ATTACK-SQLI']],
    );
    mkdirSync(join(directory, 'crs-tests'));
    assert.equal(folderOf(directory), 'crs-tests');
  } finally {
    rmSync(directory, { recursive: true });
  }
});
