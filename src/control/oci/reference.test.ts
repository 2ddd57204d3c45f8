import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { sourceFault } from '../../config/bundle-source.ts';
import { formatReference, parseReference, type Reference, MalformedReference } from './reference.ts';

const DIGEST = `sha256:${'a1'.repeat(32)}`;

describe('references', () => {
  for (const [text, expected] of [
    ['oci:bundles', { kind: 'layout', directory: 'bundles', tag: 'latest' }],
    ['oci:/var/lib/bundles:prod', { kind: 'layout', directory: '/var/lib/bundles', tag: 'prod' }],
    ['oci:./a:b/c', { kind: 'layout', directory: './a:b/c', tag: 'latest' }],
    ['oci:a:b:c', { kind: 'layout', directory: 'a:b', tag: 'c' }],
    [`oci:a@${DIGEST}`, { kind: 'layout', directory: 'a', tag: 'latest', digest: DIGEST }],
    ['oci:user@host', { kind: 'layout', directory: 'user@host', tag: 'latest' }],
    [
      'registry.example/edge/config:prod',
      { kind: 'registry', host: 'registry.example', repository: 'edge/config', tag: 'prod' },
    ],
    ['localhost:5000/a', { kind: 'registry', host: 'localhost:5000', repository: 'a', tag: 'latest' }],
    ['localhost/a', { kind: 'registry', host: 'localhost', repository: 'a', tag: 'latest' }],
    ['[::1]:5000/a__b.c-d:v1.2_3', { kind: 'registry', host: '[::1]:5000', repository: 'a__b.c-d', tag: 'v1.2_3' }],
    [
      `Registry.Example/a:1@${DIGEST}`,
      { kind: 'registry', host: 'registry.example', repository: 'a', tag: '1', digest: DIGEST },
    ],
  ] as const) {
    it(`reads ${text}`, () => {
      assert.deepEqual(parseReference(text), expected);
      assert.equal(sourceFault(text), null);
    });
  }

  for (const [text, message] of [
    ['', /no reference/],
    ['oci:', /names no directory/],
    ['oci::tag', /names no directory/],
    ['bundles', /no reference/],
    ['library/nginx', /no registry host/],
    ['https://registry.example/a', /holds a scheme/],
    ['docker://registry.example/a', /holds a scheme/],
    ['registry.example/', /no repository name/],
    ['registry.example/A', /no repository name/],
    ['registry.example/a//b', /no repository name/],
    ['registry.example/../b', /no repository name/],
    ['registry.example/a___b', /no repository name/],
    [`registry.example/${'a'.repeat(256)}`, /no repository name/],
    ['registry.example/a:', /no tag/],
    ['registry.example/a:-x', /no tag/],
    [`registry.example/a:${'x'.repeat(129)}`, /no tag/],
    ['registry.example/a@sha256:12', /no digest/],
    ['registry.example/a@sha512:12', /no digest/],
    ['registry.example:0/a', /no registry host/],
    ['registry.example:65536/a', /no registry host/],
    ['user:pw@registry.example/a', /no registry host/],
    ['registry.example?x/a', /no registry host/],
    ['[::g]:1/a', /no registry host/],
    ['oci:a\0b', /NUL/],
    ['x'.repeat(5000), /at most 4096/],
  ] as const) {
    it(`refuses ${JSON.stringify(text.slice(0, 50))}`, () => {
      assert.throws(
        () => parseReference(text),
        (error: Error) => error instanceof MalformedReference && message.test(error.message),
      );
      assert.notEqual(sourceFault(text), null);
    });
  }

  it('reads back what it formats', () => {
    const tag = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,20}$/);
    const digest = fc.option(fc.stringMatching(/^sha256:[0-9a-f]{64}$/), { nil: undefined });
    const registry = fc.record({
      kind: fc.constant('registry' as const),
      host: fc.constantFrom('registry.example', 'localhost:5000', '127.0.0.1:1', '[::1]:65535'),
      repository: fc.stringMatching(/^[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,3}(\/[a-z0-9]{1,5}){0,3}$/),
      tag,
      digest,
    });
    const layout = fc.record({
      kind: fc.constant('layout' as const),
      directory: fc.stringMatching(/^[A-Za-z0-9_.:@/ -]{1,30}$/),
      tag,
      digest,
    });
    fc.assert(
      fc.property(fc.oneof(registry, layout), ({ digest: pinned, ...rest }) => {
        const reference = (pinned === undefined ? rest : { ...rest, digest: pinned }) as Reference;
        assert.deepEqual(parseReference(formatReference(reference)), reference);
      }),
    );
  });

  it('gives a reference or a MalformedReference for every text, and a check of the bootstrap says which', () => {
    const pieces = fc.constantFrom(
      'oci:',
      'registry.example',
      '/',
      ':',
      '@',
      'sha256:',
      'a',
      '..',
      '-',
      '__',
      '[',
      ']',
      '\0',
      ' ',
      '%2f',
      '5000',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(pieces, { maxLength: 12 }).map((parts) => parts.join('')),
        ),
        (text) => {
          try {
            const reference = parseReference(text);
            assert.equal(sourceFault(text), null);
            if (reference.kind === 'registry') {
              const url = new URL(`https://${reference.host}/v2/${reference.repository}/manifests/${reference.tag}`);
              assert.equal(url.pathname, `/v2/${reference.repository}/manifests/${reference.tag}`);
              assert.equal(url.username, '');
            }
          } catch (error) {
            assert.ok(error instanceof MalformedReference, String(error));
            assert.notEqual(sourceFault(text), null);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});
