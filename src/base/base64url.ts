/** Strict base64url (RFC 4648 §5). */

/** Strict base64url without padding (RFC 7515 §2): what decodes must encode back to the same text. */
const SEGMENT = /^[A-Za-z0-9_-]+$/;

/** Unused bits of the last character must be zero, or two texts mean the same. */
export function isBase64Url(segment: string): boolean {
  const tail = segment.length % 4;
  if (tail === 1 || !SEGMENT.test(segment)) return false;
  if (tail === 0) return true;
  const last = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'.indexOf(segment.slice(-1));
  return (last & (tail === 2 ? 15 : 3)) === 0;
}
