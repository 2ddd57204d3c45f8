/** Where lanes listen, and their bounds towards clients. Comes from the bootstrap, not from a bundle. */

/** Where a lane listens. Comes from the bootstrap, not from a bundle. */
export interface ListenerPlan {
  readonly id: string;
  readonly address: string;
  readonly port: number;
  readonly tls: ListenerTls | null;
  /** HTTP/2 is spoken: by ALPN under TLS, by prior knowledge without. */
  readonly http2: boolean;
  /** Networks whose connections begin with a PROXY header, v1 or v2 (CIDRs); those from elsewhere have none. */
  readonly proxyProtocolFrom: readonly string[];
  /** Proxies in front whose forwarding headers are believed (CIDRs). */
  readonly forwardedFrom: readonly string[];
}

/** TLS of a listener; replaced whole when its files change (message `tls`). */
export interface ListenerTls {
  /** Files of the first certificate: for transports that read files themselves, and for messages. */
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly minVersion: '1.2' | '1.3';
  /**
   * As control read them, so that all lanes have the same, at a restart too. The first serves clients that name no server, or an unknown one. Absent: the files
   * above are read by the transport.
   */
  readonly certificates?: readonly ListenerCertificate[];
  /** IANA names in order of preference; absent or empty: the provider's own. */
  readonly cipherSuites?: readonly string[];
  /** Absent: clients are asked for none. */
  readonly clientCertificates?: ClientCertificates;
}

export interface ListenerCertificate {
  /** For messages. */
  readonly certificateFile: string;
  readonly keyFile: string;
  /** PEM: certificate, then intermediates. */
  readonly chainPem: Uint8Array;
  readonly keyPem: Uint8Array;
  /** OCSP response to staple (RFC 6066 §8), DER; null = none. */
  readonly ocspDer: Uint8Array | null;
  /** Server names that choose it; empty: those of the certificate. */
  readonly names: readonly string[];
}

export interface ClientCertificates {
  /** `optional`: a client without one is served too; one that cannot be verified never is. */
  readonly mode: 'optional' | 'required';
  /** For messages. */
  readonly caFile: string;
  /** PEM of the authorities that are believed. */
  readonly caPem: Uint8Array;
}

/** Bounds and deadlines of a lane's downstream connections. Comes from the bootstrap. */
export interface DownstreamPlan {
  /** Connections open at once in a lane, and of these from one client address (IPv6: one /64). */
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  /** From accept to the end of the TLS handshake, ms. */
  readonly handshakeTimeoutMs: number;
  /** From a request head's first byte to its end, ms. */
  readonly headTimeoutMs: number;
  /** Between two requests of a connection, ms. */
  readonly idleTimeoutMs: number;
  /** A client that takes nothing of what waits for it, ms. */
  readonly writeTimeoutMs: number;
  /** Slowest request body, bytes a second; 0 = none. */
  readonly bodyRateMin: number;
}
