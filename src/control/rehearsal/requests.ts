/** A bundle's own tests as the requests that a rehearsal plays. */
import { isIPv4 } from 'node:net';
import type { BundleConfig } from '../../config/bundle.ts';
import type { OwnTestConfig } from '../../config/own-tests.ts';
import type { RehearsedRequest } from '../../snapshot/rehearsal.ts';

const URL_PARTS = /^(https?):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?$/;

/** The request of a test that has been checked. */
export function requestOf({ request }: OwnTestConfig, { issuers }: BundleConfig): RehearsedRequest {
  const [, scheme = '', host = '', path = '', query = ''] = URL_PARTS.exec(request.url) ?? [];
  const headers = Object.entries(request.headers).flatMap(([name, value]) => [name.toLowerCase(), value]);
  const has = (name: string): boolean => headers.some((text, i) => i % 2 === 0 && text === name);
  if (!has('host')) headers.unshift('host', host);
  if (request.body !== undefined && !has('content-length'))
    headers.push('content-length', String(Buffer.byteLength(request.body)));
  const { token, clientCertificate } = request;
  return {
    method: request.method,
    secure: scheme === 'https',
    host,
    path: path === '' ? '/' : path,
    query,
    headers,
    body: request.body ?? null,
    peerAddress: bytesOf(request.address),
    token:
      token === undefined
        ? null
        : {
            issuer: Math.max(
              0,
              issuers.issuers.findIndex(({ id }) => id === token.issuer),
            ),
            claims: token.claims,
          },
    clientCertificate: clientCertificate ?? null,
    websocket: request.websocket,
  };
}

/** 4 or 16 bytes of an address. */
function bytesOf(address: string): number[] {
  if (isIPv4(address)) return address.split('.').map(Number);
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address);
  const dotted = tail === null ? null : (tail[2] ?? '').split('.').map(Number);
  const hex = (n: number): string => n.toString(16).padStart(2, '0');
  const plain =
    dotted === null || tail === null
      ? address
      : `${tail[1] ?? ''}${dotted.slice(0, 2).map(hex).join('')}:${dotted.slice(2).map(hex).join('')}`;
  const [front = '', back] = plain.split('::');
  const groups = (text: string): number[] =>
    text === ''
      ? []
      : text.split(':').flatMap((group) => {
          const value = Number.parseInt(group, 16);
          return [value >> 8, value & 0xff];
        });
  const first = groups(front);
  const last = back === undefined ? [] : groups(back);
  return [...first, ...Array.from({ length: 16 - first.length - last.length }, () => 0), ...last];
}
