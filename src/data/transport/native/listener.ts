/** Opens a listener of the engine: reads the files that it names, and says what is wrong in terms of the configuration. */
import { readFile } from 'node:fs/promises';
import { present } from '../../../base/assert.ts';
import type { TransportCertificate, TransportEngine, TransportTls } from '../../../native/transport.ts';
import type { ListenerCertificate, ListenerPlan, ListenerTls } from '../../../snapshot/listener-plans.ts';

/** What the addon says when TLS cannot be made of what it was given, rather than that the address cannot be had. */
const NOT_USABLE = 'InvalidArg';

/** Opens it under this number; the port it got. Rejects with an error that names the listener, the file or address, and the mend. */
export async function openListener(
  engine: TransportEngine,
  number: number,
  plan: ListenerPlan,
  inherited: number,
): Promise<number> {
  const { tls } = plan;
  const read = tls === null || tls.certificates !== undefined ? tls : await withFiles(plan.id, tls);
  try {
    return engine.listen({
      number,
      address: plan.address,
      port: plan.port,
      http2: plan.http2,
      proxyFrom: plan.proxyProtocolFrom,
      inherited,
      ...(read === null ? {} : { tls: tlsOf(read) }),
    });
  } catch (error) {
    if (tls !== null && isNotUsable(error)) throw notUsable(plan.id, tls, error);
    throw new Error(
      `listener ${plan.id}: cannot listen on ${plan.address}:${plan.port} (${said(error)}); is the port taken, the address local, and a port below 1024 allowed?`,
      { cause: error },
    );
  }
}

/** Other certificates for its new connections. Throws when they cannot be used. */
export function renewTls(engine: TransportEngine, number: number, plan: ListenerPlan, tls: ListenerTls): void {
  try {
    engine.setTls(number, plan.http2, tlsOf(tls));
  } catch (error) {
    throw notUsable(plan.id, tls, error);
  }
}

function notUsable(id: string, tls: ListenerTls, error: unknown): Error {
  return new Error(
    `listener ${id}: certificate ${tls.certificateFile} and key ${tls.keyFile} cannot be used (${said(error)}); are both PEM, and do they belong together?`,
    { cause: error },
  );
}

function isNotUsable(error: unknown): boolean {
  return (error as { readonly code?: string }).code === NOT_USABLE;
}

function said(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function tlsOf(tls: ListenerTls): TransportTls {
  const clients = tls.clientCertificates;
  return {
    certificates: present(tls.certificates, 'certificates').map(certificateOf),
    minVersion: tls.minVersion,
    clientAuth: clients?.mode ?? 'off',
    ...(clients === undefined ? {} : { clientCaPem: clients.caPem }),
    cipherSuites: tls.cipherSuites ?? [],
  };
}

function certificateOf({ chainPem, keyPem, ocspDer, names }: ListenerCertificate): TransportCertificate {
  return { chainPem, keyPem, names, ...(ocspDer === null ? {} : { ocspDer }) };
}

/** The files read here, where nobody did before. */
async function withFiles(id: string, tls: ListenerTls): Promise<ListenerTls> {
  const { certificateFile, keyFile } = tls;
  const [chainPem, keyPem] = [await bytesOf(id, certificateFile), await bytesOf(id, keyFile)];
  return { ...tls, certificates: [{ certificateFile, keyFile, chainPem, keyPem, ocspDer: null, names: [] }] };
}

async function bytesOf(id: string, file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new Error(`listener ${id}: ${file} cannot be read`, { cause: error });
  }
}
