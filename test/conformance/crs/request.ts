/** Requests as go-ftw sends them, and a lenient reader that turns their bytes into what a rule engine is given. */
import type { WafRequest } from '../../../src/native/waf.ts';
import type { StageInput } from './cases.ts';

const FORM = 'application/x-www-form-urlencoded';

/** The bytes that go-ftw writes for a stage. */
export function requestBytes(input: StageInput): Buffer {
  if (input.raw !== undefined) return input.raw;
  const headers = [...input.headers];
  const value = (name: string): string => headers.find(([n]) => n.toLowerCase() === name)?.[1] ?? '';
  const add = (name: string, text: string): void => {
    if (value(name.toLowerCase()) === '') headers.push([name, text]);
  };
  let data = input.data;
  if (input.autocomplete && data.length > 0) {
    add('Content-Type', FORM);
    if (value('content-type') === FORM) data = escapedForm(data);
  }
  if (value('content-type').startsWith('multipart/form-data;'))
    data = Buffer.from(data.toString('latin1').replaceAll('\n', '\r\n'), 'latin1');
  if (input.autocomplete) {
    add('Connection', 'close');
    if (data.length > 0 || /^POST|PUT|PATCH|DELETE$/.test(input.method)) add('Content-Length', String(data.length));
  }
  const lines = [`${input.method} ${input.uri} ${input.version}`, ...headers.map(([name, text]) => `${name}: ${text}`)];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'utf8'), data]);
}

/** A form that is not escaped yet, escaped as Go's `url.QueryEscape` does; any other as it is. */
function escapedForm(data: Buffer): Buffer {
  const text = data.toString('latin1');
  if (/%|\+/.test(text)) return data;
  const pairs = text.split('&').map((pair) => {
    const at = pair.indexOf('=');
    return at < 0 ? escaped(pair) : `${escaped(pair.slice(0, at))}=${escaped(pair.slice(at + 1))}`;
  });
  // A last empty pair has no separator.
  if (pairs.length > 1 && pairs.at(-1) === '') pairs.pop();
  return Buffer.from(pairs.join('&'), 'latin1');
}

function escaped(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9_.~-]/g, (c) =>
    c === ' ' ? '+' : `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
}

/** Reads the first request of some bytes as a lenient server does: nothing is refused, texts stay as they are. Latin-1. */
export function readRequest(bytes: Buffer): WafRequest {
  // Line feeds alone end lines where nothing else does.
  const lineEnd = bytes.includes('\r\n\r\n') || !bytes.includes('\n\n') ? '\r\n' : '\n';
  const end = bytes.indexOf(lineEnd + lineEnd);
  const head = bytes.subarray(0, end < 0 ? bytes.length : end).toString('latin1');
  const [line = '', ...fields] = head.split(lineEnd);
  const { method, target, protocol } = requestLine(line);
  const headers = fields.map((field): readonly [string, string] => {
    const at = field.indexOf(':');
    return at < 0 ? [field, ''] : [field.slice(0, at), field.slice(at + 1).replaceAll(/^[ \t]+|[ \t]+$/g, '')];
  });
  const value = (name: string): string | undefined => headers.find(([n]) => n.toLowerCase() === name)?.[1];
  const rest = end < 0 ? Buffer.alloc(0) : bytes.subarray(end + 2 * lineEnd.length);
  const length = value('content-length');
  let body = Buffer.alloc(0);
  if (/chunked\s*$/i.test(value('transfer-encoding') ?? '')) body = unchunked(rest);
  else if (length !== undefined && /^\d+$/.test(length)) body = Buffer.from(rest.subarray(0, Number(length)));
  return { method, target, protocol, client: '127.0.0.1', clientPort: 40_000, id: 'conformance', headers, body };
}

/** Method, target and protocol: the first word, the last word when it is one, and all between. */
function requestLine(line: string): { method: string; target: string; protocol: string } {
  const first = line.search(/\S\s/) + 1;
  if (first === 0) return { method: line, target: '', protocol: '' };
  const last = line.lastIndexOf(' ');
  const protocol = /^HTTP\/|^\S*$/.test(line.slice(last + 1)) && last > first ? line.slice(last + 1) : '';
  const target = line.slice(first + 1, protocol === '' ? line.length : last);
  return { method: line.slice(0, first), target, protocol };
}

function unchunked(bytes: Buffer): Buffer<ArrayBuffer> {
  const parts: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    const end = bytes.indexOf('\r\n', at);
    if (end < 0) break;
    const size = Number.parseInt(bytes.subarray(at, end).toString('latin1'), 16);
    if (!(size > 0)) break;
    parts.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
  return Buffer.concat(parts);
}
