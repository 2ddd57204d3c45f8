/** An endpoint that is a process of its own, so that it can be killed as only a process can. Run with a port, a name and, optionally, milliseconds per answer. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { freePorts } from '../harness/ports.ts';

const START_MS_MAX = 20_000;

export class EndpointProcess {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  #child: ChildProcess | null = null;

  private constructor(name: string, host: string, port: number) {
    this.name = name;
    this.host = host;
    this.port = port;
  }

  /** `host`: any address of this machine; `port`: a free one unless given. */
  static async start(name: string, host = '127.0.0.1', port?: number): Promise<EndpointProcess> {
    const [free = 0] = port === undefined ? await freePorts(1) : [port];
    const endpoint = new EndpointProcess(name, host, free);
    await endpoint.run();
    return endpoint;
  }

  get address(): string {
    return `${this.host}:${this.port}`;
  }

  /** Starts it (again) on its port; resolves when it listens. */
  async run(): Promise<void> {
    const child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', import.meta.filename, String(this.port), this.name, this.host],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    this.#child = child;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`endpoint ${this.name} does not listen`)), START_MS_MAX);
      child.stdout.once('data', () => {
        clearTimeout(timer);
        resolve();
      });
      child.once('exit', (code) => {
        clearTimeout(timer);
        reject(new Error(`endpoint ${this.name} ended with ${code ?? 'a signal'}`));
      });
    });
  }

  /** kill -9: nothing is said to anybody. Resolves when it is gone. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }
}

/** Answers its name after a moment, so that some requests are always under way; `/health` at once. */
function serve(port: number, name: string, host: string): void {
  createServer((request, response) => {
    request.resume();
    if (request.url === '/health') response.end('ok');
    else setTimeout(() => response.end(name), 3);
  }).listen(port, host, () => process.stdout.write('listening\n'));
}

const [, script, port, name, host] = process.argv;
if (script === import.meta.filename && port !== undefined && name !== undefined && host !== undefined)
  serve(Number(port), name, host);
