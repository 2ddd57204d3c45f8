/** Redirects: where one leads, and whether it leads anywhere else than where the client is. */
import type { RedirectParts } from '../../snapshot/respond-plans.ts';
import type { RedirectPlan } from '../../snapshot/route-plans.ts';
import type { Exchange } from '../exchange.ts';
import type { UpstreamPaths } from './upstream-target.ts';

const HTTPS_PORT = 443;
const HTTP_PORT = 80;

/** Where the route sends this client; `''`: the request goes on. Asked by the stage that would look for a cell, and by the one that answers. */
export function redirectOf(x: Exchange, paths: UpstreamPaths): string {
  const redirect = x.route?.respond.redirect ?? null;
  if (redirect === null) return '';
  return (x.location ??= locationOf(x, redirect, paths));
}

function locationOf(x: Exchange, redirect: RedirectPlan, paths: UpstreamPaths): string {
  const { to } = redirect;
  // HTTPS is not redirected to itself.
  if (to === 'https') return x.secure ? '' : httpsLocation(x, redirect.httpsPort);
  return 'location' in to ? to.location : changedLocation(x, to, paths);
}

function httpsLocation(x: Exchange, port: number): string {
  const authority = port === HTTPS_PORT ? x.host : `${x.host}:${port}`;
  return `https://${authority}${withQuery(x.encodedPath, x.query)}`;
}

function changedLocation(x: Exchange, to: RedirectParts, paths: UpstreamPaths): string {
  const path = paths.changed(x, to);
  // What has no canonical form leads nowhere; where the route forwards, the same would be refused there.
  if (path === null) return '';
  const query = to.stripQuery ? '' : x.query;
  const own = x.secure ? 'https' : 'http';
  const scheme = to.scheme ?? own;
  const host = to.host ?? x.host;
  const port = to.port !== 0 ? to.port : to.scheme === null && to.host === null ? portOf(x, own) : usual(scheme);
  const moved = scheme !== own || host !== x.host || port !== portOf(x, own);
  if (!moved && path === x.encodedPath && query === x.query) return '';
  // Relative to where the client is: right also where a proxy in front has another name or port.
  if (to.scheme === null && to.host === null && to.port === 0) return withQuery(path, query);
  return `${scheme}://${port === usual(scheme) ? host : `${host}:${port}`}${withQuery(path, query)}`;
}

function withQuery(path: string, query: string): string {
  return query === '' ? path : `${path}?${query}`;
}

function usual(scheme: string): number {
  return scheme === 'https' ? HTTPS_PORT : HTTP_PORT;
}

/** The port that the client has asked at, by its own word: normalize has checked its form. */
function portOf(x: Exchange, scheme: string): number {
  const authority = x.wire.host;
  const colon = authority.lastIndexOf(':');
  if (colon <= authority.lastIndexOf(']') || colon === authority.length - 1) return usual(scheme);
  return Number(authority.slice(colon + 1));
}
