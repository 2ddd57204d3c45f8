/**
 * A gateway as a test wants it: a signed bundle made from an object, a bootstrap, a process of its own on free ports, ready when `start` resolves.
 * `stop` is part of every test: it asks for an orderly end and fails unless the process ends with code 0.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { buildBundle, type BundleParts, CHANNEL, makeKey, type SigningKey, writeBundle } from './bundle.ts';
import { testAuthority } from './certs.ts';
import { freePorts } from './ports.ts';

const PROJECT = resolve(import.meta.dirname, '../..');
/** Generous: a registry that is slow to answer is asked again after growing pauses. */
const READY_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 40_000;
const LOG_BYTES_MAX = 32 * 1024 * 1024;
const POLL_MS = 25;
/** For one answer of the probe or the admin listener: a machine that stands still for seconds is no fault. */
const ASK_TIMEOUT_MS = 30_000;
/** Within this time the lane has written the record of an answer that is there. */
const RECORD_WITHIN_MS = 20_000;
/** A process that was sent SIGKILL has ended after this. */
const KILLED_WITHIN_MS = 5_000;
const START_TRIES = 3;

export interface GatewayOptions {
  readonly bundle: BundleParts;
  /** Fields of the bootstrap that replace the harness's own: `lanes`, `secrets`, `limitBuckets` … */
  readonly bootstrap?: Readonly<Record<string, unknown>>;
  /** Fields of the plain and the TLS listener, such as `forwardedFrom`. */
  readonly listener?: Readonly<Record<string, unknown>>;
  /** TLS of the TLS listener, instead of the harness's own certificate. */
  readonly tls?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
  /** What to run instead of the sources: the single binary, say. */
  readonly command?: readonly string[];
  /** False: resolve as soon as the process runs, for tests of what happens without a bundle. */
  readonly awaitReady?: boolean;
  /** True: lanes may turn requests away since they are overloaded. Else `stop`, and the end of `Given`, fail when one did: no test but one of overload asks for more than a busy machine serves. */
  readonly sheds?: boolean;
}

/** Gateways that run. A test that dies, by a bug or by a signal, must not leave one behind. */
const running = new Set<ChildProcess>();

function killAll(): void {
  for (const child of running) child.kill('SIGKILL');
}

process.on('exit', killAll);
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.on(signal, () => {
    killAll();
    process.exit(code);
  });
}

interface Ports {
  readonly http: number;
  readonly https: number;
  readonly probes: number;
  readonly admin: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

export class TestGateway {
  readonly directory: string;
  readonly ports: Ports;
  readonly key: SigningKey;
  readonly #options: GatewayOptions;
  readonly #arguments: readonly string[];
  #process: ChildProcess;
  #stdout = '';
  #stderr = '';
  /** The running process has answered on its probe listener. */
  #told = false;
  #exit: { readonly code: number | null; readonly signal: NodeJS.Signals | null } | undefined;

  private constructor(
    directory: string,
    ports: Ports,
    key: SigningKey,
    options: GatewayOptions,
    args: readonly string[] = ['run', '--config', join(directory, 'bootstrap.yaml')],
  ) {
    this.directory = directory;
    this.ports = ports;
    this.key = key;
    this.#options = options;
    this.#arguments = args;
    this.#process = this.#spawn();
  }

  /** Resolves when `/readyz` says yes. Another process may have taken one of its ports meanwhile: then it is tried again with fresh ones. */
  static async start(options: GatewayOptions): Promise<TestGateway> {
    for (let tries = 1; ; tries++) {
      const directory = mkdtempSync(join(tmpdir(), 'cnx-gateway-'));
      const key = await makeKey(join(directory, 'keys'));
      const [http = 0, https = 0, probes = 0, admin = 0] = await freePorts(4);
      const ports = { http, https, probes, admin };
      writeFileSync(join(directory, 'trust.yaml'), JSON.stringify(key.trust));
      writeFileSync(join(directory, 'bootstrap.yaml'), JSON.stringify(bootstrapOf(ports, options), null, 2));
      mkdirSync(join(directory, 'bundles'));
      writeBundle(join(directory, 'source'), options.bundle);
      await buildBundle(join(directory, 'source'), join(directory, 'bundles'), key.keyFile);
      const gateway = new TestGateway(directory, ports, key, options);
      try {
        if (options.awaitReady !== false) await gateway.untilReady();
        return gateway;
      } catch (error) {
        await gateway.kill();
        if (tries >= START_TRIES || !/EADDRINUSE|already in use/i.test((error as Error).message)) throw error;
      }
    }
  }

