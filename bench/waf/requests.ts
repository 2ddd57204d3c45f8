/** Requests of the bench `waf`: those of the WAF's notes, those of Coraza's own bench, and bodies that attack the matching itself. */

export interface WafRequest {
  readonly name: string;
  /** As HTTP/1.1 has it. */
  readonly bytes: Buffer;
}

type Fields = readonly (readonly [string, string])[];

const FORM = 'application/x-www-form-urlencoded';
const LARGE_BYTES = 10_000;
const ADVERSARIAL_BYTES = 20_480;
const CHROME =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36';
const SIMPLE: Fields = [
  ['host', 'shop.example.com'],
  ['user-agent', 'curl/8.5.0'],
  ['accept', '*/*'],
];
/** Twelve fields, four cookies. */
const BROWSER: Fields = [
  ['host', 'shop.example.com'],
  ['user-agent', CHROME],
  ['accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8'],
  ['accept-language', 'en-US,en;q=0.9,de;q=0.8'],
  ['accept-encoding', 'gzip, deflate, br'],
  ['referer', 'https://shop.example.com/catalog/shoes?page=2'],
  ['connection', 'keep-alive'],
  ['upgrade-insecure-requests', '1'],
  ['sec-fetch-dest', 'document'],
  ['sec-fetch-mode', 'navigate'],
  ['sec-fetch-site', 'same-origin'],
  ['cookie', 'sid=8f14e45fceea167a5a36dedd4bea2543; theme=dark; cart=3; seen=1700000000'],
];
const APP: Fields = [
  ['host', 'shop.example.com'],
  ['user-agent', 'okhttp/4.12.0'],
  ['accept', 'application/json'],
];
/** As Coraza's bench sends them. */
const CORAZA: Fields = [
  ['host', 'localhost'],
  [
    'user-agent',
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_5) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/75.0.3770.100 Safari/537.36',
  ],
  ['accept', 'application/json'],
];
const CORAZA_TARGET = '/some_path/with?parameters=and&other=Stuff';

function request(name: string, method: string, target: string, fields: Fields, body = ''): WafRequest {
  const lines = [`${method} ${target} HTTP/1.1`, ...fields.map(([field, value]) => `${field}: ${value}`)];
  if (body !== '') lines.push(`content-length: ${Buffer.byteLength(body, 'latin1')}`);
  return { name, bytes: Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`, 'latin1') };
}

function post(name: string, type: string, body: string, target = '/account/orders', fields = BROWSER): WafRequest {
  return request(name, 'POST', target, [...fields, ['content-type', type]], body);
}

/** 842 bytes, 33 leaves. */
function json(): string {
  const order = {
    customer: { id: 48213, name: 'Alice Smith', email: 'alice@example.com', newsletter: true },
    shipping: { method: 'express', note: 'Leave with the neighbour', city: 'Springfield', zip: '12345' },
    items: Array.from({ length: 6 }, (_, i) => ({
      sku: `AB-${10_000 + i}`,
      name: 'Running shoe, blue',
      quantity: i + 1,
      price: 40.95 + i,
    })),
    comment: '',
  };
  const comment = 'Please deliver in the morning. '.repeat(20);
  return JSON.stringify({ ...order, comment: comment.slice(0, JSON_BYTES - JSON.stringify(order).length) });
}
const JSON_BYTES = 842;

function prose(): string {
  const sentence = 'The quick brown fox jumps over the lazy dog, and nobody in the village was surprised to see it. ';
  return sentence.repeat(LARGE_BYTES / sentence.length + 1).slice(0, LARGE_BYTES);
}

/** Ordinary requests, and one attack. */
export const REQUESTS: readonly WafRequest[] = [
  request('static GET', 'GET', '/assets/logo.svg', SIMPLE),
  request('Coraza simple GET', 'GET', CORAZA_TARGET, CORAZA),
  post('Coraza simple POST', FORM, 'parameters2=and&other2=Stuff', CORAZA_TARGET, CORAZA),
  post('Coraza large POST', FORM, `parameters2=and&other2=${'a'.repeat(LARGE_BYTES)}`, CORAZA_TARGET, CORAZA),
  request('API GET', 'GET', '/api/orders?page=2&sort=date&limit=50&fields=id,total', APP),
  request('browser GET', 'GET', '/catalog/shoes?page=3&sort=price&color=blue&size=42&q=running+shoes', BROWSER),
  post(
    'form POST',
    FORM,
    'first_name=Alice&last_name=Smith&email=alice%40example.com&street=12+Main+Street&city=Springfield&zip=12345&country=US&comment=Please+deliver+in+the+morning%2C+thank+you',
  ),
  post(`JSON ${JSON_BYTES} B`, 'application/json', json(), '/api/orders', APP),
  post(
    'form POST 30 x 100 B',
    FORM,
    Array.from({ length: 30 }, (_, i) => `field${i}=${'lorem+ipsum+dolor+sit+amet+'.repeat(4).slice(0, 100)}`).join(
      '&',
    ),
  ),
  post('10 KB of a', FORM, `text=${'a'.repeat(LARGE_BYTES)}`),
  post('10 KB of prose', FORM, `text=${prose().replaceAll(' ', '+')}`),
  request('SQLi GET', 'GET', '/catalog?id=1%27+or+1%3D1+--+', SIMPLE),
];

/** Bodies of one repeated unit: the worst that the notes and the tests of the engine know. A `&` would begin another argument. */
export const ADVERSARIAL: readonly WafRequest[] = [
  '<',
  "'",
  '(',
  "';",
  '$',
  '<a ',
  '\\',
  '%26#',
  'a=',
  '%25',
  '../',
].map((unit) => post(`20 KB of ${unit}`, FORM, `text=${unit.repeat(ADVERSARIAL_BYTES / unit.length)}`));
