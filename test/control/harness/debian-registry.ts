/** The CNCF distribution as Debian packages it, as a child process on a free loopback port. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createPrivateKey, type KeyObject, randomUUID, sign } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { request } from 'undici';
import { freePorts } from '../../harness/ports.ts';
import { temporaryDirectory } from './sample.ts';
import { requireTool } from './tools.ts';

const START_ATTEMPTS_MAX = 200;

export interface DebianRegistryOptions {
  readonly basic?: { readonly username: string; readonly password: string };
  readonly token?: TokenServer;
  /** Blobs are answered with a redirect to this base. */
  readonly redirectBlobsTo?: string;
}

export class DebianRegistry {
  readonly host: string;
  readonly data: string;
  readonly #config: string;
  #child: ChildProcess | undefined;

  private constructor(host: string, data: string, config: string) {
    this.host = host;
    this.data = data;
    this.#config = config;
  }

  static async start(t: Pick<TestContext, 'after'>, options: DebianRegistryOptions = {}): Promise<DebianRegistry> {
    requireTool('docker-registry');
    const directory = await temporaryDirectory(t);
    const [port = 0] = await freePorts(1);
    const data = join(directory, 'data');
    await mkdir(data);
    const auth = await authSection(directory, options);
    const middleware =
      options.redirectBlobsTo === undefined
        ? {}
        : { middleware: { storage: [{ name: 'redirect', options: { baseurl: options.redirectBlobsTo } }] } };
    const config = {
      version: 0.1,
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: data } },
      http: { addr: `127.0.0.1:${port}`, secret: 'test' },
      ...auth,
      ...middleware,
    };
    // YAML is a superset of JSON.
    const path = join(directory, 'config.yml');
    await writeFile(path, JSON.stringify(config));
    const registry = new DebianRegistry(`127.0.0.1:${port}`, data, path);
    t.after(() => registry.stop());
    await registry.run();
    return registry;
  }

  /** Starts it (again) on the same port. */
  async run(): Promise<void> {
    const child = spawn(requireTool('docker-registry'), ['serve', this.#config], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child = child;
    let complaint = '';
    child.stderr.on('data', (chunk: Buffer) => (complaint = `${complaint}${chunk.toString()}`.slice(-4000)));
    for (let attempt = 0; attempt < START_ATTEMPTS_MAX; attempt += 1) {
      if (child.exitCode !== null) throw new Error(`docker-registry ended with ${child.exitCode}: ${complaint}`);
      try {
        const { body } = await request(`http://${this.host}/v2/`);
        await body.dump();
        return;
      } catch {
        await sleep(50);
      }
    }
    throw new Error(`docker-registry does not answer: ${complaint}`);
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }
}

async function authSection(directory: string, options: DebianRegistryOptions): Promise<object> {
  if (options.basic !== undefined) {
    const { username, password } = options.basic;
    const { stdout } = await promisify(execFile)(requireTool('htpasswd'), ['-Bbn', username, password]);
    const path = join(directory, 'htpasswd');
    await writeFile(path, stdout);
    return { auth: { htpasswd: { realm: 'edge-test', path } } };
  }
  if (options.token !== undefined) {
    const { realm, certificate } = options.token;
    return { auth: { token: { realm, service: 'edge-registry', issuer: 'edge-tokens', rootcertbundle: certificate } } };
  }
  return {};
}

/** Grants by user: actions for `repository:<name>`. */
export type Grants = Readonly<
  Record<string, { readonly password: string; readonly repositories: Readonly<Record<string, readonly string[]>> }>
>;

/** A token service as the CNCF distribution asks for: Basic in, an ES256 token out. */
export class TokenServer {
  /** How many tokens were asked for, and with which scopes. */
  readonly scopes: string[] = [];
  readonly realm: string;
  /** PEM file for the registry's `rootcertbundle`. */
  readonly certificate: string;
  /** Life of the tokens, as it is told to the client. */
  expiresS = 60;
  readonly #key: KeyObject;
  readonly #x5c: string;
  readonly #grants: Grants;

  private constructor(realm: string, certificate: string, key: KeyObject, x5c: string, grants: Grants) {
    this.realm = realm;
    this.certificate = certificate;
    this.#key = key;
    this.#x5c = x5c;
    this.#grants = grants;
  }

  static async start(t: Pick<TestContext, 'after'>, grants: Grants): Promise<TokenServer> {
    const directory = await temporaryDirectory(t);
    const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')];
    await promisify(execFile)(
      requireTool('openssl'),
      `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=edge-tokens -keyout ${key} -out ${certificate}`.split(
        ' ',
      ),
    );
    const pem = await readFile(certificate, 'utf8');
    const x5c = pem.replace(/-----[^-]+-----|\s/g, '');
    const http = createServer((incoming, answer) => server.#answer(incoming, answer));
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    t.after(() => http.close());
    const { port } = http.address() as AddressInfo;
    const server = new TokenServer(
      `http://127.0.0.1:${port}/token`,
      certificate,
      createPrivateKey(await readFile(key)),
      x5c,
      grants,
    );
    return server;
  }

  #answer(incoming: IncomingMessage, answer: ServerResponse): void {
    const url = new URL(incoming.url ?? '/', this.realm);
    const [username = '', password = ''] = Buffer.from(
      (incoming.headers.authorization ?? '').replace(/^Basic /, ''),
      'base64',
    )
      .toString()
      .split(':');
    const user = this.#grants[username];
    const scope = url.searchParams.get('scope') ?? '';
    this.scopes.push(scope);
    if (user === undefined || user.password !== password || url.searchParams.get('service') !== 'edge-registry') {
      answer.writeHead(401).end();
      return;
    }
    const [type = '', name = '', wanted = ''] = scope.split(':');
    const actions = wanted.split(',').filter((action) => user.repositories[name]?.includes(action));
    const token = this.#token(username, actions.length === 0 ? [] : [{ type, name, actions }]);
    answer
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ token, expires_in: this.expiresS }));
  }

  #token(sub: string, access: readonly unknown[]): string {
    const now = Math.floor(Date.now() / 1000);
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = {
      iss: 'edge-tokens',
      sub,
      aud: 'edge-registry',
      exp: now + 3600,
      nbf: now - 10,
      iat: now,
      jti: randomUUID(),
      access,
    };
    const signed = `${encode({ typ: 'JWT', alg: 'ES256', x5c: [this.#x5c] })}.${encode(claims)}`;
    return `${signed}.${sign('sha256', Buffer.from(signed), { key: this.#key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }
}
