/** A thread that writes records as fast as it can until it is told to stop; each field follows from the sequence number. */
import { parentPort, workerData } from 'node:worker_threads';
import { Int, RecordWriter, TEXTS, Wide } from '../../src/snapshot/records.ts';

const { memory, stop } = workerData as { memory: SharedArrayBuffer; stop: Int32Array };
const writer = new RecordWriter(memory);
for (let seq = 1; Atomics.load(stop, 0) === 0; seq++) {
  writer.open();
  for (const field of [Wide.StartedAt, Wide.BytesIn, Wide.BytesOut, Wide.TotalUs]) writer.wide(field, seq);
  for (const field of Object.values(Int)) writer.int(field, seq | 0);
  for (const [name] of TEXTS) writer.text(`${name} ${seq}`.slice(0, 16));
  writer.commit(seq);
  if (seq === 1000) parentPort?.postMessage('writing');
}
