/** Reads the responses in a received byte stream: enough of HTTP/1.1 to tell status, fields, body and where the next one begins. */

export interface ReadResponse {
  readonly status: number;
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  /** False when the peer has not sent all of it (yet). */
  readonly complete: boolean;
  /** True when the body ends with the connection. */
  readonly untilClose: boolean;
}

export interface ReadResponses {
  readonly responses: readonly ReadResponse[];
  /** Bytes that are no response: nothing sensible begins there. */
  readonly garbage: boolean;
}

const EMPTY = Buffer.alloc(0);

export function fieldOf(response: ReadResponse, name: string): string | undefined {
  const lower = name.toLowerCase();
  return response.fields.find(([n]) => n.toLowerCase() === lower)?.[1];
}

/** `methods`: of the requests in order, since a response to HEAD has no body. `closed`: the peer has ended the connection. */
export function readResponses(bytes: Buffer, methods: readonly string[], closed: boolean): ReadResponses {
  const responses: ReadResponse[] = [];
  const text = bytes.latin1Slice();
  let finals = 0;
  for (let at = 0; at < bytes.length; ) {
    const headEnd = text.indexOf('\r\n\r\n', at);
    const match = /^HTTP\/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?(?:\r\n|\r?$)/.exec(
      text.slice(at, headEnd < 0 ? at + 512 : headEnd + 2),
    );
    if (match === null) {
      const couldBecome = headEnd < 0 && /^H?T?T?P?\/?1?\.?[01]?[ 0-9]*$/.test(text.slice(at, at + 12));
      return { responses, garbage: !couldBecome };
    }
    const status = Number(match[1]);
    if (headEnd < 0) {
      responses.push({ status, fields: [], body: EMPTY, complete: false, untilClose: false });
      break;
    }
    const fields = text
      .slice(at, headEnd)
      .split('\r\n')
      .slice(1)
      .map((line): readonly [string, string] => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon), line.slice(colon + 1).trim()];
      });
    const interim = status < 200 && status !== 101;
    const body = readBody(bytes, text, headEnd + 4, status, fields, methods[finals] === 'HEAD', closed);
    responses.push({ status, fields, body: body.bytes, complete: body.complete, untilClose: body.untilClose });
    if (!interim) finals += 1;
    if (!body.complete || body.untilClose) break;
    at = body.end;
  }
  return { responses, garbage: false };
}

interface Body {
  readonly bytes: Buffer;
  readonly end: number;
  readonly complete: boolean;
  readonly untilClose: boolean;
}

function readBody(
  bytes: Buffer,
  text: string,
  start: number,
  status: number,
  fields: ReadResponse['fields'],
  toHead: boolean,
  closed: boolean,
): Body {
  if (toHead || status < 200 || status === 204 || status === 304)
    return { bytes: EMPTY, end: start, complete: true, untilClose: false };
  const value = (name: string): string | undefined => fields.find(([n]) => n.toLowerCase() === name)?.[1];
  if (/chunked/i.test(value('transfer-encoding') ?? '')) {
    const parts: Buffer[] = [];
    for (let at = start; ; ) {
      const lineEnd = text.indexOf('\r\n', at);
      const size = lineEnd < 0 ? Number.NaN : Number.parseInt(text.slice(at, lineEnd), 16);
      if (Number.isNaN(size) || lineEnd + 2 + size + 2 > bytes.length)
        return { bytes: Buffer.concat(parts), end: bytes.length, complete: false, untilClose: false };
      at = lineEnd + 2;
      if (size === 0) {
        if (text.startsWith('\r\n', at))
          return { bytes: Buffer.concat(parts), end: at + 2, complete: true, untilClose: false };
        const end = text.indexOf('\r\n\r\n', at);
        return {
          bytes: Buffer.concat(parts),
          end: end < 0 ? bytes.length : end + 4,
          complete: end >= 0,
          untilClose: false,
        };
      }
      parts.push(bytes.subarray(at, at + size));
      at += size + 2;
    }
  }
  const length = value('content-length');
  if (length === undefined)
    return { bytes: bytes.subarray(start), end: bytes.length, complete: closed, untilClose: true };
  const end = start + Number(length);
  return { bytes: bytes.subarray(start, end), end, complete: end <= bytes.length, untilClose: false };
}
