/** How a body is coded, so that it is not what rules would understand (RFC 9110 §8.4). */
import type { WafCoding } from '../../snapshot/waf-batch.ts';

/** What a request and an answer both have. */
interface Fields {
  readonly headerCount: number;
  headerName(index: number): string;
  headerValue(index: number): string;
  header(name: string): string | undefined;
}

/** Value of Content-Encoding in lower case; several fields are one list. `''`: the body is as it is. */
export function codingOf(message: Fields): string {
  // Almost always, and then no text is made of any other field's name.
  if (message.header('content-encoding') === undefined) return '';
  let coding = '';
  for (let i = 0; i < message.headerCount; i++) {
    if (message.headerName(i) !== 'content-encoding') continue;
    const value = message.headerValue(i).toLowerCase();
    if (value !== 'identity' && value !== '') coding = coding === '' ? value : `${coding},${value}`;
  }
  return coding;
}

/** What is to be done to a body before rules see it, of which `packedBytes` were packed (none, if it was lent); null: nothing. Of a body that is longer than `decodedBytesMax` once decoded, the begin may be enough. */
export function decodingOf(
  coding: string,
  packer: { readonly bodyAt: number },
  packedBytes: number,
  decodedBytesMax: number,
  beginIsEnough: boolean,
): WafCoding | null {
  return coding === ''
    ? null
    : { coding, bodyAt: packer.bodyAt, bodyBytes: packedBytes, decodedBytesMax, beginIsEnough };
}
