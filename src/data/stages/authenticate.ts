/** authenticate: who asks. A bearer token (RFC 6750 §2.1) of one of the route's issuers; verified ones come from the cache without a wait. */
import { present } from '../../base/assert.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { readClaims, readHeader } from '../authn/jws.ts';
import type { Authenticator } from '../authn/authenticator.ts';
import type { Issuer, TokenResult } from '../authn/issuer.ts';
import { Credential, type Exchange, type Identity } from '../exchange.ts';
import { type RefusalRow, REFUSALS } from '../refusal.ts';
import type { Stage } from '../stage.ts';
import { Verdict } from '../verdict.ts';

const SCHEME = 'bearer ';
/** `x.phase` once a verification was started. */
const VERIFYING = 1;

/** What a revision means to this stage. */
export interface AuthnRevision {
  readonly issuers: readonly Issuer[];
  /** Request headers made from claims by any issuer: a client's own copies never pass, on any route. */
  readonly claimHeaderNames: readonly string[];
}

/** Made once per activation. */
export function openAuthn(snapshot: Snapshot, authenticator: Authenticator): AuthnRevision {
  const names = new Set(snapshot.issuers.flatMap((i) => i.claimHeaders.filter((_, at) => at % 2 === 1)));
  return { issuers: authenticator.open(snapshot), claimHeaderNames: [...names] };
}

export class AuthenticateStage implements Stage {
  readonly #authenticator: Authenticator;

  constructor(authenticator: Authenticator) {
    this.#authenticator = authenticator;
  }

  enter(x: Exchange): Verdict {
    const { issuers, claimHeaderNames } = x.revision.authn;
    const route = x.route;
    if (x.phase === VERIFYING) return this.#verified(x);
    if (claimHeaderNames.length > 0) {
      for (const name of claimHeaderNames) {
        // To CGI, WSGI, Rack and PHP `X_User` is `X-User`. Refused rather than removed: the spellings of one name are more than the edits that a wire takes.
        if (x.wire.hasAlias(name))
          return x.refuse(REFUSALS.bad_header, `a field passes for ${name}, which only the gateway sets`);
        x.wire.removeUpstreamHeader(name);
      }
    }
    if (route === null || route.issuers.length === 0) return Verdict.Next;
    const header = x.wire.header('authorization');
    if (header === undefined) return refuse(x, REFUSALS.token_missing, 'no Authorization header', '');
    const identity = this.#authenticator.cached(header, issuers, route.issuers, x.now);
    if (identity !== null) return accept(x, identity);
    const token = bearer(header);
    if (token === null)
      return refuse(x, REFUSALS.token_malformed, 'Authorization is no bearer token', 'invalid_request');
    // The scheme is the same in any case (RFC 9110 §11.1); tokens are kept under one spelling.
    const spelled = `Bearer ${token}`;
    if (spelled === header) return this.#start(x, spelled, token);
    const known = this.#authenticator.cached(spelled, issuers, route.issuers, x.now);
    return known === null ? this.#start(x, spelled, token) : accept(x, known);
  }

  #start(x: Exchange, header: string, token: string): Verdict {
    const { issuers } = x.revision.authn;
    const allowed = present(x.route, 'route').issuers;
    const longest = allowed.reduce((most, i) => Math.max(most, issuers[i]?.plan.tokenBytesMax ?? 0), 0);
    if (token.length > longest)
      return refuse(x, REFUSALS.token_malformed, `the token has ${token.length} bytes`, 'invalid_token');
    const head = readHeader(token);
    const claims = head === null ? null : readClaims(token);
    if (head === null || claims === null)
      return refuse(x, REFUSALS.token_malformed, 'no well-formed JWT', 'invalid_token');
    const index = allowed.find((i) => issuers[i]?.plan.issuer === claims['iss']);
    const issuer = index === undefined ? undefined : issuers[index];
    if (issuer === undefined || index === undefined) {
      return refuse(x, REFUSALS.token_invalid, 'the issuer is not accepted on this route', 'invalid_token');
    }
    if (!this.#authenticator.verify(x, header, token, issuer, index)) {
      return x.refuse(REFUSALS.overloaded, 'too many signature checks at once');
    }
    x.phase = VERIFYING;
    return Verdict.Wait;
  }

  #verified(x: Exchange): Verdict {
    const result = x.delivered as TokenResult;
    x.delivered = null;
    switch (result.kind) {
      case 'identity':
        return accept(x, result.identity, Credential.VerifiedToken);
      case 'expired':
        return refuse(x, REFUSALS.token_expired, result.why, 'invalid_token');
      case 'keysUnavailable':
        return x.refuse(REFUSALS.keys_unavailable, result.why);
      case 'invalid':
        return refuse(x, REFUSALS.token_invalid, result.why, 'invalid_token');
    }
  }
}

/** The token of `Bearer <token>`, scheme in any case, or null. Never contains a space or comma, so that two joined fields are none. */
function bearer(header: string): string | null {
  if (header.length <= SCHEME.length || header.slice(0, SCHEME.length).toLowerCase() !== SCHEME) return null;
  const token = header.slice(SCHEME.length);
  return /^[A-Za-z0-9._~+/=-]+$/.test(token) ? token : null;
}

function accept(x: Exchange, identity: Identity, credential: Credential = Credential.CachedToken): Verdict {
  x.credential = credential;
  x.identity = identity;
  const headers = identity.headers;
  for (let i = 0; i + 1 < headers.length; i += 2) x.wire.setUpstreamHeader(headers[i] ?? '', headers[i + 1] ?? '');
  return Verdict.Next;
}

/** RFC 6750 §3: the challenge names an error only when a credential was sent. */
function refuse(x: Exchange, row: RefusalRow, detail: string, error: string): Verdict {
  x.wire.setAnswerHeader(
    'www-authenticate',
    error === '' ? 'Bearer realm="gateway"' : `Bearer realm="gateway", error="${error}"`,
  );
  return x.refuse(row, detail);
}
