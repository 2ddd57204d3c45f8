/** Makes cases of header-level suites sendable: adds the Host that they leave out, and a body that fits the framing they name. */
import { readMessage } from './reference.ts';

const NO_HOST_FINDING = 'host-missing';
/** More messages than this in one case are sent as they are. */
const MESSAGES_MAX = 64;
const BODY_BYTES_MAX = 256 * 1024;

/** Inserts `Host` after the request line of each message that lacks it, as far as messages can be told apart. */
export function withHost(bytes: Buffer, host: string): Buffer {
  let out = bytes;
  let at = 0;
  for (let n = 0; n < MESSAGES_MAX && at < out.length; n++) {
    let message = readMessage(out, at);
    if (!/^host[ \t]*:/im.test(out.toString('latin1', at, headEnd(out, at)))) {
      const lineEnd = firstLineEnd(out, at);
      if (lineEnd < 0) return out;
      out = Buffer.concat([out.subarray(0, lineEnd), Buffer.from(`Host: ${host}\r\n`), out.subarray(lineEnd)]);
      message = readMessage(out, at);
    }
    // Beyond a message whose end is unknown nothing can be said of where the next begins.
    if (!message.endKnown || (message.outcome === 'invalid' && !message.findings.has(NO_HOST_FINDING))) return out;
    at = message.end;
  }
  return out;
}

function headEnd(bytes: Buffer, at: number): number {
  const end = bytes.indexOf('\r\n\r\n', at + leading(bytes, at), 'latin1');
  return end < 0 ? bytes.length : end + 2;
}

function leading(bytes: Buffer, at: number): number {
  let skip = 0;
  while (bytes.toString('latin1', at + skip, at + skip + 2) === '\r\n') skip += 2;
  return skip;
}

/** Where the line after the request line begins, or -1 when the request line has no end. */
function firstLineEnd(bytes: Buffer, at: number): number {
  const end = bytes.indexOf('\r\n', at + leading(bytes, at), 'latin1');
  return end < 0 ? -1 : end + 2;
}

/**
 * A body that is whole to whoever reads Content-Length and whole to whoever reads Transfer-Encoding, both read as leniently as the laxest
 * server might. Where the two differ, what is left over for the chunked reader is a request of its own, so that a desync shows at the upstream.
 */
export function bodyFor(head: Buffer, host: string): Buffer {
  const text = head.latin1Slice();
  const length = /content.{0,3}length[^:\r\n]*:[^0-9\r\n]*([0-9]{1,9})/is.exec(text)?.[1];
  const chunked = /chunked/i.test(text);
  if (length === undefined) return Buffer.from(chunked ? '5\r\nhello\r\n0\r\n\r\n' : '');
  const bytes = Math.min(Number(length), BODY_BYTES_MAX);
  if (!chunked) return Buffer.alloc(bytes, 'x');
  const open = `0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: ${host}\r\nX-Pad: `;
  const close = '\r\n\r\n';
  if (bytes < open.length + close.length) return Buffer.from('0\r\n\r\n'.padEnd(bytes, 'x'));
  return Buffer.from(open.padEnd(bytes - close.length, 'x') + close);
}
