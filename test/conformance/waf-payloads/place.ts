/** Where a payload goes in a request: the places that the sets name. Texts are Latin-1: one character a byte. */
import type { WafRequest } from '../../../src/native/waf.ts';

type Fields = readonly (readonly [name: string, value: string])[];

const BROWSER = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';
const BOUNDARY = 'cnx-boundary-4f1c9a';
const NAME = 'q';

/** A request as a browser would make it, with other fields in place of or beside its own. */
export function requestOf(method: string, target: string, fields: Fields = [], body = ''): WafRequest {
  const bytes = Buffer.from(body, 'latin1');
  const own: Fields = [
    ['Host', 'shop.example'],
    ['User-Agent', BROWSER],
    ['Accept', 'text/html,application/xhtml+xml,*/*;q=0.8'],
    ['Accept-Language', 'en-US,en;q=0.5'],
    ...(bytes.length > 0 || method === 'POST' ? ([['Content-Length', String(bytes.length)]] as const) : []),
  ];
  const given = new Set(fields.map(([name]) => name.toLowerCase()));
  const headers = [...own.filter(([name]) => !given.has(name.toLowerCase())), ...fields];
  return { method, target: sendable(target), protocol: 'HTTP/1.1', client: '192.0.2.1', headers, body: bytes };
}

export function inPath(payload: string): WafRequest {
  return requestOf('GET', payload.startsWith('/') ? payload : `/${payload}`);
}

export function inParameter(payload: string): WafRequest {
  return requestOf('GET', `/?${NAME}=${payload}`);
}

export function inForm(payload: string): WafRequest {
  return requestOf('POST', '/', [['Content-Type', 'application/x-www-form-urlencoded']], `${NAME}=${payload}`);
}

export function inMultipart(payload: string): WafRequest {
  const body = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${NAME}"\r\n\r\n${payload}\r\n--${BOUNDARY}--\r\n`;
  return requestOf('POST', '/', [['Content-Type', `multipart/form-data; boundary=${BOUNDARY}`]], body);
}

export function inJson(payload: string): WafRequest {
  const text = Buffer.from(payload, 'latin1').toString('utf8');
  return asBody(
    'application/json',
    Buffer.from(JSON.stringify({ test: true, [NAME]: text }), 'utf8').toString('latin1'),
  );
}

export function inField(name: string, payload: string): WafRequest {
  return requestOf('GET', '/', [[name, payload]]);
}

export function asBody(type: string, body: string): WafRequest {
  return requestOf('POST', '/', [['Content-Type', type]], body);
}

export function inSoap(payload: string): WafRequest {
  const text = payload.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  const body = `<?xml version="1.0" encoding="UTF-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><find xmlns="http://shop.example"><text>${text}</text></find></soap:Body></soap:Envelope>`;
  return requestOf(
    'POST',
    '/',
    [
      ['Content-Type', 'text/xml; charset=utf-8'],
      ['SOAPAction', '"find"'],
    ],
    body,
  );
}

/** One message of gRPC whose first field is the text. */
export function inGrpc(payload: string): WafRequest {
  const text = Buffer.from(payload, 'latin1');
  const length: number[] = [];
  for (let n = text.length; ; n >>>= 7) {
    length.push(n > 127 ? (n & 127) | 128 : n);
    if (n <= 127) break;
  }
  const message = Buffer.concat([Buffer.from([0x0a, ...length]), text]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return asBody('application/grpc', Buffer.concat([prefix, message]).toString('latin1'));
}

/** A target as clients send it: what no URI may hold is escaped, everything else stays. */
export function sendable(target: string): string {
  return target.replaceAll(/[^!#$%&'()*+,/:;=?@[\]A-Za-z0-9._~-]/g, percent).replaceAll('#', '%23');
}

/** A text escaped as a value of a query: only unreserved characters stay. */
export function escaped(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9._~-]/g, percent);
}

function percent(c: string): string {
  return `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}

/** True when no client could send it: line ends or NUL in the head. The listener refuses such bytes before any rule. */
export function isUnsendable(request: WafRequest): boolean {
  // oxlint-disable-next-line no-control-regex -- what ends a line or a head
  const broken = /[\u0000\r\n]/;
  return (request.headers ?? []).some(([name, value]) => broken.test(name) || broken.test(value));
}
