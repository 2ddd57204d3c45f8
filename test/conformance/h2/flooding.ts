/** Runs one flood on many connections at once, asks good requests meanwhile, and judges. */
import { CONNECTIONS } from '../afterwards.ts';
import { readFileSync } from 'node:fs';
import type { CaseResult, Mark } from '../result.ts';
import { goodRequest, H2Connection, type H2Target, schemeOf, STALL_MS } from './connection.ts';
import { codeName, ping } from './frames.ts';
import type { Flood } from './floods.ts';

/** Time that one flood has, milliseconds: what is not sent by then is not sent. */
const FLOOD_MS = 4_000;
/** Frames that are written at once. */
const BATCH_BYTES = 16 * 1024;
const GOOD_TIMEOUT_MS = 5_000;
const GOOD_PAUSE_MS = 20;
/**
 * Growth of the gateway's memory that is bounded, bytes a connection: as many streams as peers commonly allow (100 and some), each with a head of the common
 * limit (32 KiB) held as it came and as it goes on.
 */
const GROWTH_BYTES_MAX = 10 * 1024 * 1024;
const SAMPLE_MS = 50;
const MARK = Buffer.from('the-end!', 'latin1');

interface Seen {
  /** Frames' repetitions that were written. */
  readonly sent: number;
  readonly ending: 'closed' | 'absorbed' | 'silent' | 'unreachable';
  /** Of the GOAWAY, if one came. */
  readonly code: number | undefined;
}

export async function runFlood(target: H2Target, flood: Flood, connections = CONNECTIONS): Promise<CaseResult> {
  const memory = new Memory(target.pid);
  const state = { over: false };
  const asking = askMeanwhile(target, state);
  const seen = await Promise.all(Array.from({ length: connections }, () => floodOnce(target, flood)));
  state.over = true;
  const good = await asking;
  // Once more when it is over.
  const after = await goodRequest(target, GOOD_TIMEOUT_MS);
  return judge(target, flood, seen, good, after, memory.end());
}

async function floodOnce(target: H2Target, flood: Flood): Promise<Seen> {
  let connection: H2Connection;
  try {
    connection = await H2Connection.open(target);
  } catch {
    return { sent: 0, ending: 'unreachable', code: undefined };
  }
  const scheme = schemeOf(target);
  const deadline = performance.now() + FLOOD_MS;
  const over = (): boolean => connection.closed || connection.goaway !== undefined;
  if (flood.deaf === true) connection.socket.pause();
  try {
    connection.send(flood.before(scheme));
    let n = 0;
    while (n < flood.repetitions && !over() && performance.now() < deadline) {
      const batch: Buffer[] = [];
      for (let bytes = 0; bytes < BATCH_BYTES && n < flood.repetitions; n++) {
        const frames = flood.repeat(n, scheme);
        batch.push(frames);
        bytes += frames.length;
      }
      connection.send(Buffer.concat(batch));
      if (connection.socket.writableNeedDrain) await connection.drained(deadline - performance.now());
      // Others have their turn, and what came is seen.
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (flood.deaf === true) connection.socket.resume();
    connection.send(ping(MARK));
    const marked = (): boolean => connection.frames.some((one) => one.payload.equals(MARK));
    await connection.until(() => over() || marked(), STALL_MS);
    const { goaway } = connection;
    const code = goaway === undefined ? undefined : H2Connection.codeOf(goaway);
    const failed = code !== undefined && code !== 0;
    if (failed) await connection.until(() => false, STALL_MS);
    const ending = connection.closed ? 'closed' : !failed && (marked() || goaway !== undefined) ? 'absorbed' : 'silent';
    return { sent: n, ending, code };
  } finally {
    connection.destroy();
  }
}

interface Asked {
  readonly count: number;
  readonly faults: readonly string[];
}

/** Good requests, one after the other, each on a connection of its own, until the flood is over. */
async function askMeanwhile(target: H2Target, state: { readonly over: boolean }): Promise<Asked> {
  const faults: string[] = [];
  let count = 0;
  while (!state.over) {
    const fault = await goodRequest(target, GOOD_TIMEOUT_MS);
    count += 1;
    if (fault !== undefined) faults.push(fault);
    await new Promise((resolve) => setTimeout(resolve, GOOD_PAUSE_MS));
  }
  return { count, faults };
}

/** Resident memory of a process, its peak since this was made. */
class Memory {
  readonly #pid: number | undefined;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #before: number;
  #peak: number;

  constructor(pid: number | undefined) {
    this.#pid = pid;
    this.#before = this.#now();
    this.#peak = this.#before;
    if (pid !== undefined)
      this.#timer = setInterval(() => {
        this.#peak = Math.max(this.#peak, this.#now());
      }, SAMPLE_MS);
  }

  /** Growth in bytes; undefined when no process is watched. */
  end(): number | undefined {
    clearInterval(this.#timer);
    return this.#pid === undefined ? undefined : Math.max(this.#peak, this.#now()) - this.#before;
  }

  #now(): number {
    if (this.#pid === undefined) return 0;
    try {
      const status = readFileSync(`/proc/${this.#pid}/status`, 'latin1');
      return Number(/^VmRSS:\s+([0-9]+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
    } catch (error) {
      // It is gone, which the good requests tell.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
      throw error;
    }
  }
}

function judge(
  target: H2Target,
  flood: Flood,
  seen: readonly Seen[],
  good: Asked,
  after: string | undefined,
  growth: number | undefined,
): CaseResult {
  const set = `h2-floods-${target.name}`;
  const count = (ending: Seen['ending']): number => seen.filter((one) => one.ending === ending).length;
  const codes = [...new Set(seen.map((one) => one.code).filter((code) => code !== undefined))].map(codeName);
  const most = Math.max(...seen.map((one) => one.sent));
  const memory = growth === undefined ? 'memory not watched' : `memory grew by ${Math.round(growth / 2 ** 20)} MiB`;
  const told = [
    ...(['closed', 'absorbed', 'silent', 'unreachable'] as const)
      .filter((ending) => count(ending) > 0)
      .map((ending) => `${count(ending)} ${ending}`),
    codes.length === 0 ? 'no code' : codes.join('/'),
    `at most ${most} of ${flood.repetitions} repetitions`,
    memory,
    `${good.count - good.faults.length} of ${good.count} good requests answered`,
    ...good.faults.slice(0, 1),
    ...(after === undefined ? [] : [`afterwards: ${after}`]),
  ].join(', ');
  const verdict = (mark: Mark, outcome: string, stall = false): CaseResult => ({
    id: `${set}/${flood.id}`,
    set,
    mark,
    stall,
    expected: `${flood.title}: the connection ends or its cost is bounded, and others are served meanwhile`,
    got: told,
    outcome,
  });
  if (good.faults.length > 0 || after !== undefined) {
    const silent = [...good.faults, after ?? ''].some((fault) => fault.startsWith('no answer'));
    return verdict('fail', 'starved', silent);
  }
  if (growth !== undefined && growth > GROWTH_BYTES_MAX * seen.length) return verdict('fail', 'grew');
  if (count('unreachable') > 0) return verdict('fail', 'unreachable');
  if (count('silent') > 0) return verdict('fail', 'stalled', true);
  return verdict('pass', count('absorbed') > 0 ? 'absorbed' : 'closed');
}
