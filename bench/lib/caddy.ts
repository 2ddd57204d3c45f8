/** Caddy with Coraza before its reverse proxy (bench/peers/caddy), built once a run; one processor, keep-alive on both sides, logs off. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../../test/harness/ports.ts';
import type { Server } from './peers.ts';
import { ended, listening, pinned, PROXY_CORE } from './process.ts';

const source = fileURLToPath(new URL('../peers/caddy', import.meta.url));
/** Building it, the first time with its modules. Unit: ms. */
const BUILD_MS_MAX = 20 * 60_000;

/** A proxy to a port with these directives of SecLang; a string says why there is none. */
export async function caddyCoraza(to: number, directives: string): Promise<Server | string> {
  const dir = mkdtempSync(join(tmpdir(), 'cnx-caddy-'));
  const program = join(dir, 'caddy');
  const built = spawnSync('go', ['build', '-mod=readonly', '-buildvcs=false', '-o', program, '.'], {
    cwd: source,
    encoding: 'utf8',
    timeout: BUILD_MS_MAX,
  });
  if (built.status !== 0) return built.error?.message ?? built.stderr.trim();
  const [port = 0] = await freePorts(1);
  const config = {
    admin: { disabled: true },
    logging: { logs: { default: { level: 'PANIC' } } },
    apps: {
      http: {
        servers: {
          proxy: {
            listen: [`127.0.0.1:${port}`],
            automatic_https: { disable: true },
            routes: [
              {
                handle: [
                  { handler: 'coraza', directives },
                  {
                    handler: 'reverse_proxy',
                    upstreams: [{ dial: `127.0.0.1:${to}` }],
                    transport: { protocol: 'http', keep_alive: { max_idle_conns_per_host: 1024 } },
                  },
                ],
              },
            ],
          },
        },
      },
    },
  };
  writeFileSync(join(dir, 'caddy.json'), JSON.stringify(config));
  const env = { GOMAXPROCS: '1', XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir };
  const child = pinned(PROXY_CORE, [program, 'run', '--config', join(dir, 'caddy.json')], env);
  await listening(port);
  return { name: 'caddy-coraza', port, pid: child.pid ?? 0, stop: () => ended(child, 'SIGTERM') };
}
