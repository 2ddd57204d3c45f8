/**
 * The whole Core Rule Set on ordinary traffic: the gateway beside nginx with ModSecurity's connector and, where Go is there, Caddy with Coraza, the same rules at paranoia level 1, the same requests, each on one
 * core. Requests are sent as they are, and with values that were never seen before: the engine remembers what it found out about values. A second gateway without
 * the WAF shows what the WAF adds.
 */
import { existsSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plainBundle } from '../test/harness/bundle.ts';
import { crsBundleFiles, crsDirectory } from '../test/harness/crs.ts';
import { caddyCoraza } from './lib/caddy.ts';
import { startGateway } from './lib/gateway.ts';
import { hasWrk, type Load } from './lib/load.ts';
import { hasNginx, nginxProxy, type Server, upstream } from './lib/peers.ts';
import { figures, interleaved, type Target } from './lib/rounds.ts';
import type { Figure } from './lib/row.ts';
import type { Bench } from './lib/bench.ts';

/** Enough to keep one core busy, few enough that the slowest peer answers within wrk's patience. */
const CONNECTIONS = 32;
const CONNECTOR = '/usr/lib/nginx/modules/ngx_http_modsecurity_module.so';

type Traffic = Pick<Load, 'headers' | 'method' | 'body'> & { readonly path: string };

const BROWSER = {
  // As wrk knows it; written otherwise it would send its own beside it.
  Host: 'shop.example.com',
  'user-agent':
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36',
  accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
  'accept-language': 'en-US,en;q=0.9,de;q=0.8',
  'accept-encoding': 'gzip, deflate, br',
  referer: 'https://shop.example.com/catalog/shoes?page=2',
  'upgrade-insecure-requests': '1',
  'sec-fetch-dest': 'document',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-site': 'same-origin',
  cookie: 'sid=8f14e45fceea167a5a36dedd4bea2543; theme=dark; cart=3; seen=1700000000',
};

function order(comment: string): string {
  const items = Array.from({ length: 6 }, (_, i) => ({ sku: `AB-${10_000 + i}`, name: 'Running shoe', price: 40 + i }));
  return JSON.stringify({ customer: { id: 48_213, name: 'Alice Smith' }, items, comment });
}

/** `{n}` is another number in every request. */
const TRAFFIC: Readonly<Record<string, Traffic>> = {
  browser_get: { path: '/catalog/shoes?page=3&sort=price&color=blue&size=42&q=running+shoes', headers: BROWSER },
  browser_get_new_values: {
    path: '/catalog/shoes?page={n}&sort=price&color=blue&size=42&q=running+shoes+{n}',
    headers: { ...BROWSER, cookie: 'sid={n}fceea167a5a36dedd4bea2543; theme=dark; cart=3; seen={n}' },
  },
  json_post: {
    path: '/api/orders',
    method: 'POST',
    headers: { ...BROWSER, 'content-type': 'application/json' },
    body: order('Please deliver in the morning'),
  },
  json_post_new_values: {
    path: '/api/orders',
    method: 'POST',
    headers: { ...BROWSER, 'content-type': 'application/json' },
    body: order('Please deliver order {n} in the morning'),
  },
};

/** A file of directives with the rule set as it was released. */
function directivesFile(crs: string): string {
  const rules = readdirSync(join(crs, 'rules')).filter((name) => name.endsWith('.conf'));
  const file = join(mkdtempSync(join(tmpdir(), 'cnx-modsecurity-')), 'main.conf');
  const includes = ['crs-setup.conf.example', ...rules.sort().map((name) => `rules/${name}`)];
  writeFileSync(
    file,
    [
      'SecRuleEngine On',
      'SecRequestBodyAccess On',
      'SecResponseBodyAccess Off',
      'SecAuditEngine Off',
      'SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"',
      ...includes.map((name) => `Include ${join(crs, name)}`),
    ].join('\n'),
  );
  return file;
}

/** Ordinary traffic must pass and an attack must not: a firewall that does not look cannot win. */
async function check(port: number, traffic: Traffic, attack: boolean): Promise<void> {
  const path = attack ? `/catalog?id=${encodeURIComponent("1' OR '1'='1' -- ")}` : traffic.path.replaceAll('{n}', '7');
  const status = await new Promise<number>((resolve, reject) => {
    const { headers = {}, method = 'GET', body = '' } = attack ? { headers: BROWSER } : traffic;
    const sent = request({ host: '127.0.0.1', port, path, method, headers }, (res) => {
      res.resume().on('end', () => resolve(res.statusCode ?? 0));
    });
    sent.on('error', reject).end(body);
  });
  const wanted = attack ? 403 : 200;
  if (status !== wanted) throw new Error(`port ${port}: ${path} was answered ${status}, not ${wanted}`);
}

export const wafChain: Bench = async (options) => {
  const crs = crsDirectory();
  if (crs === null || !hasWrk) throw new Error('this bench needs the Core Rule Set in ../shared/data and wrk');
  const up = await upstream();
  const endpoints = [`127.0.0.1:${up.port}`];
  const gateway = await startGateway(
    plainBundle(endpoints, { waf: { mode: 'block', crs: { dir: 'waf/crs' } }, files: crsBundleFiles(crs) }),
  );
  const without: Server = { ...(await startGateway(plainBundle(endpoints))), name: 'without' };
  const peers: Server[] = [];
  const directives = directivesFile(crs);
  if (hasNginx && existsSync(CONNECTOR)) {
    const own = {
      modules: [CONNECTOR],
      http: `modsecurity on; modsecurity_rules_file ${directives};`,
      name: 'modsecurity',
    };
    peers.push(await nginxProxy(up.port, null, own));
  } else console.error('ModSecurity is missing: apt-get install libnginx-mod-http-modsecurity');
  // Its prefilter is off unless asked for, and makes it faster.
  const caddy = await caddyCoraza(up.port, `Include ${directives}\nSecRxPreFilter On`);
  if (typeof caddy === 'string') console.error(`Caddy with Coraza is missing: ${caddy.split('\n').at(-1)}`);
  else peers.push(caddy);
  try {
    const rows: Figure[] = [];
    for (const [name, traffic] of Object.entries(TRAFFIC)) {
      console.error(`  ${name}`);
      const { path, ...load } = traffic;
      const targets = [gateway, without, ...peers].map((s) => ({
        name: s.name,
        pid: s.pid,
        load: { ...load, url: `http://127.0.0.1:${s.port}${path}`, connections: CONNECTIONS },
      }));
      const measured = await interleaved(targets, options, async (t: Target) => {
        const port = Number(new URL(t.load.url).port);
        await check(port, traffic, false);
        if (t.name !== without.name) await check(port, traffic, true);
      });
      rows.push(...figures(measured, gateway.name, options.rounds, `_${name}`));
      const added =
        (measured.get(gateway.name)?.cpuUs ?? Number.NaN) - (measured.get(without.name)?.cpuUs ?? Number.NaN);
      rows.push({ metric: `waf_adds_cpu_${name}`, unit: 'µs', ours: added, rounds: options.rounds });
    }
    return rows;
  } finally {
    for (const s of [gateway, without, ...peers, up]) await s.stop();
  }
};
