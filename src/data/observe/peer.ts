/** The peer's address as text, for requests that were refused before normalize had settled whose address counts. */
export function peerText(address: Uint8Array): string {
  if (address.length === 4) return address.join('.');
  if (address.length !== 16) return '';
  // RFC 5952 §4 without the compression of zeros: for a record, not for comparison.
  let text = '';
  for (let i = 0; i < 16; i += 2) {
    text += (i === 0 ? '' : ':') + (((address[i] as number) << 8) | (address[i + 1] as number)).toString(16);
  }
  return text;
}
