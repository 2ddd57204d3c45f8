import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { objectOf, readClaims, readHeader } from './jws.ts';

const part = (text: string): string => Buffer.from(text).toString('base64url');
const HEADER = '{"alg":"ES256","kid":"k"}';
const SIGNATURE = part('x'.repeat(64));
const token = (header: string, payload = '{}'): string => `${part(header)}.${part(payload)}.${SIGNATURE}`;

describe('the header of a token', () => {
  it('is read from three canonical parts', () => {
    assert.deepEqual(readHeader(token(HEADER)), { alg: 'ES256', kid: 'k' });
    assert.deepEqual(readHeader(token('{"alg":"RS256"}')), { alg: 'RS256', kid: undefined });
    assert.deepEqual(
      readHeader(`${part(HEADER)}..${SIGNATURE}`),
      { alg: 'ES256', kid: 'k' },
      'an empty payload is judged later',
    );
  });
  const wrong: Readonly<Record<string, string>> = {
    nothing: '',
    'one part': part(HEADER),
    'two parts': `${part(HEADER)}.${part('{}')}`,
    'four parts': `${token(HEADER)}.${SIGNATURE}`,
    'five parts, as encrypted tokens have': `${token(HEADER)}.a.b`,
    'an empty signature': `${part(HEADER)}.${part('{}')}.`,
    'an empty header': `.${part('{}')}.${SIGNATURE}`,
    padding: `${part('{"alg":"ES256"}a')}=.${part('{}')}.${SIGNATURE}`,
    'plain base64': `${part(HEADER)}.${part('{}')}.ab+/`,
    'a space': `${part(HEADER)} .${part('{}')}.${SIGNATURE}`,
    'a length that base64 does not have': `${part(HEADER)}.${part('{}')}.abcde`,
    'bits that mean nothing, in two characters': `${part(HEADER)}.${part('{}')}.aB`,
    'bits that mean nothing, in three': `${part(HEADER)}.${part('{}')}.aaB`,
    'no JSON': token('alg'),
    'a list': token('["ES256"]'),
    'a text': token('"ES256"'),
    null: token('null'),
    'no algorithm': token('{"kid":"k"}'),
    'the algorithm none': token('{"alg":"none"}'),
    'an algorithm that is no text': token('{"alg":["ES256"]}'),
    'a kid that is no text': token('{"alg":"ES256","kid":7}'),
    'an algorithm twice': token('{"alg":"none","alg":"ES256"}'),
    'an algorithm twice, escaped': token('{"\\u0061lg":"none","alg":"ES256"}'),
    crit: token('{"alg":"ES256","crit":["exp"],"exp":1}'),
    'an empty crit': token('{"alg":"ES256","crit":[]}'),
    'an unencoded payload': token('{"alg":"ES256","b64":false}'),
    'nesting without end': token(`{"alg":"ES256","x":${'['.repeat(100)}${']'.repeat(100)}}`),
  };
  for (const [what, text] of Object.entries(wrong))
    it(`is not read from ${what}`, () => assert.equal(readHeader(text), null));

  it('is never read with an exception, whatever is sent', () => {
    const piece = fc.oneof(
      fc.string(),
      fc.json().map(part),
      fc.base64String(),
      fc.constantFrom('.', '..', part(HEADER), SIGNATURE),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), fc.constantFrom('', '.'), (pieces, joint) => {
        const text = pieces.join(joint);
        const header = readHeader(text);
        if (header !== null) assert.notEqual(header.alg, 'none');
        readClaims(text);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('claims', () => {
  it('are an object without repeated keys, or nothing', () => {
    assert.deepEqual(readClaims(token(HEADER, '{"iss":"a"}')), { iss: 'a' });
    assert.equal(readClaims(token(HEADER, '{"iss":"a","iss":"b"}')), null);
    assert.equal(readClaims(token(HEADER, '{"a":{"b":1,"b":2}}')), null);
    assert.equal(readClaims(token(HEADER, '[]')), null);
    assert.equal(readClaims('no token'), null);
    assert.equal(objectOf(''), null);
  });

  it('are UTF-8: bytes that are none would all become the same character', () => {
    for (const bytes of [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xc3]]) {
      const text = Buffer.concat([Buffer.from('{"sub":"'), Buffer.from(bytes), Buffer.from('"}')]);
      assert.equal(objectOf(text.toString('base64url')), null, text.toString('hex'));
    }
    assert.deepEqual(objectOf(part('{"sub":"\u00e9\u{1f511}"}')), { sub: '\u00e9\u{1f511}' });
  });
});
