/**
 * forward: says to the upstream who asked and how, and hands the exchange to the transport. Fields that end at each hop (RFC 9110 §7.6.1) and `Via` are the
 * transport's matter; what is written here replaces what the client sent, so that an upstream can believe it:
 *
 * What else a client may claim by fields of these kinds never passes the transport (`CLIENT_CLAIMS`).
 *
 * - `X-Forwarded-For`, `-Proto`, `-Host` and `Forwarded` (RFC 7239): the client, and the trusted proxy before us if there is one. What a
 *   client claims further left is not passed on.
 * - `X-Request-Id` is ours, also in the answer; the client's own goes on as `X-Client-Request-Id`.
 * - `X-Forwarded-Client-Cert`: the verified client certificate, on routes that ask for it; a client's own never passes.
 * - `Max-Forwards` of OPTIONS: one less (RFC 9110 §7.6.2).
 * - `traceparent` (W3C Trace Context): a valid one passes; otherwise a new trace begins, whose id holds the request id.
 */
import { present } from '../../base/assert.ts';
import { Recent } from '../../base/recent.ts';
import type { HeaderEdits } from '../../snapshot/route-plans.ts';
import { type Exchange, METHODS } from '../exchange.ts';
import { formatAddress } from '../normalize/address.ts';
import { REFUSALS } from '../refusal.ts';
import type { Stage } from '../stage.ts';
import { beginTrace, isTraceparent } from '../trace-context.ts';
import type { Wire } from '../transport/transport.ts';
import { setDeadlines } from '../upstream/deadlines.ts';
import { hedgeAfterMs } from '../upstream/hedging.ts';
import { looksAtAnswers } from '../upstream/retries.ts';
import { Verdict } from '../verdict.ts';
import { CLIENT_CERT_FIELD, clientCertificateField } from './client-certificate.ts';

const OPTIONS = METHODS.indexOf('OPTIONS');

export class Forward implements Stage {
  enter(x: Exchange): Verdict {
    const route = present(x.route, 'route');
    const { wire, plan } = x;
    if (wire.websocket && !route.websocket) {
      return x.refuse(REFUSALS.upgrade_not_allowed, 'the route relays no WebSockets');
    }
    // As in respond: the wire keeps its edits from one attempt to the next.
    if (x.attempts <= 1) {
      describe(x, wire);
      if (route.forwardClientCertificate) describeCertificate(wire);
    }
    // Whichever stage made it: without it the client's own word would pass for ours.
    if (wire.requestEditsLost)
      return x.refuse(
        REFUSALS.head_too_large,
        'what the gateway says of the request finds no room beside what it is made of',
      );
    const limits = route.forward;
    plan.endpoint = present(x.endpoint, 'endpoint');
    setDeadlines(x, limits, plan);
    plan.bodyBytesMax = limits.bodyBytesMax;
    plan.showAnswer =
      x.mirror !== null ||
      x.kept !== null ||
      x.caching !== null ||
      route.respond.showAnswer ||
      looksAtAnswers(x, limits);
    // Rules have seen head and body: what follows them would pass unseen.
    plan.trailers = route.waf.mode !== 'block';
    plan.hedgeAfterMs = limits.hedge === undefined ? 0 : hedgeAfterMs(x, limits.hedge);
    x.mirror?.forwarded(x);
    wire.forward(plan);
    return Verdict.Handed;
  }

  hedge(x: Exchange): Verdict {
    const { wire, plan } = x;
    if (wire.hedge === undefined || wire.requestEditsLost) return Verdict.Refuse;
    plan.endpoint = present(x.endpoint, 'endpoint');
    setDeadlines(x, present(x.route, 'route').forward, plan);
    wire.hedge(plan);
    return Verdict.Handed;
  }
}

/** Clients whose fields are kept ready, each for one host and scheme. */
export const DESCRIBED_MAX = 4_096;

/** Fields that say who asked. */
interface Described {
  readonly host: string;
  readonly secure: boolean;
  readonly peer: string;
  readonly edits: HeaderEdits;
}
const described = new Recent<string, Described>(DESCRIBED_MAX);

/** The fields that say who asked: the same for the next request of a client to the same host. */
function whoAsked(x: Exchange, wire: Wire): HeaderEdits {
  const client = x.clientAddress;
  const { host } = wire;
  // normalize took the client's address from X-Forwarded-For only if it trusts the peer; then that is a proxy on the way.
  const behind = wire.header('x-forwarded-for') !== undefined;
  const peer = behind ? formatAddress(wire.peerAddress) : client;
  const known = described.get(client);
  if (known !== undefined && known.host === host && known.secure === x.secure && known.peer === peer)
    return known.edits;
  const proto = x.secure ? 'https' : 'http';
  const list = peer === client ? client : `${client}, ${peer}`;
  const hops = peer === client ? forwardedNode(client) : `${forwardedNode(client)}, ${forwardedNode(peer)}`;
  const edits = {
    remove: [],
    add: [],
    set: [
      'x-forwarded-for',
      list,
      'x-forwarded-proto',
      proto,
      'x-forwarded-host',
      host,
      'forwarded',
      // A host that normalize let pass holds no quote or backslash.
      `${hops};host="${host}";proto=${proto}`,
    ],
  };
  described.set(client, { host, secure: x.secure, peer, edits });
  return edits;
}

function describe(x: Exchange, wire: Wire): void {
  wire.editRequest(whoAsked(x, wire));
  if (x.clientRequestId !== '') wire.setUpstreamHeader('x-client-request-id', x.clientRequestId);
  if (x.methodCode === OPTIONS) countHop(wire);
  const trace = wire.header('traceparent');
  // Of two, one would be followed here and the other upstream (W3C Trace Context §3.2: then there is none).
  const traced = trace !== undefined && isTraceparent(trace) && !wire.repeats('traceparent');
  wire.identify(x.id, x.seq, traced ? null : beginTrace(x.random));
  if (!traced && wire.header('tracestate') !== undefined) wire.removeUpstreamHeader('tracestate');
}

/** RFC 9110 §7.6.2; normalize has let pass nothing but numbers above 0. */
function countHop(wire: Wire): void {
  const forwards = wire.header('max-forwards');
  if (forwards !== undefined) wire.setUpstreamHeader('max-forwards', String(Number(forwards) - 1));
}

function describeCertificate(wire: Wire): void {
  const client = wire.tls?.client ?? null;
  if (client !== null) wire.setUpstreamHeader(CLIENT_CERT_FIELD, clientCertificateField(client));
}

/** RFC 7239 §6: an IPv6 address stands in brackets and quotes. */
function forwardedNode(address: string): string {
  return address.includes(':') ? `for="[${address}]"` : `for=${address}`;
}
