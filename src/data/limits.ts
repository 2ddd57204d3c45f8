/**
 * Rate limits as a lane takes them: what `admit` and `limit` have in common. All limits of a stage are taken in the process-wide table at once, all or
 * nothing, so a request that one of them refuses consumes nothing of the others. What `admit` took stays taken when a later stage refuses.
 *
 * Keys (`limits[].key` in config/limit.ts). A part that the request does not have (no such claim, no tenant, no TLS, no client certificate, a header that is absent or sent twice, also with underscores) is replaced by the client's address, told apart from
 * a value of the same text: whoever leaves the part out is limited by address and never unlimited, and does not share one bucket with
 * everybody else who leaves it out.
 *
 * Fields (draft-ietf-httpapi-ratelimit-headers): `RateLimit-Policy: "id";q=requests;w=seconds` and `RateLimit: "id";r=remaining;t=seconds` of the most
 * restrictive limit: the one that refuses longest, else the one with the least left. `Retry-After` (RFC 9110 §10.2.3) when refused. GCRA has
 * no windows, so `t` says when the bucket is as good as new. Limits in detect mode are counted, noted in the record, and not shown.
 */
import { assert } from '../base/assert.ts';
import { Recent } from '../base/recent.ts';
import {
  LIMIT_ALLOWED,
  LIMIT_BURST,
  LIMIT_COLUMNS,
  LIMIT_EMISSION_NS,
  LIMIT_ENFORCE,
  LIMIT_IDENTITY,
  LIMIT_KEY_HIGH,
  LIMIT_KEY_LOW,
  LIMIT_REMAINING,
  LIMIT_RESET_MS,
  LIMIT_RETRY_MS,
  LIMIT_ROWS,
  type LimitsAddon,
} from '../native/limits.ts';
import type { LimitKeyPart, LimitPlan, Snapshot } from '../snapshot/snapshot.ts';
import { onlyBelieved } from './answers/received.ts';
import { claimAt, claimText } from './authn/claims.ts';
import { countryOf } from './country.ts';
import type { Exchange } from './exchange.ts';
import { REFUSALS } from './refusal.ts';
import { readTenant } from './tenant.ts';
import { Verdict } from './verdict.ts';

const NS_PER_MS = 1e6;
const MS_PER_S = 1000;
/** Stands before the address where a part is missing; no value of one part can be two parts. */
const MISSING = '\u0000';
/** Longest value of a key part that is looked at, characters: what is longer counts as missing. */
export const KEY_PART_LENGTH_MAX = 1024;
/** Keys whose hash a lane remembers, per limit: spares handing their parts to the addon. */
export const KEYS_KNOWN_MAX = 8_192;
/** Longest key that is remembered, characters. */
const KNOWN_LENGTH_MAX = 128;

/** A key as the addon told it. */
interface KnownKey {
  readonly low: number;
  readonly high: number;
}

/** A limit with what is computed from it once. */
interface ReadyLimit {
  readonly plan: LimitPlan;
  readonly emissionNs: number;
  /** Value of the RateLimit-Policy field. */
  readonly policy: string;
  /** For the decision record. */
  readonly refused: string;
  readonly exceeded: string;
  /** Begin of the RateLimit field's value. */
  readonly shown: string;
  /** By the text of the key's parts. */
  readonly known: Recent<string, KnownKey>;
}

export class Limits {
  readonly #addon: LimitsAddon;
  /** This thread's block; see native/limits.ts. */
  readonly #block: Float64Array;
  /** By row: the key that is new and is to be remembered, or `''`. */
  readonly #news: string[] = [];
  #snapshot: Snapshot | null = null;
  #limits: readonly ReadyLimit[] = [];
  /** Kept as long as the snapshot itself. */
  readonly #ready = new WeakMap<Snapshot, readonly ReadyLimit[]>();

  constructor(addon: LimitsAddon) {
    this.#addon = addon;
    this.#block = addon.limitsBlock();
  }

