/** What a client takes (RFC 9110 §12.5.1). */

/** Characters of an Accept that are read, and ranges of it; a longer one counts as none. */
const ACCEPT_CHARS_MAX = 1_024;
const RANGES_MAX = 64;

/** How much a client wants one media type, 0 … 1, by the most specific range that holds; and how specific that was: 0 none, 1 any type, 2 any of the kind, 3 itself. */
export interface Wanted {
  readonly quality: number;
  readonly specific: number;
}

const ANYTHING: Wanted = { quality: 1, specific: 1 };

/** `type`: lower-case, without parameters. Without Accept everything is wanted. */
export function wanted(accept: string | undefined, type: string): Wanted {
  if (accept === undefined || accept.trim() === '' || accept.length > ACCEPT_CHARS_MAX) return ANYTHING;
  let quality = 0;
  let specific = 0;
  for (const range of accept.toLowerCase().split(',', RANGES_MAX)) {
    const [name = '', ...parameters] = range.split(';').map((part) => part.trim());
    const fits =
      name === type ? 3 : name === '*/*' ? 1 : name.endsWith('/*') && type.startsWith(name.slice(0, -1)) ? 2 : 0;
    if (fits <= specific) continue;
    specific = fits;
    quality = qualityOf(parameters);
  }
  return { quality, specific };
}

function qualityOf(parameters: readonly string[]): number {
  const weight = parameters.find((parameter) => parameter.startsWith('q='));
  if (weight === undefined) return 1;
  const value = Number(weight.slice(2));
  return value >= 0 && value <= 1 ? value : 0;
}
