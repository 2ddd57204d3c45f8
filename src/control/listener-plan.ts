/** A listener of the bootstrap as lanes open it. */
import type { ListenerConfig } from '../config/bootstrap.ts';
import type { ListenerPlan, ListenerTls } from '../snapshot/listener-plans.ts';

export function listenerPlan(l: ListenerConfig, tls: ListenerTls | null): ListenerPlan {
  return {
    id: l.id,
    address: l.address,
    port: l.port,
    tls,
    // Under TLS both sides say so by ALPN. Without it, only where it is asked for: a proxy in front that does not know h2c would pass it on unexamined.
    http2: l.http2 ?? tls !== null,
    proxyProtocolFrom: l.proxyProtocolFrom,
    forwardedFrom: l.forwardedFrom,
  };
}