  /** Takes the limits with these indices (at most LIMIT_ROWS) or refuses. Sets the answer's fields and what the record tells. */
  take(x: Exchange, indices: readonly number[]): Verdict {
    const count = indices.length;
    if (count === 0) return Verdict.Next;
    assert(count <= LIMIT_ROWS, 'the compiler lets through at most LIMIT_ROWS limits of one stage');
    const ready = this.#of(x.revision.snapshot);
    for (let row = 0; row < count; row++) this.#lay(x, row, ready[indices[row] as number] as ReadyLimit);
    const allowed = this.#addon.limitsTake(count, x.now);
    for (let row = 0; row < count; row++) {
      if (this.#news[row] !== '') this.#remember(row, ready[indices[row] as number] as ReadyLimit);
    }
    return allowed ? this.#admit(x, indices, ready) : this.#refuse(x, indices, ready);
  }

  #of(snapshot: Snapshot): readonly ReadyLimit[] {
    if (this.#snapshot === snapshot) return this.#limits;
    this.#snapshot = snapshot;
    this.#limits = this.#readied(snapshot);
    return this.#limits;
  }

  #readied(snapshot: Snapshot): readonly ReadyLimit[] {
    let ready = this.#ready.get(snapshot);
    if (ready === undefined) {
      ready = snapshot.limits.map(readyLimit);
      this.#ready.set(snapshot, ready);
    }
    return ready;
  }

