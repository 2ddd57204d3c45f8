import { isIP } from 'node:net';
import { isLoopbackHost } from './address.ts';

/** How connections to registries leave this network. */
export interface ProxyOptions {
  /** `http://` or `https://`, with user and password if it asks for them. */
  readonly url: URL;
  /** Hosts that are connected to directly: a name, a domain that begins with a dot, `host:port`, or `*`. */
  readonly except: readonly string[];
}

const EXCEPTIONS_MAX = 256;

/** What `HTTPS_PROXY` and `NO_PROXY` say, in either case, as curl reads them. Undefined when there is no proxy. */
export function proxyFromEnvironment(env: Readonly<Record<string, string | undefined>>): ProxyOptions | undefined {
  const url = env['https_proxy'] ?? env['HTTPS_PROXY'] ?? '';
  return url === '' ? undefined : parseProxy(url, env['no_proxy'] ?? env['NO_PROXY'] ?? '');
}

/** @throws {TypeError} for what is no proxy; the message holds no password. */
export function parseProxy(text: string, except = ''): ProxyOptions {
  const spelled = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (!URL.canParse(spelled)) throw new TypeError('the proxy is no URL; write http://proxy.example:3128');
  const url = new URL(spelled);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new TypeError(`the proxy is ${url.protocol}//; only http and https proxies are used`);
  const names = except.split(',').map((name) => name.trim().toLowerCase());
  return { url, except: names.filter((name) => name !== '').slice(0, EXCEPTIONS_MAX) };
}

/** Whether a connection to this place goes through the proxy. Never to the machine itself. */
export function throughProxy(proxy: ProxyOptions | undefined, to: URL): boolean {
  if (proxy === undefined || isLoopbackHost(to.hostname)) return false;
  const host = to.hostname.toLowerCase();
  return !proxy.except.some((name) => {
    if (name === '*' || name === host || name === to.host) return true;
    const domain = name.replace(/^\*?\./, '');
    return isIP(host) === 0 && domain !== '' && host.endsWith(`.${domain}`);
  });
}
