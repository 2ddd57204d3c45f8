/**
 * normalize: what every later stage relies on. The message is refused when its framing or syntax is in doubt; then method, host, path and the client's
 * address are made canonical, once. No later stage decodes anything again.
 */
import type { ListenerPlan } from '../../snapshot/listener-plans.ts';
import type { AddressTrust } from '../../snapshot/snapshot.ts';
import { type Exchange, METHOD_OTHER, METHODS } from '../exchange.ts';
import { clientBehind, formatAddress, Networks, unmapped } from '../normalize/address.ts';
import { readHost } from '../normalize/host.ts';
import {
  type CanonicalPath,
  canonicalQuery,
  checkQuery,
  readPath,
  TARGET_FAULT_TEXT,
  TargetFault,
} from '../normalize/target.ts';
import { ASTERISK_STATUS, REFUSALS } from '../refusal.ts';
import type { Stage } from '../stage.ts';
import { Verdict } from '../verdict.ts';

/** Header fields of one request. */
export const FIELDS_MAX = 96;
/** Names and values of all fields together, bytes. */
export const FIELD_BYTES_MAX = 32 * 1024;
/** Texts of peer addresses that a lane keeps ready. */
export const PEER_TEXTS_MAX = 4_096;

const METHOD_CODES: ReadonlyMap<string, number> = new Map(METHODS.map((method, code) => [method, code]));
const CONNECT = METHODS.indexOf('CONNECT');
const TRACE = METHODS.indexOf('TRACE');
const OPTIONS = METHODS.indexOf('OPTIONS');
/** Methods that some route may take (RFC 9110 §10.2.1). */
const ALLOW = METHODS.filter((_, code) => code !== CONNECT && code !== TRACE).join(', ');
/** Further methods that a route may name: registered ones are upper-case words (RFC 9110 §16.1). `get` is not GET to us, but may be to an upstream. */
const OTHER_METHOD = /^[A-Z][A-Z-]{1,31}$/;
/**
 * Content-Type with one reading: nothing but parameters follows the media type. Some parsers end it at a comma or space, so that `a/b, c` is `a/b` to them and
 * nothing to a rule.
 */
const CONTENT_TYPE = /^[^;,\t ]*[\t ]*(?:;|$)/;
/** Max-Forwards (RFC 9110 §7.6.2), as far as a double counts; nobody has more hops. */
const MAX_FORWARDS = /^[0-9]{1,15}$/;
/** A client's own request id that is worth keeping. */
const REQUEST_ID = /^[A-Za-z0-9._~:+/=-]{1,128}$/;

/** Networks compiled for a listener, and for which snapshot's trust. */
interface Trusted {
  readonly trust: AddressTrust;
  readonly networks: Networks;
}

export class Normalize implements Stage {
  readonly #path: CanonicalPath = { path: '', encoded: '' };
  readonly #trusted = new WeakMap<ListenerPlan, Trusted>();
  readonly #peerTexts = new Map<number, string>();
  /** The authority that was read last, and what it means. Empty ones are refused, so none is taken for it. */
  #lastAuthority = '';
  #lastHost = '';

