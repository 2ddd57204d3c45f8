import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { EndpointPlan } from '../../snapshot/cell-plans.ts';
import type { RoutePlan } from '../../snapshot/route-plans.ts';
import { TestWire, testExchange, testRoute, testWafPlan, type WireOptions } from '../../../test/harness/wire.ts';
import { type Exchange, METHODS } from '../exchange.ts';
import { Verdict } from '../verdict.ts';
import { isTraceparent } from '../trace-context.ts';
import { Forward } from './forward.ts';

const endpoint: EndpointPlan = {
  slot: 0,
  identity: 'c/h:1',
  cell: 0,
  host: 'h',
  port: 1,
  tls: null,
  capacity: 1,
  connectionsMax: 1,
  http2: false,
};
const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

function enter(
  o: WireOptions & { client?: string; requestId?: string; attempts?: number; random?: number } = {},
  route: Partial<RoutePlan> = {},
): { x: Exchange; wire: TestWire; verdict: Verdict; sent: (name: string) => string | undefined } {
  const wire = new TestWire({ host: 'shop.example:8443', ...o });
  const x = testExchange(wire, {}, testRoute(route));
  x.id = 'abcdef-07-0000002a';
  x.methodCode = METHODS.indexOf((o.method ?? 'GET') as (typeof METHODS)[number]);
  x.clientAddress = o.client ?? '192.0.2.7';
  x.clientRequestId = o.requestId ?? '';
  x.endpoint = endpoint;
  x.attempts = o.attempts ?? 1;
  x.random = o.random ?? 0x12345678;
  const verdict = new Forward().enter(x);
  const sent = (name: string): string | undefined =>
    wire.upstreamEdits.find((edit) => edit.startsWith(`set ${name}: `))?.slice(name.length + 6);
  return { x, wire, verdict, sent };
}

test('the exchange is handed over with the endpoint and the deadlines of its route', () => {
  const forward = { connectTimeoutMs: 1, headTimeoutMs: 2, idleTimeoutMs: 3, bodyBytesMax: 4, retries: 1 };
  const { x, wire, verdict } = enter({}, { forward });
  assert.equal(verdict, Verdict.Handed);
  assert.equal(wire.forwarded, x.plan);
  const { connectTimeoutMs, headTimeoutMs, idleTimeoutMs, bodyBytesMax } = x.plan;
  assert.deepEqual(
    [x.plan.endpoint, connectTimeoutMs, headTimeoutMs, idleTimeoutMs, bodyBytesMax],
    [endpoint, 1, 2, 3, 4],
  );
});

test('where rules may refuse, no trailers follow the body that they have seen', () => {
  for (const [mode, pass] of [
    ['block', false],
    ['detect', true],
    ['off', true],
  ] as const) {
    const { x } = enter({ body: 'a=1' }, { waf: testWafPlan({ mode }) });
    assert.equal(x.plan.trailers, pass, mode);
  }
});

test('the upstream learns of the client, in the old fields and in Forwarded (RFC 7239)', () => {
  const { sent } = enter();
  assert.equal(sent('x-forwarded-for'), '192.0.2.7');
  assert.equal(sent('x-forwarded-proto'), 'https');
  assert.equal(sent('x-forwarded-host'), 'shop.example:8443');
  assert.equal(sent('forwarded'), 'for=192.0.2.7;host="shop.example:8443";proto=https');
});

test('OPTIONS goes on with one hop less, if it counts them', () => {
  const hops = (method: string, value: string): string | undefined =>
    enter({ method, headers: ['max-forwards', value] }).sent('max-forwards');
  assert.equal(hops('OPTIONS', '1'), '0');
  assert.equal(hops('OPTIONS', '010'), '9');
  assert.equal(hops('OPTIONS', '999999999999999'), '999999999999998');
  assert.equal(hops('GET', '5'), undefined);
  assert.equal(enter({ method: 'OPTIONS' }).sent('max-forwards'), undefined);
});

test('what an untrusted client claims of itself does not pass', () => {
  const { sent } = enter({
    secure: false,
    headers: [
      'x-forwarded-for',
      '10.0.0.1',
      'x-forwarded-proto',
      'https',
      'forwarded',
      'for=10.0.0.1',
      'x-forwarded-host',
      'evil',
    ],
  });
  assert.equal(sent('x-forwarded-for'), '192.0.2.7');
  assert.equal(sent('x-forwarded-proto'), 'http');
  assert.equal(sent('x-forwarded-host'), 'shop.example:8443');
  assert.equal(sent('forwarded'), 'for=192.0.2.7;host="shop.example:8443";proto=http');
});

test('behind a trusted proxy the client comes first, then the proxy, with the scheme that normalize found', () => {
  const { sent } = enter({
    secure: true,
    client: '2001:db8::1',
    headers: ['x-forwarded-for', '203.0.113.9, 2001:db8::1'],
  });
  assert.equal(sent('x-forwarded-for'), '2001:db8::1, 192.0.2.7', 'and nothing of what stood left of the client');
  assert.equal(sent('x-forwarded-proto'), 'https');
  assert.equal(sent('forwarded'), 'for="[2001:db8::1]", for=192.0.2.7;host="shop.example:8443";proto=https');
});

