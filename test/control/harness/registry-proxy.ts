/** A real registry at another place: hands everything on to it and notes what it was. Uploads are told to go on there, too, by the Host that the registry sees. */
import { once } from 'node:events';
import { createServer, request as ask } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

/** `refuses`: of these requests, by method and path, none gets there: they hear 503. */
export async function proxyOf(
  t: Pick<TestContext, 'after'>,
  host: string,
  refuses: (method: string, path: string) => boolean = () => false,
): Promise<{ readonly host: string; readonly requests: string[] }> {
  const requests: string[] = [];
  const proxy = createServer((incoming, answer) => {
    const { method = '', url = '', headers } = incoming;
    requests.push(`${method} ${url}`);
    if (refuses(method, url)) {
      answer.writeHead(503).end();
      return;
    }
    const onward = ask(`http://${host}${url}`, { method, headers }, (got) => {
      answer.writeHead(got.statusCode ?? 502, got.headers);
      got.pipe(answer);
    });
    onward.on('error', () => answer.destroy());
    incoming.pipe(onward);
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return { requests, host: `127.0.0.1:${(proxy.address() as AddressInfo).port}` };
}
