/** Our gateway as the bench measures it: a process from the sources, one lane unless said, pinned to the proxy's core, logs off. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  buildBundle,
  type BundleParts,
  CHANNEL,
  makeKey,
  type SigningKey,
  writeBundle,
} from '../../test/harness/bundle.ts';
import { testAuthority } from '../../test/harness/certs.ts';
import { freePorts } from '../../test/harness/ports.ts';
import { BINARY, binaryIsFresh, buildBinary } from '../../scripts/build.ts';
import { present } from '../../src/base/assert.ts';
import { type Digest, parseDigest } from '../../src/control/oci/digest.ts';
import { OciLayout } from '../../src/control/oci/layout.ts';
import { copyBundle } from '../../src/control/oci/publish.ts';
import type { Server } from './peers.ts';
import { ended, pinned, PROXY_CORE, sleep } from './process.ts';

const MAIN = resolve(import.meta.dirname, '../../src/main.ts');
const READY_TRIES = 600;

export interface BenchGateway extends Server {
  readonly httpsPort: number;
  readonly probePort: number;
  readonly key: SigningKey;
  /** The OCI layout that it follows. */
  readonly layout: string;
  /** Builds and signs another bundle where the gateway does not look, so that it can be done before a load. Its digest. */
  build(parts: BundleParts): Promise<Digest>;
  /** Publishes it where the gateway looks. */
  publish(digest: Digest): Promise<void>;
  /** Text of /metrics. */
  metrics(): Promise<string>;
}

export interface BenchGatewayOptions {
  readonly lanes?: number;
  /** Null: not pinned. */
  readonly core?: number | null;
  /** `rollout` of the bootstrap. */
  readonly rollout?: object;
  /** The single binary, as it is deployed, rather than the sources: running from them costs memory for stripping types in every thread. */
  readonly binary?: boolean;
}

export async function startGateway(bundle: BundleParts, options: BenchGatewayOptions = {}): Promise<BenchGateway> {
  const dir = mkdtempSync(join(tmpdir(), 'cnx-bench-'));
  const key = await makeKey(join(dir, 'keys'));
  const [http = 0, https = 0, probes = 0, admin = 0] = await freePorts(4);
  const leaf = testAuthority().leaf();
  writeFileSync(join(dir, 'trust.yaml'), JSON.stringify(key.trust));
  writeFileSync(
    join(dir, 'gateway.yaml'),
    JSON.stringify({
      listeners: [
        { id: 'plain', address: '127.0.0.1', port: http },
        {
          id: 'tls',
          address: '127.0.0.1',
          port: https,
          tls: { certificateFile: leaf.certificateFile, keyFile: leaf.keyFile, minVersion: '1.3' },
        },
      ],
      bundle: { source: `oci:bundles:${CHANNEL}`, pollMs: 5_000 },
      trustFile: 'trust.yaml',
      stateDir: 'state',
      probes: { address: '127.0.0.1', port: probes },
      admin: { address: '127.0.0.1', port: admin },
      lanes: options.lanes ?? 1,
      drainDelayMs: 0,
      accessLog: 'off',
      ...(options.rollout === undefined ? {} : { rollout: options.rollout }),
    }),
  );
  const layout = await OciLayout.create(join(dir, 'bundles'));
  const build = async (parts: BundleParts): Promise<Digest> => {
    writeBundle(join(dir, 'source'), parts);
    return present(parseDigest(await buildBundle(join(dir, 'source'), join(dir, 'built'), key.keyFile)), 'digest');
  };
  const publish = async (digest: Digest): Promise<void> => {
    await copyBundle(OciLayout.at(join(dir, 'built')), layout, digest, CHANNEL);
  };
  await publish(await build(bundle));
  const core = options.core === undefined ? PROXY_CORE : options.core;
  const program =
    options.binary === true
      ? [binaryIsFresh() ? BINARY : await buildBinary()]
      : [process.execPath, '--disable-warning=ExperimentalWarning', MAIN];
  const child = pinned(core, [...program, 'run', '--config', join(dir, 'gateway.yaml')]);
  for (let i = 0; ; i++) {
    if (child.exitCode !== null || i >= READY_TRIES) throw new Error('the gateway did not become ready');
    const ready = await fetch(`http://127.0.0.1:${probes}/readyz`).then(
      (r) => r.ok,
      () => false,
    );
    if (ready) break;
    await sleep(50);
  }
  return {
    name: 'cloudnexus',
    port: http,
    httpsPort: https,
    probePort: probes,
    pid: child.pid ?? 0,
    key,
    layout: join(dir, 'bundles'),
    build,
    publish,
    metrics: async () => (await fetch(`http://127.0.0.1:${probes}/metrics`)).text(),
    stop: async () => {
      await ended(child);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
