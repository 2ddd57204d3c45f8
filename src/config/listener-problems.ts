/** What the schema cannot say of listeners: what goes together, and what the transport that was chosen cannot do. */
import { normalize } from 'node:path';
import type { BootstrapConfig, ListenerConfig, ListenerTlsConfig } from './bootstrap.ts';
import { networkFault } from './references.ts';

/** Notes a problem at a place of the bootstrap. */
type Note = (path: string, message: string) => void;

/** Problems of one listener by itself. */
export function listenerProblems(listener: ListenerConfig, path: string, note: Note): void {
  for (const [i, cidr] of listener.proxyProtocolFrom.entries()) {
    const fault = networkFault(cidr);
    if (fault !== null) note(`${path}/proxyProtocolFrom/${i}`, fault);
  }
  if (listener.tls !== undefined) tlsProblems(listener.tls, `${path}/tls`, note);
}

function tlsProblems(tls: ListenerTlsConfig, path: string, note: Note): void {
  const one = tls.certificateFile !== undefined || tls.keyFile !== undefined;
  if (one && tls.certificates !== undefined)
    note(path, 'certificateFile and keyFile are for one certificate; put all of them under `certificates`');
  else if (!one && tls.certificates === undefined)
    note(path, 'no certificate; add certificateFile and keyFile, or several under `certificates`');
  else if (one && (tls.certificateFile === undefined || tls.keyFile === undefined))
    note(path, 'certificateFile and keyFile go together');
  for (const [i, suite] of tls.cipherSuites.entries()) {
    const at = `${path}/cipherSuites/${i}`;
    if (tls.cipherSuites.indexOf(suite) < i) note(at, `${suite} is named twice`);
    else if (tls.minVersion === '1.3' && suite.includes('_WITH_'))
      note(at, `${suite} is of TLS 1.2, and minVersion is 1.3; remove one of the two`);
  }
  const sameFile = new Map<string, number[]>();
  for (const [i, certificate] of (tls.certificates ?? []).entries()) {
    const file = normalize(certificate.certificateFile);
    const before = sameFile.get(file) ?? [];
    const first = before.find((j) => covers(tls.certificates?.[j]?.names ?? [], certificate.names));
    if (first !== undefined)
      note(
        `${path}/certificates/${i}`,
        `is the certificate of ${path}/certificates/${first} again, and no other name chooses it; remove it, or give it names of its own`,
      );
    sameFile.set(file, [...before, i]);
  }
  const clients = tls.clientCertificates;
  if (clients !== undefined && clients.mode !== 'off' && clients.caFile === undefined)
    note(`${path}/clientCertificates`, `mode ${clients.mode} needs \`caFile\`: the authorities that are believed`);
}

/**
 * True when of one certificate under these names, and again under the later ones, the second is never chosen. Two files may well share names: one with an RSA key and one with
 * an ECDSA key serve clients of both kinds; of which kind they are only the files say, and the engine warns where they are of one.
 */
function covers(first: readonly string[], later: readonly string[]): boolean {
  // Without names it is chosen by those that it holds.
  if (later.length === 0) return first.length === 0;
  const names = new Set(first.map((name) => name.toLowerCase()));
  return later.every((name) => names.has(name.toLowerCase()));
}

/** What the native transport does and uWebSockets.js does not: said, rather than left out in silence. `written`: the document without defaults. */
export function uwsProblems(b: BootstrapConfig, written: unknown, note: Note): void {
  const cannot = (path: string, what: string, mend: string): void =>
    note(path, `the transport uws ${what}; ${mend}, or say \`transport: native\``);
  for (const [i, listener] of b.listeners.entries()) {
    const path = `/listeners/${i}`;
    if (listener.http2 === true) cannot(`${path}/http2`, 'speaks HTTP/1.1 only', 'remove `http2`');
    if (listener.proxyProtocolFrom.length > 0)
      cannot(`${path}/proxyProtocolFrom`, 'reads no PROXY header', 'remove it');
    const { tls } = listener;
    if (tls === undefined) continue;
    const [first, ...more] = tls.certificates ?? [];
    if (more.length > 0)
      cannot(`${path}/tls/certificates`, 'holds one certificate for each listener', 'give one, or a listener to each');
    if (first?.ocspFile !== undefined)
      cannot(`${path}/tls/certificates/0/ocspFile`, 'staples no OCSP response', 'remove it');
    if (first !== undefined && first.names.length > 0)
      cannot(`${path}/tls/certificates/0/names`, 'does not choose by server name', 'remove them');
    if (tls.cipherSuites.length > 0)
      cannot(`${path}/tls/cipherSuites`, 'has its own list of cipher suites', 'remove them');
    if (tls.clientCertificates !== undefined && tls.clientCertificates.mode !== 'off')
      cannot(`${path}/tls/clientCertificates`, 'asks for no client certificates', 'remove them');
  }
  if ((written as { readonly downstream?: unknown } | null)?.downstream !== undefined)
    cannot('/downstream', 'has its own bounds and deadlines', 'remove `downstream`');
}
