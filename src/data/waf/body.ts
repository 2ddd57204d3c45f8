/** The collected body of a request or an answer on its way to the engine: by its number where a transport keeps it in native memory, else as bytes. */
import type { WafLentBody } from '../../native/waf.ts';

/** What a wire and an upstream's answer both say of a collected body. */
interface Collected {
  readonly body: Uint8Array;
  readonly inspectedBytes?: number;
  lendBody?(): number;
}

const NO_BODY = new Uint8Array(0);

/** Bytes that were collected. */
export function collectedBytes(message: Collected): number {
  return message.inspectedBytes ?? message.body.length;
}

/** Number of the body for native code; 0: there is none, or it is in JavaScript only. */
export function lentNumber(message: Collected, bytes: number): number {
  return bytes === 0 || message.lendBody === undefined ? 0 : message.lendBody();
}

/** The bytes that are to be packed: none, if the body was lent. */
export function packedBody(message: Collected, bytes: number, lent: number): Uint8Array {
  return bytes === 0 || lent !== 0 ? NO_BODY : message.body;
}

/** The same for a call that takes no numbers. */
export function lentBody(number: number, bytes: number): WafLentBody | null {
  return number === 0 ? null : { number, bytes };
}

/** The first bytes of a buffer, in memory of their own. */
export function copied(buffer: Buffer, length: number): ArrayBuffer {
  const { buffer: memory, byteOffset } = buffer as Buffer<ArrayBuffer>;
  return memory.slice(byteOffset, byteOffset + length);
}
