/**
 * The full chain (TLS, WAF with the demo's rules, JWT from the cache, limits, policy, tenant, cell) beside our own plain TLS proxying in the same run: what deciding
 * costs, in CPU time per request, whatever the transport costs.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { parse } from 'yaml';
import { type BundleParts, plainBundle } from '../test/harness/bundle.ts';
import { startGateway } from './lib/gateway.ts';
import { upstream } from './lib/peers.ts';
import { figures, interleaved, type Target } from './lib/rounds.ts';
import { CONNECTIONS, checkAnswer } from './plain.ts';
import type { Bench } from './lib/bench.ts';

const DEMO = join(import.meta.dirname, '../config/demo');
const ISSUER = 'https://issuer.bench.example';
/** A limit that never refuses at bench rates but is counted for every request. */
const MANY = 100_000_000;

function demoFiles(folder: string): Record<string, Uint8Array> {
  return Object.fromEntries(
    readdirSync(join(DEMO, folder)).map((name) => [`${folder}/${name}`, readFileSync(join(DEMO, folder, name))]),
  );
}

/** The demo's rules and policy on one route, with an inline key. */
export async function chainBundle(port: number): Promise<{ readonly bundle: BundleParts; readonly token: string }> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: 'bench', alg: 'ES256' };
  const token = await new SignJWT({ roles: ['reader'], tenant: 'acme' })
    .setProtectedHeader({ alg: 'ES256', kid: 'bench' })
    .setIssuer(ISSUER)
    .setAudience('bench')
    .setSubject('rita')
    .setExpirationTime('1h')
    .sign(privateKey);
  const bundle: BundleParts = {
    routes: {
      routes: [
        {
          id: 'orders',
          match: { path: { prefix: '/api' } },
          issuers: ['bench'],
          policy: { name: 'authz' },
          limits: ['address', 'tenant'],
          tenant: { claim: 'tenant' },
        },
      ],
    },
    cells: { cells: [{ id: 'one', endpoints: [{ address: `127.0.0.1:${port}` }] }] },
    issuers: {
      issuers: [
        {
          id: 'bench',
          issuer: ISSUER,
          audiences: ['bench'],
          algorithms: ['ES256'],
          jwks: { keys: [jwk] },
          claimHeaders: { tenant: 'x-tenant' },
        },
      ],
    },
    limits: {
      limits: [
        { id: 'address', key: ['address'], requests: MANY, windowMs: 1000 },
        { id: 'tenant', key: ['tenant'], requests: MANY, windowMs: 1000 },
      ],
    },
    policies: {
      policies: [
        {
          name: 'authz',
          source: 'policies/authz.rego',
          data: 'policies/authz-data.json',
          entrypoints: ['authz/decision', 'authz/allow'],
          input: ['method', 'path', 'tenant', 'user.roles', 'user.claims.tenant'],
          pure: true,
        },
      ],
    },
    waf: parse(readFileSync(join(DEMO, 'waf.yaml'), 'utf8')) as object,
    files: { ...demoFiles('waf'), ...demoFiles('policies') },
  };
  return { bundle, token };
}

export const chain: Bench = async (options) => {
  const up = await upstream();
  const { bundle, token } = await chainBundle(up.port);
  const proxy = await startGateway(plainBundle([`127.0.0.1:${up.port}`]));
  const full = await startGateway(bundle);
  const headers = { authorization: `Bearer ${token}`, 'user-agent': 'bench', accept: '*/*' };
  const url = (port: number): string => `https://127.0.0.1:${port}/api/orders?page=2&sort=date`;
  const targets: Target[] = [
    { name: 'chain', pid: full.pid, load: { url: url(full.httpsPort), connections: CONNECTIONS, headers } },
    { name: 'own-tls', pid: proxy.pid, load: { url: url(proxy.httpsPort), connections: CONNECTIONS, headers } },
  ];
  try {
    const measured = await interleaved(targets, options, (t) => checkAnswer(t.load.url, headers));
    const added = (measured.get('chain')?.cpuUs ?? Number.NaN) - (measured.get('own-tls')?.cpuUs ?? Number.NaN);
    return [
      ...figures(measured, 'chain', options.rounds),
      { metric: 'cpu_added_per_request', unit: 'µs', ours: added, rounds: options.rounds },
    ];
  } finally {
    for (const s of [full, proxy, up]) await s.stop();
  }
};
