/** The peers and the upstream, with configurations generated here: one worker each, keep-alive on both sides, logs off. */
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../test/harness/ports.ts';
import { ended, listening, LOAD_CORE, pinned, PROXY_CORE } from './process.ts';

export const hasNginx = existsSync('/usr/sbin/nginx');
export const hasHaproxy = existsSync('/usr/sbin/haproxy');

/** A running server of the bench. */
export interface Server {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

/** What every upstream answers: 1 KB; and 64 KB under /64k; under /cached and /cached64k the same for an hour. */
export const ANSWER = 'x'.repeat(1024);

export const LARGE_BYTES = 64 * 1024;

interface Certificate {
  readonly certificateFile: string;
  readonly keyFile: string;
}

function server(name: string, port: number, child: ChildProcess): Server {
  return { name, port, pid: child.pid ?? 0, stop: () => ended(child, 'SIGTERM') };
}

/** What differs between one worker on the proxy's core and the rest. */
export interface PeerOptions {
  readonly workers?: number;
  /** Further modules of nginx, directives of its `http` block, and what it is then called. */
  readonly modules?: readonly string[];
  readonly http?: string;
  readonly name?: string;
  /** Null: not pinned. */
  readonly core?: number | null;
}

async function nginx(
  name: string,
  core: number | null,
  http: string,
  port: number,
  workers = 1,
  modules: readonly string[] = [],
): Promise<Server> {
  const dir = mkdtempSync(join(tmpdir(), 'cnx-nginx-'));
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((t) => `${t}_temp_path ${dir}/${t};`).join(' ');
  writeFileSync(
    join(dir, 'nginx.conf'),
    `${modules.map((module) => `load_module ${module}; `).join('')}worker_processes ${workers}; daemon off; ${workers === 1 ? 'master_process off; ' : ''}user root; pid ${dir}/pid; error_log /dev/null;
events { worker_connections 4096; }
http { access_log off; ${temp} keepalive_requests 100000000; keepalive_timeout 600s; default_type text/plain; ${http} }
`,
  );
  const child = pinned(core, ['/usr/sbin/nginx', '-p', dir, '-c', join(dir, 'nginx.conf')]);
  await listening(port);
  return server(name, port, child);
}

/** The upstream: nginx with an answer of 1 KB from memory, on the load's core; a small one of ours where nginx is missing. `texts`: further answers by path. */
export async function upstream(texts: Readonly<Record<string, string>> = {}): Promise<Server> {
  const [port = 0] = await freePorts(1);
  if (hasNginx) {
    const files = mkdtempSync(join(tmpdir(), 'cnx-upstream-'));
    for (const name of ['64k', 'cached64k']) writeFileSync(join(files, name), 'x'.repeat(LARGE_BYTES));
    const cacheable = 'add_header Cache-Control "public, max-age=3600";';
    for (const [path, text] of Object.entries(texts)) writeFileSync(join(files, path), text);
    const locations = Object.keys(texts).map((path) => ` location = ${path} { root ${files}; }`);
    return nginx(
      'upstream',
      LOAD_CORE,
      `open_file_cache max=10; sendfile on;
server { listen 127.0.0.1:${port} backlog=4096; location / { return 200 '${ANSWER}'; } location /64k { root ${files}; }
location = /cached { ${cacheable} return 200 '${ANSWER}'; } location = /cached64k { ${cacheable} root ${files}; }${locations.join('')} }`,
      port,
    );
  }
  const script = `const texts = ${JSON.stringify(texts)}; require('node:http').createServer((q, s) => { q.resume(); s.setHeader('Cache-Control', q.url.startsWith('/cached') ? 'public, max-age=3600' : 'no-store'); s.setHeader('Content-Type', 'text/plain'); s.end(texts[q.url] ?? 'x'.repeat(q.url.endsWith('64k') ? ${LARGE_BYTES} : 1024)); }).listen(${port}, '127.0.0.1')`;
  const child = pinned(LOAD_CORE, [process.execPath, '-e', script]);
  await listening(port);
  return server('upstream', port, child);
}

export async function nginxProxy(to: number, tls: Certificate | null, options: PeerOptions = {}): Promise<Server> {
  const [port = 0] = await freePorts(1);
  const listen =
    tls === null
      ? `listen 127.0.0.1:${port} backlog=4096;`
      : `listen 127.0.0.1:${port} ssl http2 backlog=4096; ssl_certificate ${tls.certificateFile}; ssl_certificate_key ${tls.keyFile}; ssl_protocols TLSv1.3;`;
  return nginx(
    options.name ?? 'nginx',
    options.core === undefined ? PROXY_CORE : options.core,
    `${options.http ?? ''} upstream up { server 127.0.0.1:${to}; keepalive 1024; keepalive_requests 100000000; }
server { ${listen} location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; } }`,
    port,
    options.workers,
    options.modules,
  );
}

export async function haproxyProxy(
  to: number,
  tls: (Certificate & { readonly bothFile: string }) | null,
): Promise<Server> {
  const [port = 0] = await freePorts(1);
  const dir = mkdtempSync(join(tmpdir(), 'cnx-haproxy-'));
  const bind = tls === null ? '' : ` ssl crt ${tls.bothFile} ssl-min-ver TLSv1.3 alpn h2,http/1.1`;
  writeFileSync(
    join(dir, 'haproxy.cfg'),
    `global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout client 600s
  timeout server 600s
  timeout connect 5s
  http-reuse always
  retries 0
frontend in
  bind 127.0.0.1:${port}${bind} backlog 4096
  default_backend up
backend up
  server one 127.0.0.1:${to}
`,
  );
  const child = pinned(PROXY_CORE, ['/usr/sbin/haproxy', '-db', '-q', '-f', join(dir, 'haproxy.cfg')]);
  await listening(port);
  return server('haproxy', port, child);
}
