import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testAuthority } from '../../../test/harness/certs.ts';
import { certificateFault, expiryOf, readCertificates } from './pem.ts';

const authority = testAuthority();
const leaf = authority.leaf();
const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';

test('a chain and its key go together, as text and as bytes', () => {
  const chain = leaf.certificate + authority.certificate;
  assert.equal(certificateFault(chain, leaf.key), null);
  assert.equal(certificateFault(Buffer.from(chain), Buffer.from(leaf.key)), null);
  assert.deepEqual(
    readCertificates(`what openssl prints before it\n${chain}`).map((c) => c.subject),
    ['CN=localhost', 'CN=cnx test authority'],
  );
  assert.ok(expiryOf(chain) > Date.now());
});

test('what cannot be used is told with the reason', () => {
  const rows: readonly (readonly [chain: string, key: string, fault: RegExp])[] = [
    [leaf.key, leaf.key, /^the certificate cannot be read: it holds no certificate/],
    ['', leaf.key, /holds no certificate/],
    [broken, leaf.key, /its certificate 1 of 1 is broken/],
    [leaf.certificate + broken, leaf.key, /its certificate 2 of 2 is broken/],
    [leaf.certificate, '', /^the key cannot be read/],
    [leaf.certificate, leaf.certificate, /^the key cannot be read/],
    [leaf.certificate, leaf.key.slice(0, 60), /^the key cannot be read/],
    [leaf.certificate, '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n', /passphrase; decrypt it with/],
    [leaf.certificate, authority.leaf(['other.example']).key, /^the key is not that of the certificate$/],
    // The authority in front of the leaf: a common slip.
    [authority.certificate + leaf.certificate, leaf.key, /^the key is not that of the certificate$/],
  ];
  for (const [chain, key, fault] of rows) assert.match(certificateFault(chain, key) ?? 'nothing', fault);
});
