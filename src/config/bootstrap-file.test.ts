import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readBootstrap } from './bootstrap-file.ts';
import { ConfigError } from './document.ts';

const RIGHT = `listeners:
  - {id: web, port: 8080}
bundle: {source: "oci:bundles:stable"}
trustFile: trust.yaml
stateDir: ../state
`;

/** What only the native transport does may be said with it. */
const NATIVE = `${RIGHT}transport: native
`;

function said(text: string): string[] {
  try {
    readBootstrap('/etc/cnx/gateway.yaml', text);
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.message.replaceAll('/etc/cnx/gateway.yaml:', '').split('\n');
  }
}

describe('a wrong bootstrap is told with place and mend', () => {
  const rows: readonly (readonly [what: string, text: string, lines: readonly string[]])[] = [
    ['nothing', '', ['1:1: expected a mapping, got nothing (The bootstrap.)']],
    [
      'what has no default is missing',
      '{}',
      [
        '1:1: "listeners" is missing: Where traffic comes in.',
        '1:1: "bundle" is missing: Where bundles come from.',
        '1:1: "trustFile" is missing: The trust policy.',
        '1:1: "stateDir" is missing: Where verified bundles and state are kept; created if absent.',
      ],
    ],
    ['an unknown key', `${RIGHT}lane: 1\n`, ['6:1: /lane: unknown key "lane"; did you mean "lanes"?']],
    [
      'an admin listener for all the world without a token',
      `${RIGHT}admin: {address: 0.0.0.0}\n`,
      ['6:8: /admin: the admin listener on 0.0.0.0 needs `tokenFile`; without it only loopback is allowed'],
    ],
    [
      'an address that begins like loopback and is none',
      `${RIGHT}admin: {address: 127.evil.example}\n`,
      [
        '6:8: /admin: the admin listener on 127.evil.example needs `tokenFile`; without it only loopback is allowed',
        '6:18: /admin/address: "127.evil.example" is no IP address; one is expected, without brackets, or localhost',
      ],
    ],
    [
      'a name and a port that are taken',
      RIGHT.replace('bundle:', '  - {id: web, port: 8080, address: 127.0.0.1}\nbundle:'),
      [
        '3:10: /listeners/1/id: "web" is already the id of another listener',
        '3:21: /listeners/1/port: 8080 is already the port of /listeners/0',
      ],
    ],
    [
      'the ports of probes and admin',
      `${RIGHT}probes: {port: 8080}\nadmin: {port: 8080}\n`,
      [
        '6:16: /probes/port: 8080 is already the port of /listeners/0',
        '7:15: /admin/port: 8080 is already the port of /listeners/0',
      ],
    ],
    [
      'a port that is taken on an address that is written in another way',
      RIGHT.replace(
        'bundle:',
        '  - {id: a, port: 1, address: "::1"}\n  - {id: b, port: 1, address: "0:0:0:0:0:0:0:1"}\nbundle:',
      ),
      ['4:19: /listeners/2/port: 1 is already the port of /listeners/1'],
    ],
    [
      'a port of loopback that is taken on localhost',
      `${RIGHT.replace('8080}', '8080, address: 127.0.0.1}')}probes: {port: 8080, address: localhost}\n`,
      ['6:16: /probes/port: 8080 is already the port of /listeners/0'],
    ],
    [
      'addresses to listen on that are none',
      `listeners:
  - {id: a, port: 1, address: 999.1.1.1}
  - {id: b, port: 2, address: localhost}
  - {id: c, port: 3, address: "[::1]"}
  - {id: d, port: 4, address: "fe80::1%eth0"}
${RIGHT.split('\n').slice(2).join('\n')}probes: {address: 999.1.1.1}
`,
      [
        '2:31: /listeners/0/address: "999.1.1.1" is no IP address; one of this machine is expected, without brackets, such as 0.0.0.0 or ::1',
        '3:31: /listeners/1/address: "localhost" is no IP address; one of this machine is expected, without brackets, such as 0.0.0.0 or ::1',
        '4:31: /listeners/2/address: "[::1]" is no IP address; one of this machine is expected, without brackets, such as 0.0.0.0 or ::1',
        '5:31: /listeners/3/address: "fe80::1%eth0" is no IP address; one of this machine is expected, without brackets, such as 0.0.0.0 or ::1',
        '9:19: /probes/address: "999.1.1.1" is no IP address; one is expected, without brackets, or localhost',
      ],
    ],
    [
      'sources that name no place of bundles',
      RIGHT.replace(
        '"oci:bundles:stable"',
        'foo, mirrors: [{source: "https://registry.example/a"}, {source: mirror/a}], seed: "oci:"',
      ),
      [
        '3:18: /bundle/source: "foo" is no source of bundles; write oci:<directory>[:tag] or registry.example/repository:tag',
        '3:42: /bundle/mirrors/0/source: "https://registry.example/a" holds a scheme; write it without https://',
        '3:82: /bundle/mirrors/1/source: "mirror" is no registry; write one with a dot or a port, such as registry.example or localhost:5000, or oci:<directory>[:tag]',
        '3:100: /bundle/seed: "oci:" names no directory; write oci:<directory>[:tag]',
      ],
    ],
    [
      'a network that is none',
      RIGHT.replace('8080}', '8080, forwardedFrom: [10.0.0.0/40]}'),
      ['2:43: /listeners/0/forwardedFrom/0: /40 is too long; at most /32 is possible for IPv4'],
    ],
    [
      'a user without a password',
      RIGHT.replace('stable"}', 'stable", registry: {usernameFrom: "env:USER"}}'),
      ['3:50: /bundle/registry: usernameFrom and passwordFrom go together'],
    ],
    [
      'secrets by value',
      `${RIGHT}secrets: {a: hunter2, c: "env:1 2"}\n`,
      [
        '6:14: /secrets/a: "hunter2" does not fit (Where the secret is: `env:NAME` or `file:PATH`.); expected something like "env:SESSION_KEY" or "file:secrets/session-key"',
        '6:26: /secrets/c: "env:1 2" does not fit (Where the secret is: `env:NAME` or `file:PATH`.); expected something like "env:SESSION_KEY" or "file:secrets/session-key"',
      ],
    ],
    [
      'a secret under a name that no bundle can say',
      `${RIGHT}secrets: {"A b": "env:X"}\n`,
      ['6:11: /secrets/A b: no bundle can say the name "A b"; it must fit ^[a-z0-9][a-z0-9._-]{0,62}$'],
    ],
    [
      'a TLS version that is not spoken any more',
      RIGHT.replace('8080}', '8443, tls: {certificateFile: a, keyFile: b, minVersion: "1.1"}}'),
      ['2:77: /listeners/0/tls/minVersion: "1.1" is not one of 1.2, 1.3; did you mean "1.2"?'],
    ],
    [
      'a certificate twice, half, or not at all',
      `listeners:
  - {id: a, port: 1, tls: {certificateFile: a, keyFile: b, certificates: [{certificateFile: a, keyFile: b}]}}
  - {id: b, port: 2, tls: {certificateFile: a}}
  - {id: c, port: 3, tls: {}}
${RIGHT.split('\n').slice(2).join('\n')}`,
      [
        '2:27: /listeners/0/tls: certificateFile and keyFile are for one certificate; put all of them under `certificates`',
        '3:27: /listeners/1/tls: certificateFile and keyFile go together',
        '4:27: /listeners/2/tls: no certificate; add certificateFile and keyFile, or several under `certificates`',
      ],
    ],
    [
      'one certificate twice, where no name chooses the second',
      NATIVE.replace(
        '8080}',
        `8443, tls: {certificates: [
      {certificateFile: a, keyFile: k},
      {certificateFile: ./a, keyFile: k},
      {certificateFile: b, keyFile: k, names: [b.example, www.b.example]},
      {certificateFile: b, keyFile: k, names: [WWW.b.example]}]}}`,
      ),
      [
        '4:7: /listeners/0/tls/certificates/1: is the certificate of /listeners/0/tls/certificates/0 again, and no other name chooses it; remove it, or give it names of its own',
        '6:7: /listeners/0/tls/certificates/3: is the certificate of /listeners/0/tls/certificates/2 again, and no other name chooses it; remove it, or give it names of its own',
      ],
    ],
    [
      'client certificates that nobody could verify',
      NATIVE.replace('8080}', '8443, tls: {certificateFile: a, keyFile: b, clientCertificates: {}}}'),
      ['2:85: /listeners/0/tls/clientCertificates: mode required needs `caFile`: the authorities that are believed'],
    ],
    [
      'a cipher suite that there is not',
      NATIVE.replace('8080}', '8443, tls: {certificateFile: a, keyFile: b, cipherSuites: [TLS_AES_128_GCM_SHA]}}'),
      [
        '2:80: /listeners/0/tls/cipherSuites/0: "TLS_AES_128_GCM_SHA" is not one of TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256; did you mean "TLS_AES_128_GCM_SHA256"?',
      ],
    ],
    [
      'cipher suites twice, or of a version that is off',
      NATIVE.replace(
        '8080}',
        '8443, tls: {certificateFile: a, keyFile: b, minVersion: "1.3", cipherSuites: [TLS_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]}}',
      ),
      [
        '2:123: /listeners/0/tls/cipherSuites/1: TLS_AES_128_GCM_SHA256 is named twice',
        '2:147: /listeners/0/tls/cipherSuites/2: TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 is of TLS 1.2, and minVersion is 1.3; remove one of the two',
      ],
    ],
    [
      'a network of load balancers that is none',
      NATIVE.replace('8080}', '8080, proxyProtocolFrom: [10.0.0.0/8, 10.0.0/8]}'),
      ['2:59: /listeners/0/proxyProtocolFrom/1: "10.0.0" is no IP address'],
    ],
    [
      'deadlines and bounds that cannot be',
      `${RIGHT}downstream: {headTimeoutMs: 1, connectionMax: 5}\n`,
      [
        "6:29: /downstream/headTimeoutMs: 1 is out of bounds; 100 to 600000 is expected (From a request head's first byte to its end. Unit: milliseconds.)",
        '6:32: /downstream/connectionMax: unknown key "connectionMax"; did you mean "connectionsMax"?',
      ],
    ],
    [
      'what the chosen transport cannot do',
      `${RIGHT.replace('8080}', '8080, http2: true}')}transport: uws\ndownstream: {idleTimeoutMs: 5000}\n`,
      [
        '2:34: /listeners/0/http2: the transport uws speaks HTTP/1.1 only; remove `http2`, or say `transport: native`',
        '7:13: /downstream: the transport uws has its own bounds and deadlines; remove `downstream`, or say `transport: native`',
      ],
    ],
  ];
  for (const [what, text, lines] of rows) it(what, () => assert.deepEqual(said(text), lines));
});

