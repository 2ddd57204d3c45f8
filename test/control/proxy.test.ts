/** A registry behind a proxy: HTTPS through a tunnel, with the proxy's own credentials, which the registry never sees. */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { parseProxy } from '../../src/control/oci/proxy.ts';
import { OciRegistry } from '../../src/control/oci/registry.ts';
import { TestAuthority } from '../harness/certs.ts';
import { bundle, verified } from './harness/sample.ts';
import { ScriptedRegistry } from './harness/scripted-registry.ts';

const NAME = 'registry.example';

/** Tunnels whatever it is asked for to one place. */
async function proxyTo(t: TestContext, host: string) {
  const asked: { target: string; authorization: string | undefined }[] = [];
  const sockets = new Set<Socket>();
  const server = createServer();
  server.on('connect', (request: IncomingMessage, client: Socket) => {
    const authorization = request.headers['proxy-authorization'];
    asked.push({ target: request.url ?? '', authorization });
    if (authorization === undefined) {
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
      return;
    }
    const upstream = connect(Number(host.split(':')[1]), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      upstream.pipe(client).pipe(upstream);
    });
    for (const socket of [client, upstream]) socket.on('error', () => socket.destroy());
    for (const socket of [client, upstream]) sockets.add(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { asked, port: (server.address() as AddressInfo).port };
}

describe('a registry behind a proxy', () => {
  it('is reached through a tunnel, its certificate checked against the configured authority', async (t) => {
    const authority = new TestAuthority();
    const { key, certificate: cert } = authority.leaf([NAME]);
    const registry = await ScriptedRegistry.start(t, { key, cert });
    const built = bundle(1);
    registry.publish(built);
    const { asked, port } = await proxyTo(t, registry.host);
    const open = (user: string, ca?: string) => {
      const client = new OciRegistry(NAME, 'edge/config', {
        proxy: parseProxy(`http://${user}127.0.0.1:${port}`),
        sleep: async () => {},
        ...(ca === undefined ? {} : { ca }),
      });
      t.after(() => client.close());
      return client;
    };
    const client = open('user:p%40ss@', authority.certificate);
    assert.equal((await client.resolve('prod')).state, 'found');
    await verified(client, built);
    assert.equal(asked[0]?.target, `${NAME}:443`);
    assert.equal(asked[0]?.authorization, `Basic ${Buffer.from('user:p@ss').toString('base64')}`);
    assert.ok(registry.requests.every((item) => item.headers['proxy-authorization'] === undefined));

    await assert.rejects(open('user:p@').resolve('prod'), { code: 'unreachable' });
    await assert.rejects(open('', authority.certificate).resolve('prod'), { code: 'unreachable' });
  });
});
