/**
 * h1-llhttp: byte strings with llhttp's event log. Only strict request cases are sent: lenient ones are for lenient parsers, and the responses
 * belong to the upstream side.
 */
import { textField } from '../../data.ts';
import { type Http1Case, hostOf } from '../case.ts';
import { withHost } from '../complete-request.ts';
import { judge, type Wish } from '../judge.ts';
import { step } from '../observe.ts';
import { readMessage } from '../reference.ts';

export const SET = 'h1-llhttp';

const CRLF = Buffer.from('\r\n');

/**
 * Error codes of llhttp that are no verdict on the bytes: paused by its caller (21), handed over to an upgraded protocol (22, 23), and bytes after
 * a message that ends the connection (5), which a server need not read.
 */
const NO_VERDICT = new Set(['5', '21', '22', '23']);

export function casesOf(list: readonly Record<string, unknown>[], from: number): Http1Case[] {
  const requests = list.filter((entry) => entry['strict'] === true && textField(entry, 'id').startsWith('request/'));
  return requests.map((entry, n) => {
    const wish = wishOf(entry);
    const whole = withEnd(Buffer.from(textField(entry, 'bytes_b64'), 'base64'), lengthLogged(entry), wish === 'refuse');
    const bytes = withHost(whole, hostOf(from + n));
    return { set: SET, id: textField(entry, 'id'), steps: [step(bytes)], judge: (seen) => judge(wish, seen) };
  });
}

/** How many bytes the parser had read by its own account: the data lacks the last line end of most cases. */
function lengthLogged(entry: Record<string, unknown>): number {
  let length = 0;
  for (const line of logOf(entry)) {
    const match = /^off=(\d+)(?: len=(\d+) span)?/.exec(line);
    if (match !== null) length = Math.max(length, Number(match[1]) + Number(match[2] ?? 0));
  }
  return length;
}

/**
 * Gives back the line ends that the log shows and the data lost. A case that llhttp found wrong before its end stays wrong whatever follows: its
 * head is completed, so that a refusal is due.
 */
export function withEnd(bytes: Buffer, length: number, wrong: boolean): Buffer {
  let out = bytes;
  while (out.length < length && length - out.length <= 4) out = Buffer.concat([out, CRLF]);
  if (wrong && readMessage(out).outcome !== 'complete' && out.toString('latin1').slice(-4) !== '\r\n\r\n') {
    const ended = out.toString('latin1').endsWith('\r\n');
    out = Buffer.concat(ended ? [out, CRLF] : [out, CRLF, CRLF]);
  }
  return out;
}

function logOf(entry: Record<string, unknown>): string[] {
  return Array.isArray(entry['log']) ? (entry['log'] as unknown[]).map(String) : [];
}

function wishOf(entry: Record<string, unknown>): Wish {
  if (textField(entry, 'outcome') === 'accepted') return 'serve';
  const code = /error code=(\d+)/.exec(logOf(entry).join('\n'))?.[1];
  return code !== undefined && NO_VERDICT.has(code) ? 'either' : 'refuse';
}