describe('a bootstrap', () => {
  it('needs no more than listeners, a source, a trust policy and a place for its state', () => {
    const b = readBootstrap('/etc/cnx/gateway.yaml', RIGHT);
    assert.deepEqual(b.probes, { address: '0.0.0.0', port: 9901 });
    assert.deepEqual(b.admin, { address: '127.0.0.1', port: 9902 });
    assert.equal(b.allowFaults, false);
  });
  it('has its paths relative to its own file, absolute ones as they are', () => {
    const b = readBootstrap(
      '/etc/cnx/gateway.yaml',
      `${RIGHT.replace('8080}', '8443, tls: {certificateFile: a.pem, keyFile: /k/b.pem}}').replace('stable"}', 'stable", registry: {caFile: ca.pem}}')}
admin: {tokenFile: token}
secrets: {a: "file:s/a", b: "env:B"}
`,
    );
    assert.deepEqual(b.listeners[0]?.tls, {
      certificateFile: '/etc/cnx/a.pem',
      keyFile: '/k/b.pem',
      minVersion: '1.2',
      cipherSuites: [],
    });
    assert.equal(b.trustFile, '/etc/cnx/trust.yaml');
    assert.equal(b.stateDir, '/etc/state');
    assert.equal(b.bundle.source, 'oci:/etc/cnx/bundles:stable');
    assert.equal(b.bundle.registry?.caFile, '/etc/cnx/ca.pem');
    assert.equal(b.admin.tokenFile, '/etc/cnx/token');
    assert.deepEqual(b.secrets, { a: 'file:/etc/cnx/s/a', b: 'env:B' });
  });
  it('gives a listener one certificate or several, with what belongs to them', () => {
    const b = readBootstrap(
      '/etc/cnx/gateway.yaml',
      NATIVE.replace(
        '8080}',
        `8443, tls: {minVersion: "1.3", clientCertificates: {mode: optional, caFile: ca.pem}, certificates: [
      {certificateFile: a.pem, keyFile: a.key, ocspFile: a.ocsp, names: [shop.example, "*.shop.example"]},
      {certificateFile: /k/b.pem, keyFile: /k/b.key}]}}`,
      ),
    );
    assert.deepEqual(b.listeners[0]?.tls, {
      minVersion: '1.3',
      cipherSuites: [],
      clientCertificates: { mode: 'optional', caFile: '/etc/cnx/ca.pem' },
      certificates: [
        {
          certificateFile: '/etc/cnx/a.pem',
          keyFile: '/etc/cnx/a.key',
          ocspFile: '/etc/cnx/a.ocsp',
          names: ['shop.example', '*.shop.example'],
        },
        { certificateFile: '/k/b.pem', keyFile: '/k/b.key', names: [] },
      ],
    });
  });
  it('gives a name a certificate of each kind of key, and a certificate names of its own', () => {
    assert.deepEqual(
      said(
        NATIVE.replace(
          '8080}',
          `8443, tls: {certificates: [
      {certificateFile: rsa.pem, keyFile: rsa.key, names: [a.example]},
      {certificateFile: ecdsa.pem, keyFile: ecdsa.key, names: [a.example]},
      {certificateFile: ecdsa.pem, keyFile: ecdsa.key, names: [b.example]}]}}`,
        ),
      ),
      [],
    );
  });
  it('has the bounds and deadlines of the engine unless it says others', () => {
    assert.deepEqual(readBootstrap('/g.yaml', `${NATIVE}downstream: {idleTimeoutMs: 5000}\n`).downstream, {
      connectionsMax: 65_536,
      connectionsPerAddressMax: 65_536,
      handshakeTimeoutMs: 10_000,
      headTimeoutMs: 10_000,
      idleTimeoutMs: 5_000,
      writeTimeoutMs: 30_000,
      bodyRateMin: 128,
    });
  });
  it('names a directory with or without a tag, or a registry', () => {
    const source = (text: string): string =>
      readBootstrap('/etc/cnx/gateway.yaml', RIGHT.replace('oci:bundles:stable', text)).bundle.source;
    assert.equal(source('oci:/a/b'), 'oci:/a/b');
    assert.equal(source('oci:./b:v1.2'), 'oci:/etc/cnx/b:v1.2');
    assert.equal(source('registry.example/a/b:stable'), 'registry.example/a/b:stable');
  });
  it('is the same in JSON', () => {
    const json = JSON.stringify({
      listeners: [{ id: 'web', port: 8080 }],
      bundle: { source: 'oci:bundles:stable' },
      trustFile: 'trust.yaml',
      stateDir: '../state',
    });
    assert.deepEqual(readBootstrap('/etc/cnx/gateway.json', json), readBootstrap('/etc/cnx/gateway.yaml', RIGHT));
  });
});