test('the client certificate is told where the route asks for it', () => {
  const tls = {
    version: 'TLSv1.3',
    cipher: 'TLS_AES_128_GCM_SHA256',
    serverName: '',
    alpn: 'h2',
    ja4: '',
    client: { subject: 'CN=alice', sans: ['DNS:alice.example'], fingerprint: 'ab12' },
  };
  const headers = ['x-forwarded-client-cert', 'Hash=00;Subject="CN=root"'];
  const told = (over: Partial<RoutePlan>, wire: WireOptions): string[] =>
    enter({ headers, ...wire }, over).wire.upstreamEdits.filter((edit) => edit.includes('client-cert'));
  // What a client says of one the transport keeps (`CLIENT_CLAIMS`).
  assert.deepEqual(told({}, { tls }), []);
  const asked = { forwardClientCertificate: true };
  assert.deepEqual(told(asked, { tls }), [
    'set x-forwarded-client-cert: Hash=ab12;Subject="CN=alice";DNS=alice.example',
  ]);
  assert.deepEqual(told(asked, { tls: { ...tls, client: null } }), []);
  assert.deepEqual(told(asked, {}), []);
});

test('the request id is ours, both ways; the client’s own is passed apart', () => {
  const { wire, sent } = enter({ requestId: 'theirs', headers: ['x-request-id', 'theirs'] });
  assert.equal(sent('x-request-id'), 'abcdef-07-0000002a');
  assert.equal(sent('x-client-request-id'), 'theirs');
  assert.ok(wire.answerEdits.includes('set x-request-id: abcdef-07-0000002a'));
  assert.equal(enter().sent('x-client-request-id'), undefined);
});

test('a valid trace goes on untouched', () => {
  const { wire } = enter({ headers: ['traceparent', TRACE, 'tracestate', 'a=b'] });
  assert.ok(!wire.upstreamEdits.some((edit) => edit.includes('trace')));
});

test('without one a trace begins that holds the request id; a state without its trace goes', () => {
  for (const headers of [
    [],
    ['traceparent', 'nonsense', 'tracestate', 'a=b'],
    ['traceparent', TRACE, 'traceparent', TRACE.replace('00-', '01-'), 'tracestate', 'a=b'],
  ]) {
    const { wire, sent } = enter({ headers });
    assert.match(sent('traceparent') ?? '', /^00-abcdef070000002a[0-9a-f]{16}-[0-9a-f]{16}-0[01]$/);
    assert.ok(isTraceparent(sent('traceparent') ?? ''));
    assert.equal(wire.upstreamEdits.includes('remove tracestate'), headers.length > 0);
  }
});

test('about one new trace in a hundred is sampled', () => {
  let sampled = 0;
  for (let i = 0; i < 20_000; i++) {
    if (
      enter({ random: (i * 2654435761) >>> 0 })
        .sent('traceparent')
        ?.endsWith('-01') === true
    )
      sampled++;
  }
  assert.ok(sampled > 120 && sampled < 280, `${sampled} of 20000`);
});

test('every new trace is a valid one', () => {
  fc.assert(
    fc.property(fc.integer(), (random) =>
      assert.ok(isTraceparent(enter({ random: random >>> 0 }).sent('traceparent') ?? '')),
    ),
  );
});

const traces: readonly [text: string, valid: boolean][] = [
  [TRACE, true],
  [TRACE.replace('-01', '-00'), true],
  [TRACE.replace('00-', '01-'), true],
  [`${TRACE.replace('00-', 'cc-')}-what-may-come`, true],
  [`${TRACE}-00`, false],
  [TRACE.toUpperCase(), false],
  [TRACE.replace('00-', 'ff-'), false],
  [TRACE.replace('0af7651916cd43dd8448eb211c80319c', '0'.repeat(32)), false],
  [TRACE.replace('b7ad6b7169203331', '0'.repeat(16)), false],
  [TRACE.slice(0, -1), false],
  [`${TRACE}, ${TRACE}`, false],
  ['', false],
];
for (const [text, valid] of traces) {
  test(`"${text}" is ${valid ? 'a trace' : 'no trace'}`, () => assert.equal(isTraceparent(text), valid));
}

test('a WebSocket needs a route that relays them', () => {
  const refused = enter({ websocket: true });
  assert.equal(refused.verdict, Verdict.Refuse);
  assert.equal(refused.x.refusal?.code, 'upgrade_not_allowed');
  assert.equal(refused.wire.forwarded, null);
  assert.equal(enter({ websocket: true }, { websocket: true }).verdict, Verdict.Handed);
});

test('another attempt says nothing twice', () => {
  const { wire, verdict } = enter({ attempts: 2 });
  assert.equal(verdict, Verdict.Handed);
  assert.deepEqual(wire.upstreamEdits, []);
});
