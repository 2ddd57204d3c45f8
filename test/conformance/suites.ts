/** The suites that `conformance` knows. A suite is a row here. */
import type { DataDirectory } from './data.ts';
import { RecordingUpstream } from './http1/recording-upstream.ts';
import { runHttp1 } from './http1/suite.ts';
import { runJwt } from './jwt/suite.ts';
import { gatewayVerifier } from './jwt/verifier.ts';
import type { CaseResult } from './result.ts';

export interface SuiteOptions {
  readonly data: DataDirectory;
  /** `host:port` of a proxy under test; absent: the project's own gateway is started. */
  readonly target?: string;
  /** Port that the proxy under test forwards to; 0 picks any. */
  readonly upstreamPort: number;
  readonly progress: (line: string) => void;
}

export interface Suite {
  readonly title: string;
  readonly run: (options: SuiteOptions) => Promise<CaseResult[]>;
}

export const SUITES: Readonly<Record<string, Suite>> = {
  jwt: {
    title: 'JWS vectors through authenticate’s own verification',
    run: ({ data, progress }) => runJwt(data, gatewayVerifier, progress),
  },
  http1: { title: 'HTTP/1.1 requests, well-formed and not, into a recording upstream', run: http1 },
};

async function http1({ data, target, upstreamPort, progress }: SuiteOptions): Promise<CaseResult[]> {
  const upstream = new RecordingUpstream();
  await upstream.listen(upstreamPort);
  try {
    if (target === undefined) throw new Error('--target is needed');
    const colon = target.lastIndexOf(':');
    return await runHttp1({
      data,
      target: { host: target.slice(0, colon), port: Number(target.slice(colon + 1)) },
      upstream,
      progress,
    });
  } finally {
    await upstream.close();
  }
}
