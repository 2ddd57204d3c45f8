/**
 * What one inspection costs from JavaScript, packing included: `node bench/micro/waf.ts`. Prints one JSON row per case. The demo rules
 * are loaded as the bundle lists them, and every verdict is checked, so that an engine that sees nothing cannot win.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { parse } from 'yaml';
import { native } from '../../src/native.ts';
import { packRequest, readVerdict, WAF_VERDICT_BYTES_MAX, type WafRequest } from '../../src/native/waf.ts';

export interface MicroRow {
  readonly name: string;
  readonly metric: string;
  readonly unit: string;
  readonly ours: number;
}

const ROUNDS = 7;
const DEMO = join(import.meta.dirname, '../../config/demo');
const FORM = 'application/x-www-form-urlencoded';
const AGENT =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36';

function post(type: string, body: string): WafRequest {
  const bytes = Buffer.from(body);
  const headers: [string, string][] = [
    ['host', 'shop.example.com'],
    ['user-agent', AGENT],
    ['content-type', type],
    ['content-length', `${bytes.length}`],
  ];
  return { method: 'POST', target: '/api/orders', client: '192.0.2.7', headers, body: bytes };
}

function json(bytes: number): string {
  const items: unknown[] = [];
  const order = { customer: { id: 48213, name: 'Alice Smith', email: 'alice@example.com' }, coupon: null, items };
  while (JSON.stringify(order).length < bytes - 70) {
    items.push({ sku: `AB-${items.length}`, name: 'Running shoe, blue', quantity: 1, price: 49.95 });
  }
  return JSON.stringify(order);
}

function workloads(): [metric: string, verdict: string, request: WafRequest][] {
  const plain: [string, string][] = [
    ['host', 'www.example.com'],
    ['user-agent', 'curl/8.5.0'],
    ['accept', '*/*'],
  ];
  const browser: [string, string][] = [
    ['host', 'shop.example.com'],
    ['user-agent', AGENT],
    ['accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8'],
    ['accept-language', 'en-US,en;q=0.9,de;q=0.8'],
    ['accept-encoding', 'gzip, deflate, br'],
    ['referer', 'https://shop.example.com/catalog/shoes?page=2'],
    ['upgrade-insecure-requests', '1'],
    ['sec-fetch-dest', 'document'],
    ['sec-fetch-mode', 'navigate'],
    ['sec-fetch-site', 'same-origin'],
    ['cookie', 'sid=8f14e45fceea167a5a36dedd4bea2543; theme=dark; cart=3; _ga=GA1.2.1234567890.1700000000'],
  ];
  const shop = '/catalog/shoes?page=3&sort=price&color=blue&size=42&q=running+shoes';
  const client = '192.0.2.7';
  return [
    ['simple GET', 'pass', { method: 'GET', target: '/?a=1&b=hello', client, headers: plain }],
    ['browser GET', 'pass', { method: 'GET', target: shop, client, headers: browser }],
    [
      'form POST, 8 fields',
      'pass',
      post(
        FORM,
        'first=Alice&last=Smith&mail=alice%40example.com&street=12+Main+St&city=X&zip=1&country=US&note=Thank+you',
      ),
    ],
    ['JSON POST, 842 B', 'pass', post('application/json', json(842))],
    ['form POST, 10 KB in one field', 'pass', post(FORM, `text=${'lorem+ipsum+dolor+sit+amet+'.repeat(380)}`)],
    ['SQL injection GET', 'block', { method: 'GET', target: "/?id=1'%20OR%201=1%20--%20", client, headers: plain }],
  ];
}

export function run(roundMs = 60): MicroRow[] {
  const waf = native();
  const listed = parse(readFileSync(join(DEMO, 'waf.yaml'), 'utf8')) as { rules: string[]; data: string[] };
  const files = [...listed.data, ...listed.rules].map((name) => ({ name, bytes: readFileSync(join(DEMO, name)) }));
  const handle = waf.wafCompile(files);
  const profile = waf.wafProfile(handle, { mode: 'block' });
  const buffer = Buffer.allocUnsafeSlow(256 * 1024);
  const out = Buffer.allocUnsafeSlow(WAF_VERDICT_BYTES_MAX);
  const rows: MicroRow[] = [];
  for (const [metric, verdict, request] of workloads()) {
    const once = (): number => waf.wafInspect(handle, profile, buffer, packRequest(buffer, request), out);
    once();
    const answer = readVerdict(out);
    assert.equal(answer.verdict, verdict, `${metric}: ${JSON.stringify(answer.matches)}`);
    let least = Number.POSITIVE_INFINITY;
    for (let round = 0; round < ROUNDS; round++) {
      const from = performance.now();
      let calls = 0;
      let now = from;
      while (now - from < roundMs) {
        for (let i = 0; i < 16; i++) once();
        calls += 16;
        now = performance.now();
      }
      least = Math.min(least, ((now - from) * 1000) / calls);
    }
    rows.push({ name: 'waf', metric, unit: 'us', ours: Math.round(least * 100) / 100 });
  }
  const stats = waf.wafStats(handle);
  rows.push({ name: 'waf', metric: 'compiling the demo rules', unit: 'ms', ours: Math.round(stats.loadMs * 10) / 10 });
  waf.wafRelease(handle);
  return rows;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const row of run()) console.log(JSON.stringify(row));
}
