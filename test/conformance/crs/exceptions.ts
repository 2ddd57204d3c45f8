/**
 * Where a test is not about rules but about HTTP itself: classes by what the test is, each with its reason. A test never has its own row. These tests go through
 * a socket of a gateway, which must answer as the row says.
 */
import { type Finding, REFUSALS_BY_RFC } from '../http1/findings.ts';
import { readStream } from '../http1/reference.ts';
import type { Stage } from './cases.ts';
import { isOfLog } from './judge.ts';

export interface ExceptionRow {
  readonly class: string;
  readonly reason: string;
  /** `instead`: the engine is not asked at all. `otherwise`: only when it did not log as expected. */
  readonly when: 'instead' | 'otherwise';
  readonly applies: (stage: Stage, bytes: Buffer) => boolean;
  /** The statuses that the gateway may answer with; undefined stands for a close without an answer. */
  readonly statuses: (stage: Stage, bytes: Buffer) => readonly (number | undefined)[];
}

/** What makes bytes no request at all: lines, framing, version. Targets and values that break the grammar are what rules are about. */
const NO_REQUEST: ReadonlySet<Finding> = new Set<Finding>([
  'bare-lf',
  'bare-cr',
  'control',
  'request-line',
  'method',
  'version',
  'line-folding',
  'space-before-colon',
  'field-name',
  'host-missing',
  'host-repeated',
  'host-malformed',
  'content-length',
  'transfer-encoding',
  'both-framings',
]);

/** Read from top to bottom; the first that applies counts. */
export const EXCEPTIONS: readonly ExceptionRow[] = [
  {
    class: 'answer-only',
    reason: 'the test names a status and no rule: it is about how a server answers what is no request, before rules',
    when: 'instead',
    applies: ({ output }) => !isOfLog(output) && output.status !== undefined,
    statuses: ({ output }, bytes) => (output.status === 400 ? refusals(bytes) : [output.status]),
  },
  {
    class: 'error-only',
    reason: 'the test wants the server to fail to answer; a refusal is one better',
    when: 'instead',
    applies: ({ output }) => !isOfLog(output) && output.error,
    statuses: (_, bytes) => [undefined, ...refusals(bytes)],
  },
  {
    class: 'not-http',
    reason:
      'the bytes are no request by RFC 9112 (framed twice, folded or broken lines, control bytes, another version …): tests of rules over them rely on how one lenient server mends them. The gateway mends nothing and refuses, so that no rule and no upstream sees a request that could be read in two ways',
    when: 'otherwise',
    applies: (_, bytes) => findingsOf(bytes).some((finding) => NO_REQUEST.has(finding)),
    statuses: (_, bytes) => refusals(bytes),
  },
];

function findingsOf(bytes: Buffer): readonly Finding[] {
  return [...(readStream(bytes)[0]?.findings ?? [])];
}

/** 400, and what the RFC names for the faults of these bytes. */
function refusals(bytes: Buffer): readonly number[] {
  return [400, ...findingsOf(bytes).flatMap((finding) => REFUSALS_BY_RFC[finding] ?? [])];
}
