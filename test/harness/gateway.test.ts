import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readResponses } from '../conformance/http1/responses.ts';
import { plainBundle } from './bundle.ts';
import { testAuthority } from './certs.ts';
import { TestGateway } from './gateway.ts';
import { RawConnection } from './raw-client.ts';
import { TestUpstream } from './upstream.ts';

const GET = 'GET /echo HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n';

async function bodyThrough(connection: RawConnection): Promise<string> {
  connection.send(GET);
  assert.ok(await connection.untilClosed(10_000), 'the gateway closes when asked to');
  const [response] = readResponses(connection.received(), ['GET'], true).responses;
  assert.equal(response?.status, 200);
  return response.body.toString('latin1');
}

test('a gateway made from an object serves plain and TLS, takes another bundle, and ends with code 0', async () => {
  const [first, second] = await Promise.all([
    TestUpstream.start({ name: 'first' }),
    TestUpstream.start({ name: 'second' }),
  ]);
  const gateway = await TestGateway.start({ bundle: plainBundle([first.address]) });
  try {
    const plain = await bodyThrough(await RawConnection.open({ port: gateway.ports.http }));
    assert.match(plain, /"url":"\/echo"/);
    const tls = { ca: testAuthority().certificate, servername: 'localhost' };
    assert.match(await bodyThrough(await RawConnection.open({ port: gateway.ports.https, tls })), /"url":"\/echo"/);
    assert.equal(first.requests.length, 2);

    await gateway.publish(plainBundle([second.address]));
    await gateway.until('the second upstream is asked', async () => {
      await bodyThrough(await RawConnection.open({ port: gateway.ports.http }));
      return second.requests.length > 0;
    });
    assert.match((await gateway.probe('/metrics')).body, /^cnx_/m);
    await gateway.stop();
  } finally {
    await gateway.kill();
    await Promise.all([first.stop(), second.stop()]);
  }
});
