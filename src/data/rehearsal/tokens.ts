/**
 * Tokens of a rehearsal: signed by keys made for it, which stand in the place of the issuers' own. So the same code verifies them that verifies those of clients, claims, times and
 * algorithms included, and nobody else's key is asked for.
 */
import { randomBytes } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import type { IssuerPlan } from '../../snapshot/snapshot.ts';

/** Life of a token that says nothing else. Unit: seconds. */
const LIFE_S = 300;
const SECRET_BYTES = 64;

type SigningKey = Parameters<SignJWT['sign']>[0];

interface Signer {
  readonly algorithm: string;
  readonly key: SigningKey;
  /** The issuer with the key that verifies. */
  readonly plan: IssuerPlan;
}

/** No key: what is signed by anybody is refused. */
const NO_KEYS = '{"keys":[]}';

export class RehearsedIssuers {
  readonly #signers: readonly (Signer | null)[];
  /** In the place of the snapshot's. */
  readonly plans: readonly IssuerPlan[];

  private constructor(signers: readonly (Signer | null)[], plans: readonly IssuerPlan[]) {
    this.#signers = signers;
    this.plans = plans;
  }

  /** Makes a key for each issuer that a test has tokens of; the others have none. */
  static async make(issuers: readonly IssuerPlan[], used: ReadonlySet<number>): Promise<RehearsedIssuers> {
    const pairs = new Map<string, Promise<{ readonly key: SigningKey; readonly jwk: object }>>();
    const signers = await Promise.all(
      issuers.map(async (plan, i): Promise<Signer | null> => {
        if (!used.has(i)) return null;
        // Keys of RSA take long to make.
        const algorithm = plan.algorithms.find((a) => !/^[RP]S/.test(a)) ?? plan.algorithms[0] ?? 'ES256';
        const pair = pairs.get(algorithm) ?? makeKey(algorithm);
        pairs.set(algorithm, pair);
        const { key, jwk } = await pair;
        return { algorithm, key, plan: { ...plan, jwksUrl: null, jwks: JSON.stringify({ keys: [jwk] }) } };
      }),
    );
    const plans = issuers.map((plan, i) => signers[i]?.plan ?? { ...plan, jwksUrl: null, jwks: NO_KEYS });
    return new RehearsedIssuers(signers, plans);
  }

  /** An Authorization field whose token says these claims. `nowMs`: epoch. */
  async bearer(issuer: number, claims: Readonly<Record<string, unknown>>, nowMs: number): Promise<string> {
    const signer = this.#signers[issuer];
    if (signer === undefined || signer === null) throw new Error(`no key was made for issuer ${issuer}`);
    const { plan, algorithm, key } = signer;
    const now = Math.floor(nowMs / 1000);
    const payload = { iss: plan.issuer, aud: plan.audiences.slice(0, 1), iat: now, exp: now + LIFE_S, ...claims };
    const token = await new SignJWT(payload).setProtectedHeader({ alg: algorithm, typ: 'JWT' }).sign(key);
    return `Bearer ${token}`;
  }
}

async function makeKey(algorithm: string): Promise<{ readonly key: SigningKey; readonly jwk: object }> {
  if (algorithm.startsWith('HS')) {
    const key = randomBytes(SECRET_BYTES);
    return { key, jwk: { kty: 'oct', k: key.toString('base64url') } };
  }
  const { privateKey, publicKey } = await generateKeyPair(algorithm);
  return { key: privateKey, jwk: await exportJWK(publicKey) };
}
