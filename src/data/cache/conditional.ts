/** Conditional requests (RFC 9110 §13) of clients, answered from what is stored. */
import { parseHttpDate } from './date.ts';
import type { FieldLines } from './fields.ts';
import { firstOf } from './fields.ts';

/** Characters of If-None-Match that are read; a longer one matches nothing. */
const TAGS_CHARS_MAX = 8_192;
/** An entity tag, or what comes near to one. */
const TAG = /(?:[Ww]\/)?"[^"]*"|[^\s,]+/g;

/** Weak comparison (RFC 9110 §8.8.3.2) of a stored ETag with a list. */
export function tagMatches(list: string, etag: string | undefined): boolean {
  if (list.trim() === '*') return true;
  if (etag === undefined || list.length > TAGS_CHARS_MAX) return false;
  const wanted = opaque(etag);
  return (list.match(TAG) ?? []).some((tag) => opaque(tag) === wanted);
}

function opaque(tag: string): string {
  return tag.startsWith('W/') ? tag.slice(2) : tag;
}

/** Strong comparison: neither may be weak. */
export function tagIsStrong(tag: string): boolean {
  return tag.startsWith('"') && tag.endsWith('"') && tag.length >= 2;
}

export interface ClientConditions {
  readonly ifNoneMatch: string | undefined;
  readonly ifModifiedSince: string | undefined;
}

/** True when the client has what is stored: it gets a 304 (RFC 9111 §4.3.2). `cameAt`: when it was stored, epoch ms. */
export function clientHasIt(conditions: ClientConditions, stored: FieldLines, cameAt: number, now: number): boolean {
  const { ifNoneMatch, ifModifiedSince } = conditions;
  if (ifNoneMatch !== undefined) return tagMatches(ifNoneMatch, firstOf(stored, 'etag'));
  if (ifModifiedSince === undefined) return false;
  const since = parseHttpDate(ifModifiedSince, now);
  if (Number.isNaN(since)) return false;
  // Without Last-Modified its Date counts, else the time of its arrival.
  for (const name of ['last-modified', 'date']) {
    const time = parseHttpDate(firstOf(stored, name) ?? '', now);
    if (!Number.isNaN(time)) return time <= since;
  }
  return cameAt <= since;
}

/** Fields of a 304 (RFC 9110 §15.4.5): those that tell of the answer, none that describe the content that is not sent. */
export function notModifiedFields(stored: FieldLines): string[] {
  const fields: string[] = [];
  for (let i = 0; i < stored.length; i += 2) {
    const name = stored[i] as string;
    const describes = name.startsWith('content-') && name !== 'content-location';
    if (!describes) fields.push(name, stored[i + 1] as string);
  }
  return fields;
}

/** Whether a request with If-Range gets the part (RFC 9110 §13.1.5): its validator must be the stored one, and strong. */
export function rangeHolds(ifRange: string | undefined, stored: FieldLines): boolean {
  if (ifRange === undefined) return true;
  const tag = ifRange.trim();
  if (tag.includes('"')) return tagIsStrong(tag) && tag === firstOf(stored, 'etag');
  return tag === firstOf(stored, 'last-modified');
}
