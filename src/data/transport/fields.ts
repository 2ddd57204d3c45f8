/** Header field syntax and the fields that end at each hop (RFC 9110 §5, §7.6.1). */

/** A field name or method (RFC 9110 §5.6.2). */
export const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Anything that may not stand in a field value; one char per byte. */
export const NOT_IN_VALUE = /[^\t\x20-\x7e\x80-\xff]/;
/** Anything but printable ASCII and tab. */
export const NOT_ASCII_VALUE = /[^\t\x20-\x7e]/;

/**
 * True for lower-case names that never pass from one side to the other as they are: they concern the connection, or are written anew from what the
 * transport knows (Host, lengths). A switch on the length: this runs for every field of every message.
 */
export function endsHere(name: string): boolean {
  switch (name.length) {
    case 2:
      return name === 'te';
    case 4:
      return name === 'host';
    case 6:
      return name === 'expect';
    case 7:
      return name === 'upgrade' || name === 'trailer';
    case 10:
      return name === 'connection' || name === 'keep-alive';
    case 14:
      return name === 'content-length' || name === 'http2-settings';
    case 16:
      return name === 'proxy-connection';
    case 17:
      return name === 'transfer-encoding';
    case 18:
      return name === 'proxy-authenticate';
    case 19:
      return name === 'proxy-authorization';
    case 25:
      return name === 'proxy-authentication-info';
    default:
      return false;
  }
}

/** True when two lower-case names differ, but by underscores for hyphens alone: to CGI, WSGI, Rack and PHP they are one. */
export function isAlias(a: string, b: string): boolean {
  return a.length === b.length && a !== b && a.replaceAll('_', '-') === b.replaceAll('_', '-');
}

/** Calls `each` with every lower-case member of a comma-separated list of tokens. */
export function eachListed(list: string, each: (token: string) => void): void {
  for (const part of list.split(',')) {
    const token = part.trim().toLowerCase();
    if (token !== '') each(token);
  }
}

/** True when a comma-separated list of tokens holds this lower-case one. */
export function listHas(list: string, token: string): boolean {
  if (list.length === token.length) return list.toLowerCase() === token;
  let found = false;
  eachListed(list, (listed) => {
    found ||= listed === token;
  });
  return found;
}
