/** What a TLS handshake told, as it is packed behind a request. */

/** What a TLS handshake told, as rules see it. */
export interface WafTlsFacts {
  readonly version: string;
  readonly cipher: string;
  readonly serverName: string;
  readonly ja4: string;
  readonly client: { readonly subject: string; readonly sans: readonly string[]; readonly fingerprint: string } | null;
}

/** Bytes that {@link WafPacker.tls} takes at most. */
export function tlsBytesMax(facts: WafTlsFacts): number {
  const { version, cipher, serverName, ja4, client } = facts;
  let bytes = 14 + version.length + cipher.length + serverName.length + ja4.length;
  if (client === null) return bytes;
  // One character is three bytes of UTF-8 at most.
  bytes += 3 * (client.subject.length + client.fingerprint.length);
  for (const name of client.sans) bytes += 2 + 3 * name.length;
  return bytes;
}
