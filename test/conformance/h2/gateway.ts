/** What the suite `h2` runs against: the project's own gateway with its native transport, or a proxy that is there. */
import { stopped } from '../afterwards.ts';
import { plainBundle } from '../../harness/bundle.ts';
import { testAuthority } from '../../harness/certs.ts';
import { TestGateway } from '../../harness/gateway.ts';
import { TestUpstream } from '../../harness/upstream.ts';
import type { CaseResult } from '../result.ts';
import type { H2Target } from './connection.ts';

/** Connections that the gateway may have to the upstream: enough that floods of requests which are nothing but many are not shed for want of them. */
const UPSTREAM_CONNECTIONS = 2_048;
/** What the upstream answers: longer than the windows that some cases shut to a few bytes. */
const ANSWER = 'an answer of some length, that windows of a few bytes cut in pieces';

/** Runs with the targets: the gateway's plain and its TLS listener, or the proxy at `place`, which must forward to `upstreamPort`. */
export async function withTargets(
  place: { readonly host: string; readonly port: number } | undefined,
  upstreamPort: number,
  run: (targets: readonly H2Target[]) => Promise<CaseResult[]>,
): Promise<CaseResult[]> {
  const upstream = await TestUpstream.start({ name: ANSWER, port: upstreamPort });
  try {
    if (place !== undefined) return await run([{ name: 'plain', ...place }]);
    return await withGateway(upstream, run);
  } finally {
    await upstream.stop();
  }
}

async function withGateway(
  upstream: TestUpstream,
  run: (targets: readonly H2Target[]) => Promise<CaseResult[]>,
): Promise<CaseResult[]> {
  const endpoint = { address: upstream.address, connectionsMax: UPSTREAM_CONNECTIONS, capacity: 100_000 };
  const gateway = await TestGateway.start({
    bundle: plainBundle([endpoint]),
    bootstrap: { transport: 'native' },
    listener: { http2: true },
  });
  try {
    const { pid, ports } = gateway;
    const results = await run([
      { name: 'plain', host: '127.0.0.1', port: ports.http, pid },
      {
        name: 'tls',
        host: '127.0.0.1',
        port: ports.https,
        pid,
        tls: { ca: testAuthority().certificate, servername: 'localhost' },
      },
    ]);
    return await stopped(gateway, results);
  } finally {
    await gateway.kill();
  }
}
