/** Certificates and keys looked at before a lane gets them, so that what cannot be used is refused where it can be told. */
import { createPrivateKey, X509Certificate } from 'node:crypto';

/** Certificates of one PEM text that are looked at: a chain has few, a bundle of authorities some hundred. */
const CERTIFICATES_MAX = 1_000;

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

type Pem = string | Uint8Array;

/** Every certificate of a PEM text, in order. Throws an Error that says what is wrong with it. */
export function readCertificates(pem: Pem): readonly X509Certificate[] {
  const blocks = textOf(pem).match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw new Error('it holds no certificate (-----BEGIN CERTIFICATE-----)');
  if (blocks.length > CERTIFICATES_MAX)
    throw new Error(`it holds ${blocks.length} certificates; at most ${CERTIFICATES_MAX} are read`);
  return blocks.map((block, i) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw new Error(`its certificate ${i + 1} of ${blocks.length} is broken`, { cause: error });
    }
  });
}

/** Why a chain (leaf first) and a key cannot be used together, or null. */
export function certificateFault(chain: Pem, key: Pem): string | null {
  let leaf: X509Certificate | undefined;
  try {
    [leaf] = readCertificates(chain);
  } catch (error) {
    return `the certificate cannot be read: ${(error as Error).message}`;
  }
  const text = textOf(key);
  if (/-----BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED/.test(text))
    return 'the key is encrypted with a passphrase; decrypt it with `openssl pkey -in key.pem -out plain.pem`';
  try {
    if (leaf?.checkPrivateKey(createPrivateKey(text)) === true) return null;
  } catch (error) {
    return `the key cannot be read: ${(error as Error).message}`;
  }
  return 'the key is not that of the certificate';
}

/** Epoch ms at which the leaf of a readable chain is no longer valid. */
export function expiryOf(chain: Pem): number {
  return Date.parse(readCertificates(chain)[0]?.validTo ?? '');
}

function textOf(pem: Pem): string {
  return typeof pem === 'string' ? pem : Buffer.from(pem.buffer, pem.byteOffset, pem.byteLength).toString('latin1');
}
