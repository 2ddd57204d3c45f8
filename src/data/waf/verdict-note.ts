/** What a packed verdict of the WAF says, into an exchange's record. */
import { readVerdict, sameVerdict, verdictBytes, type WafMatch, type WafVerdict } from '../../native/waf.ts';
import type { Exchange } from '../exchange.ts';

/** Score and matches of a request; answers why, in a line. */
export function noteRequest(x: Exchange, out: Buffer): string {
  const note = ofRequests.of(out);
  x.wafScore = note.score;
  x.wafMatches = note.matches;
  return note.why;
}

/** The same of its answer: the matches follow those of the request. */
export function noteAnswer(x: Exchange, out: Buffer): string {
  const note = ofAnswers.of(out);
  x.wafAnswerScore = note.score;
  const { wafMatches: before } = x;
  x.wafMatches = before.length <= NONE.length ? note.matches : `${before.slice(0, -1)},${note.matches.slice(1)}`;
  return `answer: ${note.why}`;
}

/** What a verdict says. */
interface Note {
  readonly score: number;
  /** JSON text. */
  readonly matches: string;
  readonly why: string;
}

/** Longest verdict whose note is kept. */
const KEPT_BYTES_MAX = 4_096;

/** Notes, the last one kept: where a rule finds the same in one request after another, it is written once. */
class Notes {
  readonly #bytesMax: number;
  readonly #last = Buffer.alloc(KEPT_BYTES_MAX);
  #note: Note | null = null;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  of(out: Buffer): Note {
    if (this.#note !== null && sameVerdict(out, this.#last)) return this.#note;
    const verdict = readVerdict(out);
    const note = { score: verdict.score, matches: told(verdict, this.#bytesMax), why: why(verdict) };
    const length = verdictBytes(out);
    this.#note = length > KEPT_BYTES_MAX ? null : note;
    if (length <= KEPT_BYTES_MAX) out.copy(this.#last, 0, 0, length);
    return note;
  }
}

/** Its rules can refuse nothing any more: they report. */
const LAST_PHASE = 5;
/** A list of no matches, or none. */
const NONE = '[]';

function why(verdict: WafVerdict): string {
  const limit = verdict.limit === 'none' ? '' : `, bound passed: ${verdict.limit}`;
  return `rule ${verdict.blockingRuleId}, score ${verdict.score}, ${verdict.matchCount} match(es)${limit}`;
}

/** Room for a request's matches in a record and for those of its answer (together `wafMatches` of snapshot/records.ts). Unit: bytes. */
const REQUEST_BYTES_MAX = 1_200;
const ANSWER_BYTES_MAX = 400;
const ofRequests = new Notes(REQUEST_BYTES_MAX);
const ofAnswers = new Notes(ANSWER_BYTES_MAX);
/** Longest value and message, from what is best read to what finds room when many rules matched. */
const DETAIL = [
  [100, 200],
  [32, 48],
  [12, 0],
  [0, 0],
] as const;

/**
 * The matches, each rule once for a variable, in as much detail as there is room for: rules and variables are what exclusions are made from. What finds no room even so is counted
 * (`more`), and the rule that decided is never among it.
 */
function told(verdict: WafVerdict, bytesMax: number): string {
  const { matches, blockingRuleId, matchCount } = verdict;
  const seen = new Set<string>();
  const kept = matches.filter((m) => {
    const key = `${m.ruleId} ${m.variable}`;
    return !seen.has(key) && seen.add(key);
  });
  // Those that the engine had no room for.
  const beyond = Math.max(0, matchCount - matches.length);
  let texts: string[] = [];
  for (const [value, message] of DETAIL) {
    texts = kept.map((m) => oneOf(m, blockingRuleId, value, message));
    const text = listOf(texts, beyond);
    if (Buffer.byteLength(text) <= bytesMax) return text;
  }
  // Those that decide come first, for the sake of room; then as many as there is room for, in their order.
  const order = texts
    .map((_, i) => i)
    .toSorted((a, b) => rank(kept[a], blockingRuleId) - rank(kept[b], blockingRuleId));
  const chosen = new Set<number>();
  let bytes = Buffer.byteLength(listOf([], matchCount));
  for (const i of order) {
    bytes += Buffer.byteLength(texts[i] ?? '') + 1;
    if (bytes > bytesMax) break;
    chosen.add(i);
  }
  return listOf(
    texts.filter((_, i) => chosen.has(i)),
    beyond + texts.length - chosen.size,
  );
}

function rank(m: WafMatch | undefined, blockingRule: number): number {
  return m !== undefined && decides(m, blockingRule) ? 0 : 1;
}

function decides(m: WafMatch, blockingRule: number): boolean {
  return m.ruleId === blockingRule || m.phase === LAST_PHASE;
}

function oneOf(m: WafMatch, blockingRule: number, value: number, message: number): string {
  return JSON.stringify({
    rule: m.ruleId,
    variable: m.variable,
    ...(value === 0 ? {} : { value: shortened(m.value, value) }),
    ...(message === 0 ? {} : { message: shortened(m.message, message) }),
    ...(decides(m, blockingRule) ? { decides: true } : {}),
  });
}

function listOf(texts: readonly string[], more: number): string {
  return `[${[...texts, ...(more > 0 ? [`{"more":${more}}`] : [])].join(',')}]`;
}

function shortened(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most)}…` : text;
}
