import type { Exchange } from '../exchange.ts';

/** True when the route answers this exchange with a redirect, so that it needs no cell. HTTPS is not redirected to itself: it goes on. */
export function redirects(x: Exchange): boolean {
  const redirect = x.route?.respond.redirect ?? null;
  return redirect !== null && !(redirect.to === 'https' && x.secure);
}
