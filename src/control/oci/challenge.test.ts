import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseChallenges } from './challenge.ts';

const plain = (header: string | string[]) =>
  parseChallenges(header)?.map(({ scheme, token68, parameters }) => ({
    scheme,
    ...(token68 === undefined ? {} : { token68 }),
    ...Object.fromEntries(parameters),
  }));

describe('WWW-Authenticate', () => {
  for (const [header, expected] of [
    ['Basic realm="edge-test"', [{ scheme: 'basic', realm: 'edge-test' }]],
    [
      'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:edge/config:pull,push"',
      [
        {
          scheme: 'bearer',
          realm: 'https://auth.example/token',
          service: 'registry.example',
          scope: 'repository:edge/config:pull,push',
        },
      ],
    ],
    [
      'Newauth realm="apps", type=1, title="Login to \\"apps\\"", Basic realm="simple"',
      [
        { scheme: 'newauth', realm: 'apps', type: '1', title: 'Login to "apps"' },
        { scheme: 'basic', realm: 'simple' },
      ],
    ],
    ['Negotiate', [{ scheme: 'negotiate' }]],
    ['Negotiate, Basic realm=x', [{ scheme: 'negotiate' }, { scheme: 'basic', realm: 'x' }]],
    [
      'NTLM TlRMTVNTUAAC==, Basic realm="y"',
      [
        { scheme: 'ntlm', token68: 'TlRMTVNTUAAC==' },
        { scheme: 'basic', realm: 'y' },
      ],
    ],
    [' , ,Basic realm = "a,b" , , charset="UTF-8",', [{ scheme: 'basic', realm: 'a,b', charset: 'UTF-8' }]],
    [
      ['Basic realm="a"', 'Bearer realm="b"'],
      [
        { scheme: 'basic', realm: 'a' },
        { scheme: 'bearer', realm: 'b' },
      ],
    ],
    ['', []],
    ['BEARER ReAlM="x"', [{ scheme: 'bearer', realm: 'x' }]],
  ] as const) {
    it(`reads ${JSON.stringify(header)}`, () => {
      assert.deepEqual(plain(header as string), expected);
    });
  }

  for (const header of [
    'Basic realm="open',
    'Basic realm="a" realm2="b"',
    'Basic realm="a", realm="b"',
    'Basic realm="a", REALM="b"',
    '"Basic" realm=x',
    'Basic realm=, x=1',
    'Basic =x',
    'Basic realm="a\u0000b"',
    'Basic realm="a"junk',
    'x'.repeat(9000),
    Array.from({ length: 20 }, (_, i) => `S${i} realm=x`).join(', '),
    `Basic ${Array.from({ length: 40 }, (_, i) => `p${i}=x`).join(', ')}`,
  ]) {
    it(`gives up on ${JSON.stringify(header.slice(0, 60))}`, () => {
      assert.equal(parseChallenges(header), undefined);
    });
  }

  it('reads back any list of challenges that is written by the grammar', () => {
    const token = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/);
    const quotable = fc
      .string({ unit: 'binary-ascii', maxLength: 20 })
      .map((text) => text.replace(/[^\t\x20-\x7e]/g, ''));
    const challenge = fc.record({
      scheme: token,
      parameters: fc.uniqueArray(fc.tuple(token, quotable), {
        selector: ([name]) => name.toLowerCase(),
        minLength: 1,
        maxLength: 5,
      }),
    });
    fc.assert(
      fc.property(fc.array(challenge, { maxLength: 4 }), fc.constantFrom(',', ', ', ' , '), (list, comma) => {
        const header = list
          .map(
            ({ scheme, parameters }) =>
              `${scheme} ${parameters.map(([name, value]) => `${name}="${value.replace(/["\\]/g, '\\$&')}"`).join(comma)}`,
          )
          .join(comma);
        const expected = list.map(({ scheme, parameters }) => ({
          scheme: scheme.toLowerCase(),
          parameters: parameters.map(([name, value]) => [name.toLowerCase(), value]),
        }));
        assert.deepEqual(
          parseChallenges(header)?.map((item) => ({ scheme: item.scheme, parameters: [...item.parameters] })),
          expected,
        );
      }),
    );
  });

  it('ends for every input and never throws', () => {
    const pieces = fc.constantFrom('Basic', ' ', ',', '=', '"', '\\', 'realm', 'x', '==', '\t', '\u00e9', '/');
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(pieces, { maxLength: 40 }).map((parts) => parts.join('')),
        ),
        (header) => {
          const challenges = parseChallenges(header);
          assert.ok(challenges === undefined || challenges.length <= 16);
        },
      ),
      { numRuns: 3000 },
    );
  });
});
