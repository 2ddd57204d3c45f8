/** Rehearses a snapshot where a loop harms nobody: the control plane ends this thread when a request is not decided in time. */
import { parentPort, workerData } from 'node:worker_threads';
import { openNative } from '../../native.ts';
import type { RehearsalMessage, RehearsalSetup } from '../../snapshot/rehearsal.ts';
import { Rehearsal } from './rehearsal.ts';

const setup = workerData as RehearsalSetup;
const say = (message: RehearsalMessage): void => parentPort?.postMessage(message);

async function rehearse(): Promise<void> {
  const rehearsal = await Rehearsal.open(openNative(setup.addonPath), setup.snapshot, setup.requests);
  say('ready');
  for (const [index, request] of setup.requests.entries()) {
    try {
      say({ index, ok: true, rehearsed: await rehearsal.play(request) });
    } catch (error) {
      say({ index, ok: false, why: reasonOf(error) });
    }
  }
  rehearsal.close();
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

void rehearse();