  #lay(x: Exchange, row: number, limit: ReadyLimit): void {
    const { plan } = limit;
    const at = row * LIMIT_COLUMNS;
    this.#block[at + LIMIT_IDENTITY] = plan.identity;
    this.#block[at + LIMIT_EMISSION_NS] = limit.emissionNs;
    this.#block[at + LIMIT_BURST] = plan.burst;
    this.#block[at + LIMIT_ENFORCE] = plan.mode === 'enforce' ? 1 : 0;
    const text = keyOf(x, plan.key);
    const known = text === '' ? undefined : limit.known.get(text);
    this.#block[at + LIMIT_KEY_LOW] = known === undefined ? 0 : known.low;
    this.#block[at + LIMIT_KEY_HIGH] = known === undefined ? 0 : known.high;
    this.#news[row] = known === undefined ? text : '';
    if (known !== undefined) return;
    for (let i = 0; i < plan.key.length; i++) this.#part(x, row, plan.key[i] as LimitKeyPart);
  }

  #remember(row: number, limit: ReadyLimit): void {
    limit.known.set(this.#news[row] as string, {
      low: this.#number(row, LIMIT_KEY_LOW),
      high: this.#number(row, LIMIT_KEY_HIGH),
    });
  }

  #part(x: Exchange, row: number, part: LimitKeyPart): void {
    if (part.from === 'address') {
      this.#addon.limitsAddress(row, x.clientAddress);
      return;
    }
    const text = keyText(x, part);
    if (text.length > 0 && text.length <= KEY_PART_LENGTH_MAX) {
      this.#addon.limitsText(row, text);
      return;
    }
    this.#addon.limitsText(row, MISSING);
    this.#addon.limitsAddress(row, x.clientAddress);
  }

  #admit(x: Exchange, indices: readonly number[], ready: readonly ReadyLimit[]): Verdict {
    let least = -1;
    for (let row = 0; row < indices.length; row++) {
      const limit = ready[indices[row] as number] as ReadyLimit;
      if (limit.plan.mode === 'detect') {
        if (this.#number(row, LIMIT_ALLOWED) === 0 && x.detail === '') x.detail = limit.exceeded;
      } else if (least < 0 || this.#number(row, LIMIT_REMAINING) < this.#number(least, LIMIT_REMAINING)) least = row;
    }
    // A limit of an earlier stage that has less left stays shown.
    if (least >= 0 && (x.limit < 0 || this.#number(least, LIMIT_REMAINING) < x.limitRemaining)) {
      this.#show(x, indices[least] as number, ready, least);
    }
    return Verdict.Next;
  }

  #refuse(x: Exchange, indices: readonly number[], ready: readonly ReadyLimit[]): Verdict {
    let longest = -1;
    for (let row = 0; row < indices.length; row++) {
      const limit = ready[indices[row] as number] as ReadyLimit;
      if (limit.plan.mode === 'detect' || this.#number(row, LIMIT_ALLOWED) !== 0) continue;
      if (longest < 0 || this.#number(row, LIMIT_RETRY_MS) > this.#number(longest, LIMIT_RETRY_MS)) longest = row;
    }
    assert(longest >= 0, 'a limit that is enforced has refused');
    const index = indices[longest] as number;
    this.#show(x, index, ready, longest);
    x.wire.setAnswerHeader('retry-after', wholeSeconds(this.#number(longest, LIMIT_RETRY_MS), 1));
    return x.refuse(REFUSALS.rate_limited, (ready[index] as ReadyLimit).refused);
  }

  #show(x: Exchange, index: number, ready: readonly ReadyLimit[], row: number): void {
    const limit = ready[index] as ReadyLimit;
    x.limit = index;
    x.limitRemaining = this.#number(row, LIMIT_REMAINING);
    const reset = wholeSeconds(this.#number(row, LIMIT_RESET_MS), 0);
    x.wire.setAnswerHeader('ratelimit-policy', limit.policy);
    x.wire.setAnswerHeader('ratelimit', `${limit.shown}${x.limitRemaining};t=${reset}`);
  }

  #number(row: number, column: number): number {
    return this.#block[row * LIMIT_COLUMNS + column] as number;
  }
}

function readyLimit(plan: LimitPlan): ReadyLimit {
  // The field's window is in whole seconds: a shorter one is told as what a second grants.
  const windowMs = Math.max(plan.windowMs, MS_PER_S);
  const quota = Math.floor((plan.requests * windowMs) / plan.windowMs);
  const key = plan.key.map((part) => ('name' in part ? `${part.from}:${part.name}` : part.from)).join('+');
  return {
    plan,
    emissionNs: (plan.windowMs * NS_PER_MS) / plan.requests,
    policy: `"${plan.id}";q=${quota};w=${wholeSeconds(windowMs, 1)}`,
    refused: `limit ${plan.id} by ${key}`,
    exceeded: `limit ${plan.id} by ${key} is exceeded (detect only)`,
    shown: `"${plan.id}";r=`,
    known: new Recent(KEYS_KNOWN_MAX),
  };
}

/** The parts of a key as one text that no other parts have, or `''` when one is missing or they are too long to be remembered. */
function keyOf(x: Exchange, parts: readonly LimitKeyPart[]): string {
  if (parts.length === 1) {
    const only = keyText(x, parts[0] as LimitKeyPart);
    return only.length <= KNOWN_LENGTH_MAX ? only : '';
  }
  let all = '';
  for (let i = 0; i < parts.length; i++) {
    const text = keyText(x, parts[i] as LimitKeyPart);
    if (text === '') return '';
    all += `${text.length}:${text}`;
  }
  return all.length <= KNOWN_LENGTH_MAX ? all : '';
}

/** The value that is counted apart; `''` when the request has none. */
function keyText(x: Exchange, part: LimitKeyPart): string {
  switch (part.from) {
    case 'address':
      return x.clientAddress;
    case 'country':
      return countryOf(x.clientAddress);
    case 'tenant':
      return readTenant(x);
    case 'route':
      return x.route?.id ?? '';
    case 'host':
      return x.host;
    case 'ja4':
      return x.wire.tls?.ja4 ?? '';
    case 'certificate':
      return x.wire.tls?.client?.fingerprint ?? '';
    case 'claim':
      return x.identity === null ? '' : (claimText(claimAt(x.identity.claims, part.name)) ?? '');
    case 'header':
      return onlyBelieved(x, part.name);
  }
}

function wholeSeconds(ms: number, least: number): string {
  return String(Math.max(least, Math.ceil(ms / MS_PER_S)));
}
