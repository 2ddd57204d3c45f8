/** Processes pinned to a core, and what they have used of it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';

/** The core that the measured proxy has to itself, and the one for load and upstream. */
export const PROXY_CORE = 0;
export const LOAD_CORE = 1;
/** Clock ticks per second of /proc (sysconf(_SC_CLK_TCK) on every Linux that Node runs on). */
const TICKS = 100;
const LISTEN_TRIES = 400;

/** What runs now; nothing of it outlives this process. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts a program on one core. Its output is kept for the error if it ends early. */
export function pinned(
  core: number | null,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): ChildProcess {
  const [file = '', ...args] = core === null ? argv : ['taskset', '-c', String(core), ...argv];
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, ...env } });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/** A process with its children, as pids. */
function family(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {
      // It has ended meanwhile.
    }
  }
  const all = [pid];
  for (let i = 0; i < all.length; i++) for (const [child, parent] of parents) if (parent === all[i]) all.push(child);
  return all;
}

/** CPU seconds. */
export interface CpuTimes {
  readonly own: number;
  /** In system calls, and in what the kernel did on their behalf. */
  readonly system: number;
}

/** CPU time that a process and its children have used so far. */
export function cpuTimes(pid: number): CpuTimes {
  let own = 0;
  let system = 0;
  for (const p of family(pid)) {
    const stat = readFileSync(`/proc/${p}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    own += Number(fields[11]);
    system += Number(fields[12]);
  }
  return { own: own / TICKS, system: system / TICKS };
}

/** Resident memory of a process and its children. Unit: MiB. */
export function rssMib(pid: number): number {
  let kib = 0;
  for (const p of family(pid))
    kib += Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${p}/status`, 'utf8'))?.[1] ?? 0);
  return kib / 1024;
}

/** Resolves when something accepts connections on a loopback port. */
export async function listening(port: number): Promise<void> {
  for (let i = 0; i < LISTEN_TRIES; i++) {
    const ok = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
    if (ok) return;
    await sleep(25);
  }
  throw new Error(`nothing listens on port ${port}`);
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export async function ended(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await exit;
  clearTimeout(timer);
}
