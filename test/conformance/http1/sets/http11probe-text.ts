/**
 * Cases of http11probe whose verdict depends on body or fields say so in words ("2xx + echo", "405 + Allow header", "2xx with a=1, b=2 in body").
 * Each phrase that this file understands is one reader; undefined means that no reader applies and the table stands.
 */
import type { Mark } from '../../result.ts';
import { textField } from '../../data.ts';
import type { Seen } from '../judge.ts';
import { finalResponse } from '../observe.ts';
import type { Message } from '../reference.ts';
import { fieldOf, type ReadResponse } from '../responses.ts';

interface Context {
  readonly text: string;
  readonly response: ReadResponse;
  readonly request: Message | undefined;
  /** Bytes came behind the answers that are no answer. */
  readonly garbage: boolean;
}

type Reader = (context: Context) => Mark | undefined;

const FRAMING_NAMES = ['content-length', 'transfer-encoding', 'host'];

export function judgeByText(entry: Record<string, unknown>, seen: Seen): Mark | undefined {
  const last = seen.steps.at(-1);
  const response = last?.executed === true ? finalResponse(last) : undefined;
  if (response === undefined) return undefined;
  const context: Context = {
    text: textField(entry, 'expected_text'),
    response,
    request: last?.messages[0],
    garbage: last?.garbage === true,
  };
  for (const reader of READERS) {
    const mark = reader(context);
    if (mark !== undefined) return mark;
  }
  return undefined;
}

/** True when the words name the status of the answer, a success, with a condition that no reader understands: nothing shows that it fails. */
export function namesStatus(entry: Record<string, unknown>, seen: Seen): boolean {
  const last = seen.steps.at(-1);
  const response = last?.executed === true ? finalResponse(last) : undefined;
  const named = textField(entry, 'expected_text').match(/[1-5](?:xx|[0-9]{2})/g) ?? [];
  return response !== undefined && ok(response) && named.some((pattern) => statusIs(pattern, response.status));
}

const ok = (response: ReadResponse): boolean => response.status >= 200 && response.status < 300;

/** "Reject/drop (pass), normalize (fail), preserve (warn)": what became of the odd field name in the echoed request. */
const normalisation: Reader = ({ text, response, request }) => {
  if (!/normali[sz]e/i.test(text) || !ok(response)) return undefined;
  const echoed = response.body
    .latin1Slice()
    .split(/\r?\n/)
    .map((line) => line.split(/:\s?/, 2) as [string, string?]);
  for (const [name, value] of request?.fields ?? []) {
    const plain = name.trim().toLowerCase().replaceAll('_', '-');
    const canonical = plain.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase());
    if (!FRAMING_NAMES.includes(plain) || name === canonical) continue;
    if (echoed.some(([n]) => n === name || (name.toLowerCase() !== plain && n.toLowerCase() === name.toLowerCase())))
      return 'warn';
    if (echoed.some(([n, v]) => n.toLowerCase() === plain && v === value)) return 'fail';
  }
  return 'pass';
};

/** "2xx with a=1, b=2 in body". */
const inBody: Reader = ({ text, response }) => {
  const wanted = /2xx with (.+?) in body/i.exec(text)?.[1];
  if (wanted === undefined || !ok(response)) return undefined;
  const body = response.body.latin1Slice();
  return wanted.split(/,\s*|\s+and\s+/).every((part) => body.includes(part.trim())) ? 'pass' : 'fail';
};

/** "2xx without control chars", "2xx without NUL". */
const withoutBytes: Reader = ({ text, response }) => {
  if (!/2xx without (?:the )?(?:control|nul|ctl)/i.test(text) || !ok(response)) return undefined;
  // oxlint-disable-next-line no-control-regex -- control bytes are what is looked for
  return /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(response.body.latin1Slice()) ? 'fail' : 'pass';
};

/** "2xx with no body", "2xx without body". */
const noBody: Reader = ({ text, response, garbage }) => {
  if (!/(?:no|without(?: a)?|empty) (?:response )?body/i.test(text) || !ok(response)) return undefined;
  return response.body.length === 0 && !garbage ? 'pass' : 'fail';
};

/** "405 + Allow header", "2xx with Allow header", "304 with ETag". A status other than the named one is the table's affair. */
const withField: Reader = ({ text, response }) => {
  const match =
    /([1-5](?:xx|[0-9]{2}))\s*(?:\+|with)\s*(?:an? )?([A-Z][A-Za-z]*(?:-[A-Za-z]+)*)(?: header| field)?\s*(?:$|[,;(])/.exec(
      text,
    );
  if (match === null || !statusIs(match[1] ?? '', response.status)) return undefined;
  return fieldOf(response, match[2] ?? '') === undefined
    ? response.status === 304 || ok(response)
      ? 'warn'
      : 'fail'
    : 'pass';
};

/** "304", "200" of a conditional request. Another success is an origin without validators: remarked, not failed. */
const conditional: Reader = ({ text, response }) => {
  const wanted = /^(304|200)\b/.exec(text)?.[1];
  if (wanted === undefined) return undefined;
  if (response.status === Number(wanted)) return 'pass';
  return ok(response) || response.status === 304 ? 'warn' : 'fail';
};

/** "2xx + echo", and every other 2xx that a request with content is to get: the content comes back as it was sent. */
const echo: Reader = ({ text, response, request }) => {
  if (!/2xx|200/.test(text) || !ok(response) || request === undefined || request.method !== 'POST') return undefined;
  if (request.body.length === 0 && !/echo/i.test(text)) return undefined;
  const [path] = request.target.split('?', 1);
  return path !== '/' || response.body.equals(request.body) ? 'pass' : 'fail';
};

function statusIs(pattern: string, status: number): boolean {
  return pattern.endsWith('xx') ? Math.floor(status / 100) === Number(pattern[0]) : status === Number(pattern);
}

const READERS: readonly Reader[] = [normalisation, inBody, withoutBytes, noBody, withField, conditional, echo];
