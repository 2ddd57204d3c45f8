/**
 * What the demo's rules cost from JavaScript, packing and crossing included: `node bench/micro/waf.ts`. Prints one JSON row per case, with how much of it is
 * packing. Each request must pass, and the same request with an attack in it must be blocked, so that an engine that does not look cannot win.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parse } from 'yaml';
import { native } from '../../src/native.ts';
import { WAF_BLOCK, WAF_PASS, WAF_VERDICT_BYTES_MAX, WafPacker } from '../../src/native/waf.ts';

export interface MicroRow {
  readonly name: string;
  readonly metric: string;
  readonly unit: string;
  readonly ours: number;
}

const ROUNDS = 5;
const ATTACK = "1' UNION SELECT password FROM users--";

interface Sample {
  readonly name: string;
  readonly method: string;
  readonly target: (word: string) => string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: ((word: string) => string) | null;
}

const HOST = ['host', 'shop.example.com'] as const;
const BROWSER = [
  HOST,
  [
    'user-agent',
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36',
  ],
  ['accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8'],
  ['accept-language', 'en-US,en;q=0.9,de;q=0.8'],
  ['accept-encoding', 'gzip, deflate, br, zstd'],
  ['cookie', 'session=0f9c1d3b5a7e4c2d; theme=dark; consent=analytics%3Dno'],
  ['referer', 'https://shop.example.com/catalogue?category=shoes&page=1'],
  ['sec-fetch-mode', 'navigate'],
  ['sec-fetch-site', 'same-origin'],
  ['upgrade-insecure-requests', '1'],
] as const;
const encode = encodeURIComponent;

/** 842 bytes with a short word in it, as APIs send them. */
function json(word: string): string {
  const order = {
    customer: { id: 4711, name: 'Anna Example', email: 'anna@shop.example.com', vip: false },
    items: Array.from({ length: 6 }, (_, i) => ({
      sku: `SKU-${1000 + i}`,
      title: 'A pair of running shoes, blue',
      quantity: i + 1,
      price: 59.9,
    })),
    note: word,
    shipping: { street: 'Long Street 12', city: 'Vienna', zip: '1010', country: 'AT' },
    padding: '',
  };
  const bare = JSON.stringify(order);
  return JSON.stringify({ ...order, padding: 'x'.repeat(Math.max(0, JSON_BYTES - bare.length)) });
}
const JSON_BYTES = 842;

const SAMPLES: readonly Sample[] = [
  {
    name: 'simple GET',
    method: 'GET',
    target: (word) => `/api/orders/17?q=${encode(word)}`,
    headers: [HOST, ['user-agent', 'curl/8.5.0'], ['accept', '*/*']],
    body: null,
  },
  {
    name: 'browser GET',
    method: 'GET',
    target: (word) => `/catalogue/shoes?category=running&page=2&sort=price&q=${encode(word)}`,
    headers: BROWSER,
    body: null,
  },
  {
    name: 'form POST',
    method: 'POST',
    target: () => '/account/address',
    headers: [...BROWSER, ['content-type', 'application/x-www-form-urlencoded']],
    body: (word) => `name=Anna+Example&street=Long+Street+12&city=Vienna&zip=1010&country=AT&note=${encode(word)}`,
  },
  {
    name: `JSON ${JSON_BYTES} B`,
    method: 'POST',
    target: () => '/api/orders',
    headers: [HOST, ['user-agent', 'app/3.2'], ['accept', 'application/json'], ['content-type', 'application/json']],
    body: json,
  },
];

export function run(calls = 20_000): MicroRow[] {
  const rows: MicroRow[] = [];
  const addon = native();
  const directory = fileURLToPath(new URL('../../config/demo/', import.meta.url));
  const config = parse(readFileSync(`${directory}waf.yaml`, 'utf8')) as { rules: unknown[]; data: string[] };
  // Expressions are compiled beside files; what they cost is their own matter.
  const rules = config.rules.filter((rule) => typeof rule === 'string');
  const files = [...config.data, ...rules].map((name) => ({ name, bytes: readFileSync(directory + name) }));
  const program = addon.wafCompile(files);
  const profile = addon.wafProfile(program, {
    mode: 'block',
    variables: [
      { name: 'blocking_paranoia_level', value: '1' },
      { name: 'detection_paranoia_level', value: '1' },
      { name: 'inbound_anomaly_score_threshold', value: '5' },
    ],
  });
  const packer = new WafPacker(Buffer.from(addon.wafRequestMemory(65_536).buffer));
  addon.wafVerdictMemory(WAF_VERDICT_BYTES_MAX);
  for (const { name, method, target, headers, body } of SAMPLES) {
    const pack = (path: string, bytes: Buffer | null): number => {
      packer.begin();
      packer.head(method, path, 'HTTP/1.1', '192.0.2.7', 50_000, 'abcdef-00-00000001', 0);
      for (const [field, value] of headers) packer.header(field, value);
      if (bytes !== null) packer.header('content-length', String(bytes.length));
      return packer.body(bytes);
    };
    const given = (word: string): [string, Buffer | null] => [
      target(word),
      body === null ? null : Buffer.from(body(word)),
    ];
    const inspect = (path: string, bytes: Buffer | null): number =>
      addon.wafInspectMemory(program, profile, pack(path, bytes));
    assert.equal(inspect(...given(ATTACK)), WAF_BLOCK, `${name} with an attack`);
    const [path, bytes] = given('shoes');
    if (body === json) assert.equal(bytes?.length, JSON_BYTES);
    const best = (once: () => void): number => {
      let least = Number.POSITIVE_INFINITY;
      for (let r = 0; r < ROUNDS; r++) {
        const from = performance.now();
        for (let i = 0; i < calls; i++) once();
        least = Math.min(least, ((performance.now() - from) * 1e6) / calls);
      }
      return Math.round(least);
    };
    const whole = best(() => {
      if (inspect(path, bytes) !== WAF_PASS) assert.fail(`${name} does not pass`);
    });
    rows.push({ name: 'waf', metric: name, unit: 'ns', ours: whole });
    rows.push({ name: 'waf', metric: `${name}, packing`, unit: 'ns', ours: best(() => pack(path, bytes)) });
  }
  addon.wafRelease(program);
  return rows;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const row of run()) console.log(JSON.stringify(row));
}
