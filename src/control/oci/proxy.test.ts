import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseProxy, proxyFromEnvironment, throughProxy } from './proxy.ts';

describe('a proxy', () => {
  it('is taken from the environment, in either case', () => {
    assert.equal(proxyFromEnvironment({}), undefined);
    assert.equal(proxyFromEnvironment({ HTTPS_PROXY: '' }), undefined);
    assert.equal(proxyFromEnvironment({ HTTPS_PROXY: 'proxy.example:3128' })?.url.href, 'http://proxy.example:3128/');
    const both = proxyFromEnvironment({ https_proxy: 'http://a', HTTPS_PROXY: 'http://b', no_proxy: 'x, .y' });
    assert.deepEqual([both?.url.host, both?.except], ['a', ['x', '.y']]);
  });

  it('is http or https, and an error does not tell its password', () => {
    assert.throws(
      () => parseProxy('socks5://user:secret@a'),
      (error: Error) => !error.message.includes('secret'),
    );
    assert.throws(() => parseProxy('http://['), TypeError);
  });

  for (const [to, expected] of [
    ['https://registry.example', true],
    ['https://127.0.0.1:5000', false],
    ['https://localhost', false],
    ['https://[::1]', false],
    ['https://in.corp.example', false],
    ['https://corp.example', true],
    ['https://exact.example', false],
    ['https://sub.exact.example', false],
    ['https://notexact.example', true],
    ['https://port.example:8443', false],
    ['https://port.example', true],
    ['https://10.0.0.1', false],
  ] as const) {
    it(`is ${expected ? '' : 'not '}used for ${to}`, () => {
      const proxy = parseProxy('http://proxy.example', 'exact.example,.corp.example,port.example:8443,10.0.0.1');
      assert.equal(throughProxy(proxy, new URL(to)), expected);
    });
  }

  it('is used for nothing when everything is excepted, or when there is none', () => {
    assert.equal(throughProxy(parseProxy('http://p', '*'), new URL('https://a.example')), false);
    assert.equal(throughProxy(undefined, new URL('https://a.example')), false);
  });
});
