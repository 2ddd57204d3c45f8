/** The suite `jwt`: signature vectors of two collections, each through authenticate's own door with the algorithms that an operator would pin. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { JWK } from 'jose';
import type { DataDirectory } from '../data.ts';
import type { CaseResult } from '../result.ts';
import { EXCEPTIONS, type Vector } from './exceptions.ts';
import type { KeySet, Verifier } from './verifier.ts';

const WYCHEPROOF = 'jwt-wycheproof';
const COOKBOOK = 'jwt-ietf-jose-cookbook';
/** Encrypted tokens (JWE) are not accepted by the gateway at all: json_web_encryption and the JWE groups of the others are no part of this suite. */
const WYCHEPROOF_FILES = ['json_web_signature_test', 'json_web_key_test', 'json_web_crypto_test'];
const COOKBOOK_FOLDERS = ['jws', 'curve25519', 'rfc7797'];

export async function runJwt(
  data: DataDirectory,
  verify: Verifier,
  progress: (line: string) => void,
): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  for (const [set, vectors] of [
    [WYCHEPROOF, wycheproof(data)],
    [COOKBOOK, cookbook(data)],
  ] as const) {
    if (vectors.length > 0) progress(`${set}: ${vectors.length} vectors`);
    for (const vector of vectors) results.push(await judgeVector(set, vector, verify));
  }
  return results;
}

export async function judgeVector(set: string, vector: Vector, verify: Verifier): Promise<CaseResult> {
  const answer = await verify(vector.keys, pinnedFor(vector.keys), vector.jws);
  const exception = EXCEPTIONS.find((row) => row.of === vector.verdict && row.applies(vector));
  const wanted = exception?.wanted ?? (vector.verdict === 'acceptable' ? 'either' : vector.verdict);
  const mark =
    wanted === 'either'
      ? answer.verdict === vector.verdict
        ? 'pass'
        : 'warn'
      : answer.verdict === wanted
        ? 'pass'
        : 'fail';
  return {
    id: `${set}/${vector.id}`,
    set,
    mark,
    stall: false,
    expected: exception === undefined ? vector.verdict : `${wanted} (${exception.class}: ${exception.reason})`,
    got: answer.why === '' ? answer.verdict : `${answer.verdict}: ${answer.why}`,
    outcome: answer.verdict,
  };
}

/** Key type (and curve) → the algorithm that an operator pins when the key itself names none that exists. */
const ALGORITHM_OF: Readonly<Record<string, string>> = {
  'EC P-256': 'ES256',
  'EC P-384': 'ES384',
  'EC P-521': 'ES512',
  'OKP Ed25519': 'EdDSA',
  RSA: 'RS256',
  oct: 'HS256',
};
const PINNABLE = /^(?:HS|RS|PS|ES)(?:256|384|512)$|^EdDSA$|^Ed25519$/;

/** The algorithms pinned for a key set: what its keys declare, else what their type is for. Never what a token says. */
export function pinnedFor({ keys }: KeySet): string[] {
  const algorithms = keys.map((key) => {
    if (key.alg !== undefined && PINNABLE.test(key.alg)) return key.alg;
    return (
      ALGORITHM_OF[`${key.kty ?? ''}${key.crv === undefined ? '' : ` ${key.crv}`}`] ??
      ALGORITHM_OF[key.kty ?? ''] ??
      'RS256'
    );
  });
  return [...new Set(algorithms)];
}

interface Group {
  readonly public?: JWK | { readonly keys: readonly JWK[] };
  readonly private?: JWK | { readonly keys: readonly JWK[] };
  readonly tests: readonly {
    readonly tcId: number;
    readonly comment?: string;
    readonly jws?: unknown;
    readonly result: Vector['verdict'];
  }[];
}

function wycheproof(data: DataDirectory): Vector[] {
  const vectors: Vector[] = [];
  for (const file of WYCHEPROOF_FILES) {
    const value = data.json(WYCHEPROOF, `${file}.json`) as { readonly testGroups?: readonly Group[] } | undefined;
    for (const group of value?.testGroups ?? []) {
      const keys = keySet(group.public ?? group.private);
      for (const { tcId, comment = '', jws, result } of group.tests) {
        if (jws === undefined) continue;
        vectors.push({
          id: `${file}/${tcId}`,
          jws: typeof jws === 'string' ? jws : JSON.stringify(jws),
          keys,
          verdict: result,
          comment,
        });
      }
    }
  }
  return vectors;
}

function keySet(key: Group['public']): KeySet {
  if (key === undefined) return { keys: [] };
  return 'keys' in key && Array.isArray(key.keys) ? { keys: key.keys as JWK[] } : { keys: [key as JWK] };
}

interface CookbookFile {
  readonly input: {
    readonly key?: JWK | readonly JWK[];
    readonly alg?: string | readonly string[];
    readonly enc?: string;
  };
  readonly output?: Readonly<Record<string, unknown>>;
}

function cookbook(data: DataDirectory): Vector[] {
  const vectors: Vector[] = [];
  for (const folder of COOKBOOK_FOLDERS) {
    for (const file of filesOf(data, folder)) {
      const { input, output } = data.json(COOKBOOK, join(folder, file)) as CookbookFile;
      if (output === undefined || input.enc !== undefined || input.key === undefined) continue;
      const algorithms = [input.alg ?? []].flat();
      const keys = [input.key].flat().map((key, n) => publicOf(key, algorithms[n]));
      for (const [form, value] of Object.entries(output)) {
        const jws = typeof value === 'string' ? value : JSON.stringify(value);
        vectors.push({
          id: `${folder}/${file.replace(/\.json$/, '')}/${form}`,
          jws,
          keys: { keys },
          verdict: 'valid',
          comment: '',
        });
      }
    }
  }
  return vectors;
}

/** The cookbook gives private keys; an operator has the public part, and pins the algorithm that the example names. */
function publicOf(key: JWK, algorithm: string | undefined): JWK {
  const { d: _d, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, ...rest } = key;
  return algorithm === undefined || rest.alg !== undefined ? rest : { ...rest, alg: algorithm };
}

function filesOf(data: DataDirectory, folder: string): string[] {
  const path = join(data.path, COOKBOOK, folder);
  try {
    return readdirSync(path)
      .filter((file) => file.endsWith('.json'))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    data.missing.push({ set: `${COOKBOOK}/${folder}`, path });
    return [];
  }
}
