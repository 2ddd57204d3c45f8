/** A thread of the WAF pool: packed requests in, packed verdicts out. */
import { workerData } from 'node:worker_threads';
import { openNative } from '../../native.ts';
import { verdictBytes, WAF_VERDICT_BYTES_MAX } from '../../native/waf.ts';
import type { WafBatch, WafReply } from '../../snapshot/waf-batch.ts';
import { decodedRequest } from './decoded-request.ts';

const { addonPath } = workerData as { readonly addonPath: string };
const native = openNative(addonPath);
const out = Buffer.allocUnsafeSlow(WAF_VERDICT_BYTES_MAX);

/** piscina calls this with each batch. */
export default function match(batch: WafBatch): WafReply {
  const verdicts = batch.requests.map((memory, i) => {
    const coding = batch.codings[i] ?? null;
    const request = coding === null ? new Uint8Array(memory) : decodedRequest(new Uint8Array(memory), coding);
    if (typeof request === 'number') return Uint8Array.of(request).buffer;
    native.wafInspect(batch.handles[i] ?? 0, batch.profiles[i] ?? 0, request, request.length, out);
    return out.buffer.slice(out.byteOffset, out.byteOffset + verdictBytes(out));
  });
  return { ids: batch.ids, verdicts };
}
