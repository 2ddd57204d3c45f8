/** The suites that `conformance` knows. A suite is a row here. */
import { plainBundle } from '../harness/bundle.ts';
import { TestGateway } from '../harness/gateway.ts';
import { stopped } from './afterwards.ts';
import { Origin } from './cache/origin.ts';
import { runCache } from './cache/suite.ts';
import { runCrs } from './crs/suite.ts';
import type { DataDirectory } from './data.ts';
import { withTargets } from './h2/gateway.ts';
import { runH2 } from './h2/suite.ts';
import type { Target } from './http1/observe.ts';
import { RecordingUpstream } from './http1/recording-upstream.ts';
import { runHttp1 } from './http1/suite.ts';
import { runJwt } from './jwt/suite.ts';
import { gatewayVerifier } from './jwt/verifier.ts';
import type { CaseResult } from './result.ts';
import { runPayloads } from './waf-payloads/suite.ts';

export interface SuiteOptions {
  readonly data: DataDirectory;
  /** `host:port` of a proxy under test; absent: the project's own gateway is started. */
  readonly target?: string;
  /** Port that the proxy under test forwards to; 0 picks any. */
  readonly upstreamPort: number;
  readonly progress: (line: string) => void;
  /** A line for the output: what was left out, and why. */
  readonly note: (line: string) => void;
  /** A field of the report beside those of the contract. */
  readonly extra: (name: string, value: unknown) => void;
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
  h2: { title: 'HTTP/2: h2spec, single frames, floods', run: h2 },
  cache: { title: 'HTTP caching (RFC 9111) through a gateway with an origin of the suite’s own', run: cache },
  crs: { title: 'the Core Rule Set’s own regression tests through the WAF engine', run: runCrs },
  'waf-payloads': {
    title: 'attack and benign payloads against the Core Rule Set, by paranoia level',
    run: runPayloads,
  },
};

async function h2({ data, target, upstreamPort, progress, note }: SuiteOptions): Promise<CaseResult[]> {
  const place = target === undefined ? undefined : addressOf(target);
  return withTargets(place, upstreamPort, (targets) => runH2({ data, targets, progress, note }));
}

/** Connections that the gateway may have to the upstream: few enough that losing one a bad request would soon show. */
const UPSTREAM_CONNECTIONS = 40;

async function http1({ data, target, upstreamPort, progress }: SuiteOptions): Promise<CaseResult[]> {
  const upstream = new RecordingUpstream();
  const port = await upstream.listen(upstreamPort);
  try {
    if (target !== undefined) return await runHttp1({ data, target: addressOf(target), upstream, progress });
    const endpoint = { address: `127.0.0.1:${port}`, connectionsMax: UPSTREAM_CONNECTIONS, capacity: 1_000 };
    const gateway = await TestGateway.start({ bundle: plainBundle([endpoint]) });
    try {
      const own = { host: '127.0.0.1', port: gateway.ports.http };
      const results = await runHttp1({ data, target: own, upstream, progress });
      return await stopped(gateway, results);
    } finally {
      await gateway.kill();
    }
  } finally {
    await upstream.close();
  }
}

/** Every test is a URL of its own; methods that the router has no code for are named. What a public cache leaves off by default is on. */
const CACHED_ROUTE = {
  id: 'all',
  match: {
    path: { prefix: '/' },
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'M-SEARCH'],
  },
  access: 'public',
  reason: 'everything, for a test',
  retries: 0,
  cache: { setCookie: 'store', requestDirectives: 'honour', staleIfErrorMs: 60_000 },
};

async function cache({ data, target, upstreamPort, progress, note, extra }: SuiteOptions): Promise<CaseResult[]> {
  const origin = new Origin();
  const port = await origin.listen(upstreamPort);
  try {
    if (target !== undefined) return await runCache({ data, target: addressOf(target), origin, progress, note, extra });
    const bundle = plainBundle([{ address: `127.0.0.1:${port}`, capacity: 1_000 }], {
      routes: { routes: [CACHED_ROUTE] },
      defaults: { securityHeaders: false },
    });
    const gateway = await TestGateway.start({ bundle });
    try {
      const own = { host: '127.0.0.1', port: gateway.ports.http };
      return await stopped(gateway, await runCache({ data, target: own, origin, progress, note, extra }));
    } finally {
      await gateway.kill();
    }
  } finally {
    await origin.close();
  }
}

function addressOf(target: string): Target {
  const match = /^(.+):([0-9]{1,5})$/.exec(target);
  if (match === null) throw new Error(`--target ${target}: host:port is expected`);
  return { host: match[1] ?? '', port: Number(match[2]) };
}