  enter(x: Exchange): Verdict {
    const { wire } = x;
    // Whoever reads the record of a refused request wants to know where it came from.
    this.#client(x);
    const fault = wire.fault;
    if (fault !== null) return x.refuse(fault, 'seen by the transport');

    const { method } = wire;
    const code = METHOD_CODES.get(method);
    if (code === undefined) {
      if (!OTHER_METHOD.test(method)) return x.refuse(REFUSALS.method_not_implemented, 'no method that we know of');
      x.methodCode = METHOD_OTHER;
    } else {
      x.methodCode = code;
      if (code === CONNECT) return x.refuse(REFUSALS.method_not_implemented, 'CONNECT');
      // It would show a client what stands between it and the upstream, credentials that we added included.
      if (code === TRACE) {
        // RFC 9110 §15.5.6: the answer must say what is allowed.
        wire.setAnswerHeader('allow', ALLOW);
        return x.refuse(REFUSALS.method_not_allowed, 'TRACE');
      }
    }

    if (wire.headerCount > FIELDS_MAX)
      return x.refuse(REFUSALS.head_too_large, `more than ${FIELDS_MAX} header fields`);
    if (wire.fieldBytes > FIELD_BYTES_MAX)
      return x.refuse(REFUSALS.head_too_large, `more than ${FIELD_BYTES_MAX} bytes of fields`);
    // Of two, one would be inspected or verified here and the other believed upstream.
    if (wire.repeats('authorization')) return x.refuse(REFUSALS.bad_header, 'Authorization stands there twice');
    if (wire.repeats('content-type')) return x.refuse(REFUSALS.bad_header, 'Content-Type stands there twice');
    const type = wire.header('content-type');
    if (type !== undefined && !CONTENT_TYPE.test(type)) return x.refuse(REFUSALS.bad_header, 'malformed Content-Type');

    // Most requests of a lane name the host of the one before.
    if (wire.host !== this.#lastAuthority || wire.host === '') {
      const host = readHost(wire.host);
      if (host === null) return x.refuse(REFUSALS.bad_host, 'malformed');
      this.#lastAuthority = wire.host;
      this.#lastHost = host;
    }
    x.host = this.#lastHost;

    if (x.methodCode === OPTIONS) {
      const forwards = wire.header('max-forwards');
      if (forwards !== undefined && (!MAX_FORWARDS.test(forwards) || wire.repeats('max-forwards')))
        return x.refuse(REFUSALS.bad_header, 'malformed Max-Forwards');
      // At 0 an intermediary must answer by itself (RFC 9110 §7.6.2).
      if (wire.path === '*' || Number(forwards) === 0) {
        wire.setAnswerHeader('allow', ALLOW);
        wire.answer(ASTERISK_STATUS, '', '');
        return Verdict.Handed;
      }
    }

    const path = this.#path;
    const found = readPath(wire.path, path) || checkQuery(wire.query);
    if (found !== TargetFault.None) {
      return x.refuse(
        found === TargetFault.TooLong ? REFUSALS.target_too_long : REFUSALS.bad_target,
        TARGET_FAULT_TEXT[found],
      );
    }
    x.path = path.path;
    x.encodedPath = path.encoded;
    x.query = canonicalQuery(wire.query);

    const id = wire.header('x-request-id');
    if (id !== undefined && REQUEST_ID.test(id)) x.clientRequestId = id;
    return Verdict.Next;
  }

  #client(x: Exchange): void {
    const { wire } = x;
    const trusted = this.#networks(wire.listener, x.revision.snapshot.trust);
    x.secure = wire.secure;
    if (trusted.size > 0 && wire.header('x-forwarded-for') !== undefined) {
      x.clientAddress = formatAddress(clientBehind(wire.peerAddress, forwardedLists(x), trusted));
      // Another address than the peer's was found, so the peer is a trusted proxy: its word on the scheme counts.
      if (x.clientAddress !== formatAddress(unmapped(wire.peerAddress))) {
        // A proxy that adds its own behind the client's says nothing that can be believed: the first would be the client's.
        const said = wire.repeats('x-forwarded-proto') ? undefined : wire.header('x-forwarded-proto');
        if (said === 'https' || said === 'http') x.secure = said === 'https';
      }
    } else x.clientAddress = this.#peerText(wire.peerAddress);
  }

  /** Proxies that the listener or the bundle trusts. */
  #networks(listener: ListenerPlan, trust: AddressTrust): Networks {
    const known = this.#trusted.get(listener);
    if (known !== undefined && known.trust === trust) return known.networks;
    const networks = new Networks([...listener.forwardedFrom, ...trust.forwardedFrom]);
    this.#trusted.set(listener, { trust, networks });
    return networks;
  }

  #peerText(bytes: Uint8Array): string {
    const peer = unmapped(bytes);
    if (peer.length !== 4) return formatAddress(peer);
    const key = (((peer[0] ?? 0) << 24) | ((peer[1] ?? 0) << 16) | ((peer[2] ?? 0) << 8) | (peer[3] ?? 0)) >>> 0;
    const known = this.#peerTexts.get(key);
    if (known !== undefined) return known;
    const text = formatAddress(peer);
    if (this.#peerTexts.size >= PEER_TEXTS_MAX) this.#peerTexts.clear();
    this.#peerTexts.set(key, text);
    return text;
  }
}

function forwardedLists(x: Exchange): string[] {
  const lists: string[] = [];
  for (let i = 0; i < x.wire.headerCount; i++) {
    if (x.wire.headerName(i) === 'x-forwarded-for') lists.push(x.wire.headerValue(i));
  }
  return lists;
}
