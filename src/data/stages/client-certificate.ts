/** A client certificate as upstreams are told of it: `X-Forwarded-Client-Cert` in the form that Envoy gave it. */
import type { TlsClient } from '../transport/transport.ts';

/** The field's name. */
export const CLIENT_CERT_FIELD = 'x-forwarded-client-cert';
/** Longest value, bytes: a certificate may hold thousands of names, a head may not. What does not fit is left out; no upstream believes more for that. */
export const CLIENT_CERT_BYTES_MAX = 4_096;

/**
 * `Hash=…;Subject="…";URI=…;DNS=…`: the fingerprint always, the others as far as the certificate has them. No quote and no lone backslash stands within quotes, whatever is in
 * the certificate: readers do not agree on what they mean there.
 */
export function clientCertificateField(client: TlsClient): string {
  let field = joined(`Hash=${client.fingerprint}`, `Subject="${subject(client.subject)}"`);
  for (const kind of ['URI', 'DNS'] as const) {
    for (const san of client.sans) {
      if (san.startsWith(`${kind}:`)) field = joined(field, `${kind}=${name(san.slice(kind.length + 1))}`);
    }
  }
  return field;
}

function joined(field: string, pair: string): string {
  return field.length + 1 + pair.length > CLIENT_CERT_BYTES_MAX ? field : `${field};${pair}`;
}

/** RFC 4514 §2.4 has two ways to write a character; the one in hexadecimal digits has neither quotes nor backslashes in pairs. */
function subject(text: string): string {
  return text.replaceAll(/\\["\\]|\\(?![\x20-\x7e])|"|[^\x20-\x7e]+/g, (found) =>
    hex(found.length > 1 && found.startsWith('\\') ? found.slice(1) : found, '\\'),
  );
}

/** What could be taken for the end of a value, a pair or an element stands between quotes; what a field cannot hold is percent-encoded (RFC 3986 §2.1). */
function name(text: string): string {
  const plain = text.replaceAll(/["\\ ]|[^\x20-\x7e]+/g, (found) => hex(found, '%'));
  return /[,;=]/.test(plain) ? `"${plain}"` : plain;
}

/** Every byte as two digits after a sign. */
function hex(text: string, sign: string): string {
  let out = '';
  for (const byte of Buffer.from(text, 'utf8')) out += sign + byte.toString(16).toUpperCase().padStart(2, '0');
  return out;
}
