/** Requests made of those of a suite by small changes, the same ones for the same seed. */
import type { WafRequest } from '../../../src/native/waf.ts';
import { readRequest } from './request.ts';

const PIECES =
  '%00 %27 %3c + %2f %u0027 %5c \\ " \' / . ; & = -- %0a <!-- %c3%a9 %ff \xe9 /* */ : @ .. $ { } ( ) | ` \t % %2 &#x3c; \\x3c \\u003c'.split(
    ' ',
  );
/** Bytes of another request that are put in at most. */
const GRAFT_BYTES_MAX = 30;
/** Changes of one text at most. */
const CHANGES_MAX = 3;

/** Numbers below `n`, one after another (mulberry32). */
export function numbers(seed: number): (n: number) => number {
  let state = seed | 0;
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

export class Mutations {
  readonly #requests: readonly WafRequest[];
  readonly #texts: readonly string[];
  readonly #below: (n: number) => number;

  constructor(requests: readonly WafRequest[], seed: number) {
    this.#requests = requests;
    this.#below = numbers(seed);
    this.#texts = requests.flatMap((request) => [
      request.target,
      Buffer.from(request.body ?? []).toString('latin1'),
      ...(request.headers ?? []).map(([, value]) => value),
    ]);
  }

  /** One request with its target, its body or a field changed, and now and then the query of another one as its cookies. */
  next(): WafRequest {
    const from = this.#pick(this.#requests) ?? readRequest(Buffer.alloc(0));
    const headers = (from.headers ?? []).map(([name, value]): [string, string] => [name, value]);
    let { target, body } = from;
    const what = this.#below(4);
    if (what === 1 && body !== undefined && body.length > 0) {
      body = Buffer.from(this.#changed(Buffer.from(body).toString('latin1')), 'latin1');
      for (const field of headers) if (field[0].toLowerCase() === 'content-length') field[1] = String(body.length);
    } else if (what < 2) target = oneLine(this.#changed(target));
    else {
      const field = this.#pick(headers);
      if (field !== undefined) field[1] = oneLine(this.#changed(field[1]));
    }
    const query = this.#pick(this.#requests)?.target.split('?')[1];
    if (query !== undefined && this.#below(6) === 0) headers.push(['Cookie', query.replaceAll('&', ';')]);
    return { ...from, target, headers, ...(body === undefined ? {} : { body }) };
  }

  #changed(text: string): string {
    let out = text;
    for (let left = 1 + this.#below(CHANGES_MAX); left > 0; left--) {
      const at = this.#below(out.length + 1);
      const [before, after] = [out.slice(0, at), out.slice(at)];
      switch (this.#below(7)) {
        case 0:
          out = before + after.slice(1 + this.#below(4));
          break;
        case 1:
          out = before + (this.#pick(PIECES) ?? '') + after;
          break;
        case 2: {
          const other = this.#pick(this.#texts) ?? '';
          const from = this.#below(other.length + 1);
          out = before + other.slice(from, from + this.#below(GRAFT_BYTES_MAX)) + after;
          break;
        }
        case 3:
          out = before + after.toUpperCase();
          break;
        case 4:
          out = before + after.slice(0, 5) + after;
          break;
        case 5:
          out = `${before}%${after.charCodeAt(0).toString(16).slice(-2).padStart(2, '0')}${after.slice(1)}`;
          break;
        default:
          out = before + String.fromCharCode(this.#below(256)) + after.slice(1);
      }
    }
    return out;
  }

  #pick<T>(list: readonly T[]): T | undefined {
    return list[this.#below(Math.max(1, list.length))];
  }
}

function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex -- what no line of a head can hold
  return text.replaceAll(/[\u0000\r\n]/g, '');
}
