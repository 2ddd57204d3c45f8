import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BootstrapConfig, ListenerConfig } from './bootstrap.ts';
import { uwsProblems } from './listener-problems.ts';

const listener = (over: Partial<ListenerConfig>): ListenerConfig => ({
  id: 'web',
  address: '0.0.0.0',
  port: 8443,
  proxyProtocolFrom: [],
  forwardedFrom: [],
  ...over,
});
const tls = (over: Partial<NonNullable<ListenerConfig['tls']>>): Partial<ListenerConfig> => ({
  tls: { minVersion: '1.2', cipherSuites: [], ...over },
});

function said(listeners: readonly Partial<ListenerConfig>[], written: object = {}): string[] {
  const problems: string[] = [];
  const bootstrap = { listeners: listeners.map(listener) } as unknown as BootstrapConfig;
  uwsProblems(bootstrap, written, (path, message) => problems.push(`${path}: ${message}`));
  return problems;
}

describe('what the uws transport cannot do is said, with the field and the mend', () => {
  const one = { certificateFile: '/a.pem', keyFile: '/a.key', names: [] };
  const rows: readonly (readonly [what: string, over: Partial<ListenerConfig>, problem: string])[] = [
    ['HTTP/2 that is asked for', { http2: true }, '/http2: the transport uws speaks HTTP/1.1 only; remove `http2`'],
    [
      'the PROXY protocol',
      { proxyProtocolFrom: ['10.0.0.0/8'] },
      '/proxyProtocolFrom: the transport uws reads no PROXY header; remove it',
    ],
    [
      'several certificates',
      tls({ certificates: [one, one] }),
      '/tls/certificates: the transport uws holds one certificate for each listener; give one, or a listener to each',
    ],
    [
      'OCSP',
      tls({ certificates: [{ ...one, ocspFile: '/a.ocsp' }] }),
      '/tls/certificates/0/ocspFile: the transport uws staples no OCSP response; remove it',
    ],
    [
      'server names',
      tls({ certificates: [{ ...one, names: ['shop.example'] }] }),
      '/tls/certificates/0/names: the transport uws does not choose by server name; remove them',
    ],
    [
      'cipher suites',
      tls({ certificates: [one], cipherSuites: ['TLS_AES_128_GCM_SHA256'] }),
      '/tls/cipherSuites: the transport uws has its own list of cipher suites; remove them',
    ],
    [
      'client certificates',
      tls({ certificates: [one], clientCertificates: { mode: 'required', caFile: '/ca.pem' } }),
      '/tls/clientCertificates: the transport uws asks for no client certificates; remove them',
    ],
  ];
  for (const [what, over, problem] of rows) {
    it(what, () => assert.deepEqual(said([{}, over]), [`/listeners/1${problem}, or say \`transport: native\``]));
  }
  it('bounds and deadlines, when they are written', () => {
    assert.deepEqual(said([{}], { downstream: {} }), [
      '/downstream: the transport uws has its own bounds and deadlines; remove `downstream`, or say `transport: native`',
    ]);
  });
  it('nothing else', () => {
    const fine: Partial<ListenerConfig>[] = [
      {},
      { http2: false },
      tls({ certificateFile: '/a.pem', keyFile: '/a.key' }),
      tls({ certificates: [one], clientCertificates: { mode: 'off' } }),
    ];
    assert.deepEqual(said(fine), []);
  });
});
