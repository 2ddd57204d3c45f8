/** The suite `http1`: five sets of raw requests through a gateway into a recording upstream. */
import { afterwards, CONNECTIONS, GOOD_TIMEOUT_MS } from '../afterwards.ts';
import type { DataDirectory } from '../data.ts';
import type { CaseResult } from '../result.ts';
import { RawConnection } from '../../harness/raw-client.ts';
import type { Http1Case } from './case.ts';
import { observe, STALL_MS, type StepSeen, type Target } from './observe.ts';
import type { RecordingUpstream, UpstreamRecord } from './recording-upstream.ts';
import { fieldOf, readResponses } from './responses.ts';
import * as desyncGuardian from './sets/desync-guardian.ts';
import * as gunicorn from './sets/gunicorn.ts';
import * as http11probe from './sets/http11probe.ts';
import * as llhttp from './sets/llhttp.ts';
import * as smuggler from './sets/smuggler.ts';

/** Time for what is still under way between gateway and upstream to arrive, before the records are read. */
const SETTLE_MS = 300;

interface Set1 {
  readonly set: string;
  readonly file: string;
  readonly casesOf: (list: readonly Record<string, unknown>[], from: number) => Http1Case[];
}

/** One row a set. Sets for the upstream side (responses of a hostile origin) will be rows of another table with another runner. */
const SETS: readonly Set1[] = [
  { set: http11probe.SET, file: 'cases.json', casesOf: http11probe.casesOf },
  { set: gunicorn.SET, file: 'cases.json', casesOf: gunicorn.casesOf },
  { set: desyncGuardian.SET, file: 'cases.json', casesOf: desyncGuardian.casesOf },
  { set: llhttp.SET, file: 'cases.json', casesOf: llhttp.casesOf },
  { set: smuggler.SET, file: 'gadgets.json', casesOf: smuggler.casesOf },
];

export interface Http1Options {
  readonly data: DataDirectory;
  readonly target: Target;
  readonly upstream: RecordingUpstream;
  readonly progress: (line: string) => void;
  /** Other than `STALL_MS` in tests of the suite itself only. */
  readonly stallMs?: number;
}

export async function runHttp1({
  data,
  target,
  upstream,
  progress,
  stallMs = STALL_MS,
}: Http1Options): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  await expectTagged(target, upstream);
  let from = 1;
  for (const { set, file, casesOf } of SETS) {
    const list = data.cases(set, file);
    if (list === undefined) continue;
    const cases = casesOf(list, from);
    const startedAt = performance.now();
    results.push(...(await runSet(cases, from, target, upstream, stallMs)));
    results.push(await afterwards(set, good(target)));
    from += cases.length;
    progress(`${set}: ${cases.length} cases in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  }
  return results;
}

/** Every case dials from an address of its own, which the gateway tells the upstream: so records find their case without a byte of it changed. */
export function clientAddress(index: number): string {
  return `127.${64 + ((index >> 16) & 63)}.${(index >> 8) & 255}.${index & 255}`;
}

async function runSet(
  cases: readonly Http1Case[],
  from: number,
  target: Target,
  upstream: RecordingUpstream,
  stallMs: number,
): Promise<CaseResult[]> {
  upstream.records.length = 0;
  const seen: (StepSeen[] | Error)[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let n = next++; n < cases.length; n = next++) {
      const one = cases[n];
      if (one === undefined) return;
      try {
        seen[n] = await observe(target, clientAddress(from + n), one.steps, stallMs);
      } catch (error) {
        seen[n] = error as Error;
      }
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, worker));
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const records = Map.groupBy(upstream.records, (record) => record.client);
  return cases.map((one, n) => verdictOf(one, seen[n], records.get(clientAddress(from + n)) ?? []));
}

function verdictOf(one: Http1Case, seen: StepSeen[] | Error | undefined, records: UpstreamRecord[]): CaseResult {
  const id = `${one.set}/${one.id}`;
  if (seen === undefined || seen instanceof Error) {
    const got = `the connection failed: ${seen?.message ?? 'never run'}`;
    return { id, set: one.set, mark: 'fail', stall: false, expected: 'a connection', got, outcome: 'unreachable' };
  }
  return { id, set: one.set, ...one.judge({ steps: seen, records }) };
}

/** GET and POST in turn. */
function good(target: Target): (n: number) => Promise<string | undefined> {
  return (n) => {
    const body = `after-${n}`;
    const request =
      n % 2 === 0
        ? `GET / HTTP/1.1\r\nHost: good.test\r\n\r\n`
        : `POST / HTTP/1.1\r\nHost: good.test\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    return goodAnswer(target, request, n % 2 === 0 ? 'OK' : body);
  };
}

/** Undefined when the request was answered as it must be, else what went wrong. */
async function goodAnswer(
  target: Target,
  request: string,
  body: string,
  localAddress?: string,
): Promise<string | undefined> {
  let connection: RawConnection;
  try {
    connection = await RawConnection.open({ ...target, ...(localAddress === undefined ? {} : { localAddress }) });
  } catch (error) {
    return (error as Error).message;
  }
  connection.send(request);
  const whole = await connection.until(
    (received) => readResponses(received, ['GET'], false).responses[0]?.complete === true,
    GOOD_TIMEOUT_MS,
  );
  const received = connection.received();
  connection.destroy();
  if (received.length === 0)
    return connection.closed ? 'closed without an answer' : `no answer within ${GOOD_TIMEOUT_MS} ms`;
  const [response] = readResponses(received, ['GET'], true).responses;
  if (!whole || response === undefined) return 'the answer is not whole';
  if (response.status !== 200 || response.body.latin1Slice() !== body)
    return `status ${response.status}, body ${JSON.stringify(response.body.toString('latin1', 0, 80))}`;
  return fieldOf(response, 'x-recorded') === undefined ? 'the answer is not the upstream’s' : undefined;
}

/** The run is worth nothing when records cannot be told apart: ask first. */
async function expectTagged(target: Target, upstream: RecordingUpstream): Promise<void> {
  const address = clientAddress(0);
  const fault = await goodAnswer(target, 'GET / HTTP/1.1\r\nHost: good.test\r\n\r\n', 'OK', address);
  if (fault !== undefined)
    throw new Error(`a good request does not pass through ${target.host}:${target.port}: ${fault}`);
  if (!upstream.records.some((record) => record.client === address)) {
    throw new Error(
      'the gateway does not tell the upstream its client’s address (X-Forwarded-For or Forwarded): records cannot be told apart',
    );
  }
}
