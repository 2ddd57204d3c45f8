import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CLIENT_CERT_BYTES_MAX, clientCertificateField } from './client-certificate.ts';

const fingerprint = 'ab'.repeat(32);
const field = (subject: string, ...sans: string[]): string => clientCertificateField({ subject, sans, fingerprint });

test('fingerprint, subject, URIs and names of the certificate, in the form of Envoy', () => {
  assert.equal(
    field(
      'CN=alice,O=Example',
      'DNS:alice.example',
      'IP:10.0.0.1',
      'URI:spiffe://example/alice',
      'email:a@b',
      'DNS:b.example',
    ),
    `Hash=${fingerprint};Subject="CN=alice,O=Example";URI=spiffe://example/alice;DNS=alice.example;DNS=b.example`,
  );
  assert.equal(field(''), `Hash=${fingerprint};Subject=""`);
});

test('a certificate cannot say more than it is: quotes, backslashes and signs end nothing', () => {
  for (const [subject, written] of [
    ['CN=a\\"\\;URI\\=spiffe://evil', 'CN=a\\22\\;URI\\=spiffe://evil'],
    ['CN=a"', 'CN=a\\22'],
    ['CN=a\\\\', 'CN=a\\5C'],
    ['CN=a\\\\\\"', 'CN=a\\5C\\22'],
    ['CN=Zoë', 'CN=Zo\\C3\\AB'],
    ['CN=a\r\nx: y', 'CN=a\\0D\\0Ax: y'],
  ] as const)
    assert.equal(field(subject), `Hash=${fingerprint};Subject="${written}"`);
  assert.equal(
    field('', 'URI:https://a/?b=1;Hash=2', 'URI:https://a/"\\ü'),
    `Hash=${fingerprint};Subject="";URI="https://a/?b=1;Hash=2";URI=https://a/%22%5C%C3%BC`,
  );
});

test('whatever it holds, the field is read back as one element of pairs, visible and bounded', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom('"', '\\', ';', ',', '=', 'a') }),
  );
  fc.assert(
    fc.property(text, fc.array(text, { maxLength: 8 }), (subject, names) => {
      const made = field(subject, ...names.flatMap((n) => [`URI:${n}`, `DNS:${n}`]));
      assert.match(made, /^[\x20-\x7e]*$/);
      assert.ok(made.length <= CLIENT_CERT_BYTES_MAX);
      // Two readers: one for whom a backslash escapes a quote, one for whom it does not.
      for (const value of ['"(?:[^"\\\\]|\\\\.)*"', '"[^"]*"'])
        assert.match(made, new RegExp(`^Hash=[0-9a-f]{64}(;(Subject|URI|DNS)=(${value}|[^",;=]*))*$`));
    }),
  );
});

test('a certificate of a thousand names is told as far as there is room', () => {
  const made = field('CN=many', ...Array.from({ length: 1_000 }, (_, i) => `DNS:host-${i}.example`));
  assert.ok(made.length <= CLIENT_CERT_BYTES_MAX);
  assert.match(made, /;DNS=host-100\.example(;|$)/);
});
