/** The upstream of the tests: a POST to `/reflect…` is answered with what its JSON says, everything else with an empty 200. */
import type { WafRequest, WafResponse } from '../../../src/native/waf.ts';

interface Reflected {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly encodedBody?: string;
}

export function answerOf(request: WafRequest): WafResponse {
  const empty: WafResponse = { status: 200, headers: [['Content-Length', '0']], body: Buffer.alloc(0) };
  if (request.method !== 'POST' || !request.target.startsWith('/reflect')) return empty;
  let spec: Reflected;
  try {
    spec = JSON.parse(Buffer.from(request.body ?? []).toString('utf8')) as Reflected;
  } catch {
    return {
      status: 400,
      headers: [['Content-Type', 'text/plain; charset=utf-8']],
      body: Buffer.from('invalid specification'),
    };
  }
  const body =
    spec.encodedBody === undefined || spec.encodedBody === ''
      ? Buffer.from(spec.body ?? '', 'utf8')
      : Buffer.from(spec.encodedBody, 'base64');
  const headers = Object.entries(spec.headers ?? {}).map(
    ([name, value]) => [name, Buffer.from(value, 'utf8').toString('latin1')] as const,
  );
  const typed = headers.some(([name]) => name.toLowerCase() === 'content-type');
  return {
    status: spec.status ?? 200,
    headers: typed || body.length === 0 ? headers : [...headers, ['Content-Type', sniffed(body)]],
    body,
  };
}

/** The media type of an answer that names none, as Go's server finds it (WHATWG MIME Sniffing §7.1), as far as texts go. */
function sniffed(body: Buffer): string {
  const text = body
    .subarray(0, 512)
    .toString('latin1')
    .replace(/^[\t\n\f\r ]+/, '');
  if (/^<(!DOCTYPE HTML|HTML|HEAD|SCRIPT|IFRAME|H1|DIV|FONT|TABLE|A|STYLE|TITLE|B|BODY|BR|P|!--)[ >]/i.test(text))
    return 'text/html; charset=utf-8';
  if (text.startsWith('<?xml')) return 'text/xml; charset=utf-8';
  // oxlint-disable-next-line no-control-regex -- the bytes that make content binary
  return /[\u0000-\u0008\u000b\u000e-\u001a\u001c-\u001f]/.test(text)
    ? 'application/octet-stream'
    : 'text/plain; charset=utf-8';
}