  /**
   * Another process with the same files, ports and state that is to take this one's place; fields of the bootstrap may be others. Does not wait until it does. Whichever
   * of the two is stopped removes the files.
   */
  successor(bootstrap: Readonly<Record<string, unknown>> = {}): TestGateway {
    return this.#another(this.ports, bootstrap, ['--take-over']);
  }

  /** Another process with the same files and state, which does not know of this one; on ports of its own. */
  async double(bootstrap: Readonly<Record<string, unknown>> = {}): Promise<TestGateway> {
    const [http = 0, https = 0, probes = 0, admin = 0] = await freePorts(4);
    return this.#another({ http, https, probes, admin }, bootstrap, []);
  }

  #another(ports: Ports, bootstrap: Readonly<Record<string, unknown>>, more: readonly string[]): TestGateway {
    const options = { ...this.#options, bootstrap: { ...this.#options.bootstrap, ...bootstrap } };
    const file = join(this.directory, `bootstrap-${randomUUID()}.yaml`);
    writeFileSync(file, JSON.stringify(bootstrapOf(ports, options), null, 2));
    return new TestGateway(this.directory, ports, this.key, options, ['run', '--config', file, ...more]);
  }

  /** Resolves when the process has ended by itself, with its code. */
  async ended(timeoutMs = READY_TIMEOUT_MS): Promise<number | null> {
    const deadline = performance.now() + timeoutMs;
    while (this.#exit === undefined) {
      if (performance.now() > deadline) throw new Error(`it has not ended within ${timeoutMs} ms\n${this.#tail()}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return this.#exit.code;
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** What the gateway has printed so far: the access log among it. */
  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get running(): boolean {
    return this.#exit === undefined;
  }

  /** Builds, signs and publishes another bundle where the gateway looks for it; resolves with its digest. Unsigned when `signed` is false. */
  async publish(parts: BundleParts, { signed = true } = {}): Promise<string> {
    writeBundle(join(this.directory, 'source'), parts);
    return buildBundle(
      join(this.directory, 'source'),
      join(this.directory, 'bundles'),
      signed ? this.key.keyFile : undefined,
    );
  }

  /** GET on the probe listener: `/healthz`, `/readyz`, `/metrics`. */
  async probe(path: string): Promise<HttpAnswer> {
    const answer = await ask(this.ports.probes, path);
    this.#told = true;
    return answer;
  }

  /** GET on the admin listener, its JSON. What it explains has been answered: the record may come a little later, since the lane may be held up in between. */
  async admin(path: string): Promise<unknown> {
    const deadline = performance.now() + RECORD_WITHIN_MS;
    let answer = await ask(this.ports.admin, path);
    while (answer.status === 404 && path.startsWith('/v1/explain/') && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      answer = await ask(this.ports.admin, path);
    }
    const { status, body } = answer;
    if (status !== 200) throw new Error(`admin ${path}: ${status} ${body}`);
    return JSON.parse(body);
  }

  /** Resolves when `condition` holds, asked again and again; rejects with what the gateway printed when it ends first or time is up. */
  async until(
    what: string | (() => string),
    condition: () => boolean | Promise<boolean>,
    timeoutMs = READY_TIMEOUT_MS,
  ): Promise<void> {
    const said = (): string => (typeof what === 'string' ? what : what());
    const deadline = performance.now() + timeoutMs;
    while (!(await condition())) {
      if (this.#exit !== undefined)
        throw new Error(`the gateway ended (${this.#ending()}) before ${said()}\n${this.#tail()}`);
      if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${said()}\n${this.#tail()}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async untilReady(): Promise<void> {
    let failure = '';
    await this.until(
      () => `/readyz says yes${failure}`,
      async () => {
        try {
          return (await this.probe('/readyz')).status === 200;
        } catch (error) {
          // Nobody listens yet; if nobody ever does, this says why.
          failure = ` (${String(error)})`;
          return false;
        }
      },
    );
  }

  /** Resolves when a line on stdout or stderr matches. */
  async untilPrinted(pattern: RegExp, timeoutMs = READY_TIMEOUT_MS): Promise<void> {
    await this.until(
      `a line matches ${pattern}`,
      () => pattern.test(this.#stdout) || pattern.test(this.#stderr),
      timeoutMs,
    );
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** SIGTERM; resolves when the process has ended with code 0, rejects with its last words otherwise. The files are gone afterwards. */
  async stop(): Promise<void> {
    const shed = await this.shed().catch(async (error: unknown) => {
      await this.kill();
      throw error;
    });
    if (this.#exit === undefined) this.#process.kill('SIGTERM');
    const deadline = performance.now() + STOP_TIMEOUT_MS;
    while (this.#exit === undefined && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    const ended = this.#exit;
    const tail = this.#tail();
    await this.kill();
    if (ended === undefined)
      throw new Error(`the gateway did not end within ${STOP_TIMEOUT_MS} ms of SIGTERM\n${tail}`);
    if (ended.code !== 0) throw new Error(`the gateway ended with ${this.#ending()}\n${tail}`);
    if (shed.length > 0) throw new Error(`the gateway took itself for overloaded:\n${shed.join('\n')}`);
  }

  /**
   * What its metrics say of requests that were turned away since a lane was overloaded, where `sheds` does not allow it. Nothing of a process that has ended, or never told of itself; one that
   * did and does not answer any more is an error.
   */
  async shed(): Promise<readonly string[]> {
    if (this.#exit !== undefined || !this.#told || this.#options.sheds === true) return [];
    let metrics: HttpAnswer;
    try {
      metrics = await this.probe('/metrics');
    } catch (error) {
      // Killed by its test a moment ago, perhaps.
      const until = performance.now() + KILLED_WITHIN_MS;
      while (this.running && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      if (!this.running) return [];
      throw error;
    }
    if (metrics.status !== 200) throw new Error(`/metrics says ${metrics.status}: ${metrics.body}`);
    return metrics.body.match(/^cnx_shed_total.* [1-9]\d*$/gm) ?? [];
  }

  /** Ends the process at once and removes its files. Never rejects. */
  async kill(): Promise<void> {
    await this.#killed();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #killed(): Promise<void> {
    if (this.#exit === undefined) this.#process.kill('SIGKILL');
    while (this.#exit === undefined) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    running.delete(this.#process);
  }

  #spawn(): ChildProcess {
    const options = this.#options;
    const [program = process.execPath, ...args] = options.command ?? [
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      join(PROJECT, 'src/main.ts'),
    ];
    const child = spawn(program, [...args, ...this.#arguments], {
      cwd: PROJECT,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#exit = undefined;
    this.#told = false;
    child.stdout.on('data', (chunk: Buffer) => {
      if (this.#stdout.length < LOG_BYTES_MAX) this.#stdout += chunk.toString('utf8');
    });
    child.stderr.on('data', (chunk: Buffer) => {
      if (this.#stderr.length < LOG_BYTES_MAX) this.#stderr += chunk.toString('utf8');
    });
    // Not `exit`: what it has printed last may not have been read by then.
    child.on('close', (code, signal) => {
      this.#exit = { code, signal };
    });
    child.on('error', (error) => {
      this.#stderr += `${error.message}\n`;
      this.#exit ??= { code: null, signal: null };
    });
    running.add(child);
    return child;
  }

  /** Ends the process at once, as a crash would, and starts it anew on the same ports, state and bundles. Does not wait until it is ready. */
  async restart(): Promise<void> {
    await this.#killed();
    this.#process = this.#spawn();
  }

  #ending(): string {
    return this.#exit?.signal ?? `code ${this.#exit?.code ?? 'none'}`;
  }

  #tail(): string {
    return `${this.#stderr.slice(-4_000)}\n${this.#stdout.slice(-2_000)}`;
  }
}

function bootstrapOf(ports: Ports, options: GatewayOptions): object {
  const leaf = testAuthority().leaf();
  return {
    listeners: [
      { id: 'plain', address: '127.0.0.1', port: ports.http, ...options.listener },
      {
        id: 'tls',
        address: '127.0.0.1',
        port: ports.https,
        tls: options.tls ?? { certificateFile: leaf.certificateFile, keyFile: leaf.keyFile },
        ...options.listener,
      },
    ],
    bundle: { source: `oci:bundles:${CHANNEL}`, pollMs: 5_000 },
    trustFile: 'trust.yaml',
    stateDir: 'state',
    probes: { address: '127.0.0.1', port: ports.probes },
    admin: { address: '127.0.0.1', port: ports.admin },
    lanes: 1,
    limitBuckets: 65_536,
    drainDelayMs: 0,
    drainDeadlineMs: 5_000,
    ...options.bootstrap,
  };
}

function ask(port: number, path: string): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path, agent: false, timeout: ASK_TIMEOUT_MS }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (body += chunk));
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, body });
      });
      response.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error(`no answer from port ${port} within ${ASK_TIMEOUT_MS} ms`)));
    request.on('error', reject);
  });
}
