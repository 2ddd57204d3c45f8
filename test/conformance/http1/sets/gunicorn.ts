/**
 * h1-gunicorn: requests that gunicorn's parser accepts or rejects. Cases that need one of its own options (PROXY protocol, limits, compatibility
 * modes) or that it rejects for a limit of its own are asked for safety only.
 */
import { bytesOf, textField } from '../../data.ts';
import { type Http1Case, hostOf } from '../case.ts';
import { withHost } from '../complete-request.ts';
import { judge, type Wish } from '../judge.ts';
import { step } from '../observe.ts';

export const SET = 'h1-gunicorn';

export function casesOf(list: readonly Record<string, unknown>[], from: number): Http1Case[] {
  return list.map((entry, n) => {
    const raw = bytesOf(textField(entry, 'raw_latin1'));
    const bytes = entry['missing_host'] === true ? withHost(raw, hostOf(from + n)) : raw;
    const wish = wishOf(entry);
    return { set: SET, id: textField(entry, 'id'), steps: [step(bytes)], judge: (seen) => judge(wish, seen) };
  });
}

function wishOf(entry: Record<string, unknown>): Wish {
  const config = entry['gunicorn_config'];
  if (Array.isArray(config) && config.length > 0) return 'either';
  if (textField(entry, 'error_class').startsWith('Limit')) return 'either';
  return textField(entry, 'verdict').includes('accepts') ? 'serve' : 'refuse';
}
