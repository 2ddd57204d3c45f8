/** TLS of a listener out of the files that the bootstrap names: read at once, checked, and then the same in every lane. */
import { open } from 'node:fs/promises';
import { certificatesOf, type ListenerTlsConfig } from '../../config/bootstrap.ts';
import type { ClientCertificates, ListenerCertificate, ListenerTls } from '../../snapshot/listener-plans.ts';
import { certificateFault, readCertificates } from './pem.ts';

/** Largest file that is read, bytes: the largest public bundles of authorities have 250 KB. */
export const TLS_FILE_BYTES_MAX = 4 * 1024 * 1024;

/** Files that cannot be used, now or later: nothing but other ones mends it. */
export class UnfitTls extends Error {
  override readonly name = 'UnfitTls';
}

/** Every file that a listener's TLS is made of. */
export function filesOf(tls: ListenerTlsConfig): readonly string[] {
  const files = new Set<string>();
  for (const c of certificatesOf(tls)) {
    files.add(c.certificateFile).add(c.keyFile);
    if (c.ocspFile !== undefined) files.add(c.ocspFile);
  }
  const clients = tls.clientCertificates;
  if (clients !== undefined && clients.mode !== 'off' && clients.caFile !== undefined) files.add(clients.caFile);
  return [...files];
}

/** Reads and checks. Rejects with an Error that names the listener, the file and the mend: UnfitTls when all files could be read. */
export async function readListenerTls(listener: string, tls: ListenerTlsConfig): Promise<ListenerTls> {
  const certificates: ListenerCertificate[] = [];
  // One after the other: a listener may have many, and nobody waits for milliseconds here.
  for (const c of certificatesOf(tls)) {
    const chainPem = await bytesOf(listener, c.certificateFile);
    const keyPem = await bytesOf(listener, c.keyFile);
    const fault = certificateFault(chainPem, keyPem);
    if (fault !== null)
      throw new UnfitTls(
        `listener ${listener}: certificate ${c.certificateFile} and key ${c.keyFile} cannot be used (${fault}); are both PEM, and do they belong together?`,
      );
    certificates.push({
      certificateFile: c.certificateFile,
      keyFile: c.keyFile,
      chainPem,
      keyPem,
      ocspDer: c.ocspFile === undefined ? null : await ocspOf(listener, c.ocspFile),
      names: c.names,
    });
  }
  const [first] = certificates;
  if (first === undefined)
    throw new UnfitTls(`listener ${listener}: tls without a certificate; add certificateFile and keyFile`);
  const clientCertificates = await clientsOf(listener, tls);
  return {
    certificateFile: first.certificateFile,
    keyFile: first.keyFile,
    minVersion: tls.minVersion,
    certificates,
    cipherSuites: tls.cipherSuites,
    ...(clientCertificates === null ? {} : { clientCertificates }),
  };
}

async function clientsOf(listener: string, tls: ListenerTlsConfig): Promise<ClientCertificates | null> {
  const clients = tls.clientCertificates;
  if (clients === undefined || clients.mode === 'off' || clients.caFile === undefined) return null;
  const caPem = await bytesOf(listener, clients.caFile);
  try {
    readCertificates(caPem);
  } catch (error) {
    throw new UnfitTls(`listener ${listener}: ${clients.caFile} cannot be used: ${(error as Error).message}`, {
      cause: error,
    });
  }
  return { mode: clients.mode, caFile: clients.caFile, caPem };
}

/** An OCSPResponse is a DER sequence (RFC 6960 §4.2.1); what is in it is for clients to judge. */
async function ocspOf(listener: string, file: string): Promise<Uint8Array> {
  const bytes = await bytesOf(listener, file);
  if (bytes[0] !== 0x30)
    throw new UnfitTls(
      `listener ${listener}: ${file} is no OCSP response in DER; make it with \`openssl ocsp … -respout ${file}\``,
    );
  return bytes;
}

async function bytesOf(listener: string, file: string): Promise<Uint8Array> {
  try {
    const handle = await open(file, 'r');
    try {
      const { size } = await handle.stat();
      if (size > TLS_FILE_BYTES_MAX) throw new Error(`it has ${size} bytes; at most ${TLS_FILE_BYTES_MAX} are read`);
      // Memory of its own: what goes to a lane is copied with the whole buffer that it lies in.
      return new Uint8Array(await handle.readFile());
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw new Error(
      `listener ${listener}: ${file} cannot be read (${(error as Error).message}); does it exist, and may this user read it?`,
      { cause: error },
    );
  }
}
