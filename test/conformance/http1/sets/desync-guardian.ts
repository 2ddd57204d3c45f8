/**
 * h1-desync-guardian: heads with a tier. A strict gateway refuses Severe and Ambiguous (or closes after Ambiguous), serves Compliant, and may do
 * either with Acceptable. Host and a body that fits the framing are added.
 */
import { bytesOf, textField } from '../../data.ts';
import { type Http1Case, hostOf } from '../case.ts';
import { bodyFor, withHost } from '../complete-request.ts';
import { judge, type Wish } from '../judge.ts';
import { step } from '../observe.ts';

export const SET = 'h1-desync-guardian';

const WISHES: Readonly<Record<string, Wish>> = {
  Compliant: 'serve',
  Acceptable: 'either',
  Ambiguous: 'ambiguous',
  Severe: 'refuse',
};

export function casesOf(list: readonly Record<string, unknown>[], from: number): Http1Case[] {
  return list.map((entry, n) => {
    const host = hostOf(from + n);
    const raw = bytesOf(textField(entry, 'raw_latin1'));
    const head = entry['has_host'] === true ? raw : withHost(raw, host);
    const tier = textField(entry, 'expected_tier');
    const wish = WISHES[tier];
    if (wish === undefined) throw new Error(`${SET}/${textField(entry, 'id')}: unknown tier "${tier}"`);
    const bytes = Buffer.concat([head, bodyFor(head, host)]);
    return { set: SET, id: textField(entry, 'id'), steps: [step(bytes)], judge: (seen) => judge(wish, seen) };
  });
}
