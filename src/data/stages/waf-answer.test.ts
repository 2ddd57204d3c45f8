import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UpstreamAnswer } from '../transport/transport.ts';
import { mediaType, neverHeld } from '../transport/passing.ts';
import { isListed } from './waf-answer.ts';

test('a media type is listed by its name or by its kind', () => {
  for (const [type, listed, said] of [
    ['text/html', 'text/html', true],
    ['text/html', 'text/*', true],
    ['text/html', 'text/htm', false],
    ['textual/html', 'text/*', false],
    ['application/json', 'text/*', false],
    ['application/json', 'application/json', true],
  ] as const) {
    assert.equal(isListed(type, listed), said, `${type} ${listed}`);
  }
});

test('a media type is what stands before the parameters', () => {
  assert.equal(mediaType('Text/HTML; charset=utf-8'), 'text/html');
  assert.equal(mediaType(' text/plain '), 'text/plain');
  assert.equal(mediaType(''), '');
});

test('streams, calls and parts are never held', () => {
  const held = (status: number, type?: string): boolean =>
    !neverHeld({ status, header: () => type } as unknown as UpstreamAnswer);
  for (const type of ['text/html', 'text/event-streams', 'application/json', undefined]) {
    assert.ok(held(200, type), type);
    assert.ok(!held(206, type), type);
  }
  for (const type of [
    'text/event-stream',
    'Text/Event-Stream; charset=utf-8',
    'application/grpc',
    'application/grpc+proto',
    'application/grpc-web-text',
    'multipart/x-mixed-replace;boundary=a',
    'multipart/byteranges; boundary=a',
  ]) {
    assert.ok(!held(200, type), type);
  }
});
