/** Runs the steps of one case on one raw connection and tells what happened, without judging it. */
import type { Ending } from '../../harness/raw-client.ts';
import { RawConnection } from '../../harness/raw-client.ts';
import { answerIsDue, type Message, readStream } from './reference.ts';
import { type ReadResponse, readResponses } from './responses.ts';

/** No byte and no close within this time where an answer or a close is due is a stall. */
export const STALL_MS = 2_000;
/** After an answer: how long a second answer or the close is waited for. */
export const LINGER_MS = 150;

export interface Step {
  readonly label: string;
  /** The bytes, or how to make them from the answer to the step before. */
  readonly parts: (previous: ReadResponse | undefined) => readonly StepPart[];
}

export interface StepPart {
  readonly bytes: Buffer;
  /** Pause before the next part, milliseconds. */
  readonly delayMs: number;
}

/** A step of bytes sent at once. */
export function step(bytes: Buffer, label = ''): Step {
  return { label, parts: () => [{ bytes, delayMs: 0 }] };
}

export interface StepSeen {
  readonly executed: boolean;
  readonly sent: Buffer;
  /** How the strict reader reads what was sent. */
  readonly messages: readonly Message[];
  readonly responses: readonly ReadResponse[];
  /** Bytes came that are no response. */
  readonly garbage: boolean;
  readonly receivedBytes: number;
  readonly ending: Ending;
  /** An answer or a close was due, and neither came. */
  readonly stalled: boolean;
}

export interface Target {
  readonly host: string;
  readonly port: number;
}

/** The final response of a step: interim ones (1xx but 101) do not count. */
export function finalResponse(seen: StepSeen): ReadResponse | undefined {
  return seen.responses.find((response) => response.status >= 200 || response.status === 101) ?? seen.responses[0];
}

export async function observe(
  target: Target,
  localAddress: string,
  steps: readonly Step[],
  stallMs = STALL_MS,
): Promise<StepSeen[]> {
  const connection = await RawConnection.open({ ...target, localAddress });
  const seen: StepSeen[] = [];
  try {
    let previous: ReadResponse | undefined;
    for (const { parts } of steps) {
      if (connection.closed) {
        seen.push({
          executed: false,
          sent: Buffer.alloc(0),
          messages: [],
          responses: [],
          garbage: false,
          receivedBytes: 0,
          ending: connection.ending,
          stalled: false,
        });
        continue;
      }
      const one = await runStep(connection, parts(previous), stallMs);
      seen.push(one);
      previous = finalResponse(one);
    }
  } finally {
    connection.destroy();
  }
  return seen;
}

async function runStep(connection: RawConnection, parts: readonly StepPart[], stallMs: number): Promise<StepSeen> {
  const before = connection.receivedBytes;
  for (const part of parts) {
    connection.send(part.bytes);
    if (part.delayMs > 0) await connection.untilClosed(part.delayMs);
    if (connection.closed) break;
  }
  const sent = Buffer.concat(parts.map((part) => part.bytes));
  const messages = readStream(sent);
  const methods = messages.map((message) => message.method);
  const wanted = Math.max(1, messages.filter((message) => message.outcome === 'complete').length);
  const finals = (received: Buffer): number =>
    readResponses(received.subarray(before), methods, connection.closed).responses.filter(
      (response) => response.complete && response.status >= 200,
    ).length;
  await connection.until((received) => received.length > before, stallMs);
  if (connection.receivedBytes > before) {
    await connection.until((received) => finals(received) >= wanted, stallMs);
    await connection.untilClosed(LINGER_MS);
  }
  const received = connection.received().subarray(before);
  const { responses, garbage } = readResponses(received, methods, connection.closed);
  return {
    executed: true,
    sent,
    messages,
    responses,
    garbage,
    receivedBytes: received.length,
    ending: connection.ending,
    stalled: received.length === 0 && !connection.closed && answerIsDue(messages),
  };
}
