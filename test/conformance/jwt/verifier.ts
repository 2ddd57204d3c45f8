/**
 * The door to authenticate that the vectors go through: keys and pinned algorithms as an operator would configure them, and a token. What is behind
 * it is the gateway's own code: the check of an issuer's configuration, the import of keys, the verification that every request's token meets.
 */
import type { JWK } from 'jose';
import { readBundle } from '../../../src/config/bundle.ts';
import { Document } from '../../../src/config/document.ts';
import { importKeys, verifySignature } from '../../../src/data/authn/keys.ts';

export interface KeySet {
  readonly keys: readonly JWK[];
}

export interface VerifierAnswer {
  readonly verdict: 'valid' | 'invalid';
  /** Why it is invalid. */
  readonly why: string;
}

export type Verifier = (keys: KeySet, algorithms: readonly string[], token: string) => Promise<VerifierAnswer>;

export const gatewayVerifier: Verifier = async (keys, algorithms, token) => {
  const problem = issuerProblem(keys, algorithms);
  if (problem !== undefined) return { verdict: 'invalid', why: `not configurable: ${problem}` };
  const imported = await importKeys(keys, algorithms);
  if (imported.keys.length === 0) return { verdict: 'invalid', why: imported.rejected.join('; ') };
  const result = await verifySignature(token, imported.keys, algorithms);
  if (result.kind === 'valid') return { verdict: 'valid', why: '' };
  return { verdict: 'invalid', why: result.kind === 'invalid' ? result.why : `the key id ${result.kid} is not known` };
};

const ROUTES = {
  routes: [{ id: 'all', match: { path: { prefix: '/' } }, access: 'public', reason: 'vectors of tokens' }],
};
const CELLS = { cells: [{ id: 'one', endpoints: [{ address: '127.0.0.1:80' }] }] };

/** What the check of the configuration has against an issuer with these keys and algorithms; undefined when nothing. */
function issuerProblem(keys: KeySet, algorithms: readonly string[]): string | undefined {
  const secret = algorithms.some((algorithm) => algorithm.startsWith('HS'));
  const issuer = {
    id: 'vectors',
    issuer: 'https://issuer.test',
    audiences: ['vectors'],
    algorithms,
    ...(secret ? { hmacSecret: 'vectors' } : { jwks: keys }),
  };
  const documents = new Map([
    ['routes', new Document('routes.json', JSON.stringify(ROUTES))],
    ['cells', new Document('cells.json', JSON.stringify(CELLS))],
    ['issuers', new Document('issuers.json', JSON.stringify({ issuers: [issuer] }))],
  ] as const);
  const result = readBundle(documents);
  if (result.ok) return undefined;
  const foreign = result.problems.find((problem) => problem.file !== 'issuers.json');
  if (foreign !== undefined)
    throw new Error(`the frame of the vectors is no bundle: ${foreign.file}${foreign.path}: ${foreign.message}`);
  return result.problems[0]?.message;
}
