/** A thread of the WAF pool: packed requests and answers in, packed verdicts out. */
import { workerData } from 'node:worker_threads';
import { openNative } from '../../native.ts';
import {
  verdictBytes,
  verdictWanted,
  WAF_KEPT_BYTES_MAX,
  WAF_VERDICT_BYTES_MAX,
  WAF_WANTED_NOTHING,
} from '../../native/waf.ts';
import type { LentBody, WafBatch, WafCoding, WafReply } from '../../snapshot/waf-batch.ts';
import { decodedPacked } from './decoded.ts';

const { addonPath } = workerData as { readonly addonPath: string };
const native = openNative(addonPath);
const out = Buffer.allocUnsafeSlow(WAF_VERDICT_BYTES_MAX);
const room = Buffer.allocUnsafeSlow(WAF_KEPT_BYTES_MAX);

/** piscina calls this with each batch. */
export default function match(batch: WafBatch): WafReply {
  const kept: (ArrayBuffer | null)[] = [];
  const verdicts = batch.requests.map((memory, i) => {
    const handle = batch.handles[i] ?? 0;
    const profile = batch.profiles[i] ?? 0;
    const coding = batch.codings[i] ?? null;
    const lent = batch.lent[i] ?? null;
    const packed = coding === null ? new Uint8Array(memory) : decodedOf(new Uint8Array(memory), coding, lent);
    const before = batch.kept[i] ?? null;
    kept[i] = null;
    if (packed === null) return null;
    if (typeof packed === 'number') return Uint8Array.of(packed).buffer;
    // A body that was decoded is packed now.
    const seen = coding === null ? lent : null;
    if (before === null) {
      native.wafInspect(handle, profile, packed, packed.length, out, seen);
      if (verdictWanted(out) !== WAF_WANTED_NOTHING) kept[i] = keep(handle, profile);
    } else native.wafInspectResponse(handle, profile, new Uint8Array(before), packed, packed.length, out, seen);
    return out.buffer.slice(out.byteOffset, out.byteOffset + verdictBytes(out));
  });
  return { ids: batch.ids, verdicts, kept };
}

/** With its body decoded; null: the body is gone, since nobody waits for its verdict. */
function decodedOf(packed: Uint8Array, coding: WafCoding, lent: LentBody | null): Uint8Array | number | null {
  if (lent === null) return decodedPacked(packed, coding);
  const body = native.wafLentBody(lent);
  return body === null ? null : decodedPacked(packed, coding, body);
}

/** What the answer's rules will need of the request that was just inspected; null when it cannot be kept. */
function keep(handle: number, profile: number): ArrayBuffer | null {
  const length = native.wafKeep(handle, profile, room);
  return length <= 0 ? null : room.buffer.slice(room.byteOffset, room.byteOffset + length);
}
