import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Part, readBundle } from './bundle.ts';
import { Document, renderProblem } from './document.ts';

const CELLS = `cells:
  - id: one
    endpoints: [{address: "10.0.0.1:80"}]
`;
const TWO_CELLS = `cells:
  - {id: one, endpoints: [{address: "10.0.0.1:80"}]}
  - {id: two, endpoints: [{address: "10.0.0.2:80"}]}
`;
const ISSUERS = 'issuers: [{id: staff, issuer: a, audiences: [b], algorithms: [ES256], jwksUrl: "https://id.example"}]';
const POLICIES = 'policies: [{name: authz, source: a.rego, entrypoints: [authz/allow], input: [method]}]';
const ROUTES = `routes:
  - id: all
    match: {path: {prefix: /}}
    access: public
    reason: everything, for a test
`;
/** A public route with something more on it. */
const route = (more: string): string => `${ROUTES}    ${more}\n`;
const issuer = (more: string): string => `issuers:
  - id: staff
    issuer: a
    audiences: [b]
    ${more}
`;

type Documents = { readonly [P in Part]?: string };

/** What an operator is told, line by line. */
function said(documents: Documents, extension = 'yaml'): string[] {
  const given = new Map(
    Object.entries({ cells: CELLS, routes: ROUTES, ...documents }).map(([part, text]) => [
      part as Part,
      new Document(`${part}.${extension}`, text),
    ]),
  );
  const result = readBundle(given);
  return result.ok ? [] : result.problems.map(renderProblem);
}

/** What must hold, the documents that break it, and every line that is said. */
const wrong: readonly (readonly [what: string, documents: Documents, lines: readonly string[]])[] = [
  // Keys
  [
    'an unknown key names the nearest known one',
    { routes: ROUTES.replace('access:', 'acces:') },
    ['routes.yaml:4:5: /routes/0/acces: unknown key "acces"; did you mean "access"?'],
  ],
  [
    'an unknown key that resembles none names what is known',
    { routes: route('waf: {zzzzzzzzzzzz: 1}') },
    [
      'routes.yaml:6:11: /routes/0/waf/zzzzzzzzzzzz: unknown key "zzzzzzzzzzzz"; known: mode, bodyBytes, paranoiaLevel, detectionParanoiaLevel, threshold, outboundThreshold, earlyBlocking, samplingPercentage, exclude, beyond, coded, workMax, …',
    ],
  ],
  [
    'names of the language are keys like any other',
    { cells: `${CELLS}constructor: 1\n__proto__: 2\n` },
    [
      'cells.yaml:4:1: /constructor: unknown key "constructor"; known: cells, pins, tenantRegions, defaultRegions',
      'cells.yaml:5:1: /__proto__: unknown key "__proto__"; known: cells, pins, tenantRegions, defaultRegions',
    ],
  ],
  [
    'a missing key says what it is for',
    { routes: 'routes:\n  - id: all\n' },
    [
      'routes.yaml:2:5: /routes/0: "match" is missing: What a request must look like. The most specific route wins: host, then path, then header predicates.',
    ],
  ],
  [
    'a key that is there twice is a problem, for readers disagree about which one counts',
    { routes: route('access: protected') },
    ['routes.yaml:6:5: the key access is in this mapping twice'],
  ],
  // Types
  [
    'an empty document',
    { routes: '' },
    ['routes.yaml:1:1: expected a mapping, got nothing (`routes.yaml`: which requests go where.)'],
  ],
  [
    'a text where a list belongs',
    { routes: 'routes: none' },
    ['routes.yaml:1:9: /routes: expected a list, got "none"; write [none] (All routes.)'],
  ],
  [
    'a number where a text belongs',
    { routes: ROUTES.replace('id: all', 'id: 5') },
    [
      'routes.yaml:2:9: /routes/0/id: expected a text, got 5; put it in quotes (Name of the route, unique in the bundle.)',
    ],
  ],
  [
    'a word of old YAML where true or false belongs',
    { routes: route('websocket: yes') },
    [
      'routes.yaml:6:16: /routes/0/websocket: expected true or false, got "yes"; without quotes, and not yes, no, on or off (WebSocket handshakes are relayed.)',
    ],
  ],
  [
    'a number with its unit',
    { routes: route('timeouts: {headMs: 30s}') },
    [
      'routes.yaml:6:24: /routes/0/timeouts/headMs: expected a whole number, got "30s"; a plain number, without quotes or unit (Until the response head has arrived. Unit: milliseconds.)',
    ],
  ],
  [
    'a fraction where a whole number belongs',
    { routes: route('bodyBytesMax: 1.5') },
    ['routes.yaml:6:19: /routes/0/bodyBytesMax: expected a whole number, got 1.5 (Largest request body. Unit: bytes.)'],
  ],
  [
    'what is no number',
    { defaults: 'accessLogSample: .nan\nbodyBytesMax: .inf' },
    [
      'defaults.yaml:1:18: /accessLogSample: expected a number, got NaN (Share of answered requests with an access-log line; refusals always have one.)',
      'defaults.yaml:2:15: /bodyBytesMax: expected a whole number, got Infinity (Largest request body. Unit: bytes.)',
    ],
  ],
  // Values
  [
    'a word that is none of those',
    { routes: ROUTES.replace('public', 'publik') },
    ['routes.yaml:4:13: /routes/0/access: "publik" is not one of protected, public; did you mean "public"?'],
  ],
  [
    'a name that does not fit',
    { routes: ROUTES.replace('id: all', 'id: All Routes') },
    [
      'routes.yaml:2:9: /routes/0/id: "All Routes" does not fit (Name of the route, unique in the bundle.); expected something like "orders-v2"',
    ],
  ],
  [
    'hosts and methods that do not fit',
    {
      routes: ROUTES.replace('{path: {prefix: /}}', '{path: {prefix: /}, hosts: ["Shop.example:443"], methods: [get]}'),
    },
    [
      'routes.yaml:3:40: /routes/0/match/hosts/0: "Shop.example:443" does not fit (Host name, lower-case and without port.); expected something like "shop.example.com" or "*.example.com" or "*"',
      'routes.yaml:3:71: /routes/0/match/methods/0: "get" does not fit (Method, in capitals.); expected something like "GET" or "POST"',
    ],
  ],
  [
    'a number out of its bounds',
    { routes: route('timeouts: {headMs: 5, connectMs: 60001}') },
    [
      'routes.yaml:6:24: /routes/0/timeouts/headMs: 5 is out of bounds; 10 to 3600000 is expected (Until the response head has arrived. Unit: milliseconds.)',
      'routes.yaml:6:38: /routes/0/timeouts/connectMs: 60001 is out of bounds; 10 to 60000 is expected (Until the upstream connection stands. Unit: milliseconds.)',
    ],
  ],
  [
    'a list that is too short',
    { routes: 'routes: []' },
    ['routes.yaml:1:9: /routes: 0 items; 1 to 100000 are expected (All routes.)'],
  ],
  [
    'a list that is too long',
    { routes: route(`limits: [${Array.from({ length: 9 }, () => 'a').join(',')}]`) },
    [
      'routes.yaml:6:13: /routes/0/limits: 9 items; 0 to 8 are expected (Limits of this route, besides those of `defaults.yaml`.)',
    ],
  ],
  [
    'a reason that is none',
    { routes: ROUTES.replace('everything, for a test', 'because') },
    [
      'routes.yaml:5:13: /routes/0/reason: "because" has 7 characters; 8 to 512 are expected (Why the route is public. Shown in reviews and `cnx routes`.)',
    ],
  ],
  [
    'a header value with a line break',
    { routes: route('respond: {answerHeaders: {set: {x-a: "b\\r\\nset-cookie: c"}}}') },
    [
      'routes.yaml:6:42: /routes/0/respond/answerHeaders/set/x-a: "b\\r\\nset-cookie: c" does not fit (Header field value, without line breaks and control characters.); expected ^[\\x20-\\x7e\\x80-\\xff\\t]*$',
    ],
  ],
  // References
  [
    'a cell that is not there',
    { routes: route('cell: ones') },
    ['routes.yaml:6:11: /routes/0/cell: there is no cell "ones"; did you mean "one"?'],
  ],
  [
    'an issuer that is not there',
    { routes: route('issuers: [zzzzzz]'), issuers: ISSUERS },
    ['routes.yaml:6:15: /routes/0/issuers/0: there is no issuer "zzzzzz"; known: staff'],
  ],
  [
    'a limit that is not there, on a route and on all',
    { routes: route('limits: [a]'), defaults: 'limits: [b]' },
    [
      'defaults.yaml:1:10: /limits/0: there is no limit "b"; none is defined',
      'routes.yaml:6:14: /routes/0/limits/0: there is no limit "a"; none is defined',
    ],
  ],
  [
    'a policy that is not there',
    { routes: route('policy: {name: auth}'), policies: POLICIES },
    ['routes.yaml:6:20: /routes/0/policy/name: there is no policy "auth"; did you mean "authz"?'],
  ],
  [
    'an entrypoint that the policy does not have',
    { routes: route('policy: {name: authz, entrypoint: authz/alow}'), policies: POLICIES },
    ['routes.yaml:6:39: /routes/0/policy/entrypoint: there is no entrypoint "authz/alow"; did you mean "authz/allow"?'],
  ],
  [
    'a pin to a cell that is not there',
    { cells: `${CELLS}pins: {acme/eu: tow, b: one, constructor: zzz}\n` },
    [
      'cells.yaml:4:17: /pins/acme~1eu: there is no cell "tow"; known: one',
      'cells.yaml:4:43: /pins/constructor: there is no cell "zzz"; known: one',
    ],
  ],
  [
    'a reference into a document that is wrong elsewhere',
    { routes: route('cell: two'), cells: `${CELLS}cell: 1\n` },
    [
      'cells.yaml:4:1: /cell: unknown key "cell"; did you mean "cells"?',
      'routes.yaml:6:11: /routes/0/cell: there is no cell "two"; known: one',
    ],
  ],
  // Twice
  [
    'a name that is taken',
    {
      routes: `${ROUTES}${ROUTES.slice('routes:\n'.length)}`,
      cells: TWO_CELLS.replace('two', 'one'),
      limits: 'limits:\n  - {id: a, key: [address], requests: 1}\n  - {id: a, key: [address], requests: 1}\n',
    },
    [
      'routes.yaml:6:9: /routes/1/id: "all" is already the id of /routes/0',
      'routes.yaml:2:5: /routes/0: route "all" leads nowhere: say `cell`, or `tenant` so that the ring can choose among 2 cells',
      'routes.yaml:6:5: /routes/1: route "all" leads nowhere: say `cell`, or `tenant` so that the ring can choose among 2 cells',
      'cells.yaml:3:10: /cells/1/id: "one" is already the id of /cells/0',
      'limits.yaml:3:10: /limits/1/id: "a" is already the id of /limits/0',
    ].sort((a, b) => 'rcl'.indexOf(a[0] ?? '') - 'rcl'.indexOf(b[0] ?? '') || a.localeCompare(b)),
  ],
  [
    'an endpoint that is there twice, and a field of a policy',
    {
      cells: CELLS.replace('[{', '[{address: "10.0.0.1:80"}, {'),
      policies: POLICIES.replace('[method]', '[method, path, method]'),
    },
    [
      'cells.yaml:3:53: /cells/0/endpoints/1/address: "10.0.0.1:80" is in this cell twice',
      'policies.yaml:1:77: /policies/0/input: a field is named twice',
    ],
  ],
  // Impossible values
  ...(
    [
      ['10.0.0.1:0', '0 is not a port; 1 to 65535 is expected'],
      ['10.0.0.1:65536', '65536 is not a port; 1 to 65535 is expected'],
      ['10.0.0.256:80', '10.0.0.256 is no IP address'],
      ['10.0.1:80', '10.0.1 is no IP address'],
      ['[10.0.0.1]:80', '[10.0.0.1] is no IP address'],
      ['[::1::]:80', '[::1::] is no IP address'],
    ] as const
  ).map(
    ([address, why]) =>
      [
        `the address ${address}`,
        { cells: CELLS.replace('10.0.0.1:80', address) },
        [`cells.yaml:3:27: /cells/0/endpoints/0/address: ${why}`],
      ] as const,
  ),
  [
    'networks that are none',
    { defaults: 'forwardedFrom: [10.0.0.0/33, 10.0.0/8, "::/129", 10.0.0.0/8, "2001:db8::/32"]' },
    [
      'defaults.yaml:1:17: /forwardedFrom/0: /33 is too long; at most /32 is possible for IPv4',
      'defaults.yaml:1:30: /forwardedFrom/1: "10.0.0" is no IP address',
      'defaults.yaml:1:40: /forwardedFrom/2: /129 is too long; at most /128 is possible for IPv6',
    ],
  ],
  [
    'bounds that contradict each other',
    {
      cells: `${CELLS}    health: {latencyGoodMs: 500, latencyBadMs: 500}\n    probe: {intervalMs: 100, timeoutMs: 200}\n`,
    },
    [
      'cells.yaml:4:48: /cells/0/health/latencyBadMs: must be greater than latencyGoodMs (500)',
      'cells.yaml:5:41: /cells/0/probe/timeoutMs: must not be greater than intervalMs (100)',
    ],
  ],
  [
    'the path of a probe is visible ASCII: it goes out as it is',
    { cells: `${CELLS}    probe: {path: "/health check"}\n` },
    [
      'cells.yaml:4:19: /cells/0/probe/path: "/health check" does not fit (Asked with GET; any 2xx or 3xx is a success.); expected something like "/healthz"',
    ],
  ],
  [
    'a status that does not redirect',
    { routes: route('respond: {redirect: {to: /new, status: 304}}') },
    [
      'routes.yaml:6:44: /routes/0/respond/redirect/status: 304 is not a redirect; 301, 302, 303, 307 or 308 is expected',
    ],
  ],
  [
    'two ways where one is meant, and none',
    {
      routes: `routes:
  - {id: a, match: {path: {prefix: /, exact: /}}, access: public, reason: for a test, tenant: {}}
  - {id: b, match: {path: {}}, access: public, reason: for a test, tenant: {header: a, fixed: b}}
`,
    },
    [
      'routes.yaml:2:27: /routes/0/match/path: exactly one of exact, prefix, template, regex is expected, got exact and prefix',
      'routes.yaml:2:95: /routes/0/tenant: exactly one of claim, header, hostLabel, pathSegment, sniLabel, fixed is expected, got none',
      'routes.yaml:3:27: /routes/1/match/path: exactly one of exact, prefix, template, regex is expected, got none',
      'routes.yaml:3:76: /routes/1/tenant: exactly one of claim, header, hostLabel, pathSegment, sniLabel, fixed is expected, got header and fixed',
    ],
  ],
  [
    'a route that leads nowhere',
    { cells: TWO_CELLS },
    [
      'routes.yaml:2:5: /routes/0: route "all" leads nowhere: say `cell`, or `tenant` so that the ring can choose among 2 cells',
    ],
  ],
  [
    'a redirect to HTTPS leads nowhere either, for requests with TLS are forwarded',
    { cells: TWO_CELLS, routes: route('respond: {redirect: {to: "https:8443"}}') },
    [
      'routes.yaml:2:5: /routes/0: route "all" leads nowhere: say `cell`, or `tenant` so that the ring can choose among 2 cells',
    ],
  ],
  [
    'a tenant from a claim, without a token',
    { routes: route('tenant: {claim: org}') },
    ['routes.yaml:6:21: /routes/0/tenant/claim: a claim needs an issuer'],
  ],
  // Secure by default
  [
    'a route that says nothing is protected, and needs an issuer and a policy',
    { routes: 'routes:\n  - id: all\n    match: {path: {prefix: /}}\n' },
    [
      'routes.yaml:2:5: /routes/0: route "all" has no issuer; add `issuers: […]`, or `access: public` with a reason',
      'routes.yaml:2:5: /routes/0: route "all" has no policy; add `policy: {name: …}`, or `access: public` with a reason',
    ],
  ],
  [
    'an issuer alone is not enough',
    { routes: 'routes:\n  - id: all\n    match: {path: {prefix: /}}\n    issuers: [staff]\n', issuers: ISSUERS },
    [
      'routes.yaml:2:5: /routes/0: route "all" has no policy; add `policy: {name: …}`, or `access: public` with a reason',
    ],
  ],
  [
    'a public route says why',
    { routes: ROUTES.replace(/ {4}reason.*\n/, '') },
    ['routes.yaml:2:5: /routes/0: route "all" is public without a reason; add `reason: …`'],
  ],
  ...['https', 'https:8443'].map(
    (to) =>
      [
        `a redirect to ${to} does not open a protected route`,
        {
          routes: `routes:\n  - id: all\n    match: {path: {prefix: /}}\n    respond: {redirect: {to: "${to}"}}\n`,
        },
        [
          'routes.yaml:2:5: /routes/0: route "all" has no issuer; add `issuers: […]`, or `access: public` with a reason',
          'routes.yaml:2:5: /routes/0: route "all" has no policy; add `policy: {name: …}`, or `access: public` with a reason',
        ],
      ] as const,
  ),
  // Issuers
  [
    'an issuer without keys',
    { issuers: issuer('algorithms: [ES256]') },
    ['issuers.yaml:2:5: /issuers/0: exactly one of jwks, jwksUrl, hmacSecret is expected, got none'],
  ],
  [
    'an issuer with two kinds of keys',
    {
      issuers: issuer('{algorithms: [ES256]}').replace(
        / {4}\{.*\}/,
        '    algorithms: [HS256]\n    jwksUrl: https://a\n    hmacSecret: b',
      ),
    },
    ['issuers.yaml:2:5: /issuers/0: exactly one of jwks, jwksUrl, hmacSecret is expected, got jwksUrl and hmacSecret'],
  ],
  [
    'HMAC beside public keys',
    { issuers: issuer('algorithms: [RS256, HS256]\n    jwksUrl: https://id.example') },
    [
      'issuers.yaml:5:17: /issuers/0/algorithms: HMAC cannot be mixed with public-key algorithms: a public key would become a shared secret (RFC 8725 §3.1)',
    ],
  ],
  [
    'HMAC without a secret',
    { issuers: issuer('algorithms: [HS256]\n    jwksUrl: https://id.example') },
    ['issuers.yaml:5:17: /issuers/0/algorithms: HS256, HS384 and HS512 go with hmacSecret, and only with it'],
  ],
  [
    'the algorithm none',
    { issuers: issuer('algorithms: [none]\n    jwksUrl: https://id.example') },
    [
      'issuers.yaml:5:18: /issuers/0/algorithms/0: "none" is not one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519, HS256, HS384, HS512',
    ],
  ],
  [
    'private keys and secrets in a bundle',
    { issuers: issuer('algorithms: [ES256]\n    jwks: {keys: [{kty: EC, d: x}, {kty: oct, k: y}]}') },
    [
      'issuers.yaml:6:19: /issuers/0/jwks/keys/0: holds private or secret key material; put only the public key here',
      'issuers.yaml:6:36: /issuers/0/jwks/keys/1: holds private or secret key material; put only the public key here',
    ],
  ],
  [
    'keys fetched without TLS',
    { issuers: issuer('algorithms: [ES256]\n    jwksUrl: http://127.0.0.1.evil.example/jwks') },
    [
      'issuers.yaml:6:14: /issuers/0/jwksUrl: http: is for loopback only; keys fetched without TLS can be replaced on the way',
    ],
  ],
  [
    'keys fetched without TLS from who stands behind a name like loopback',
    { issuers: issuer('algorithms: [ES256]\n    jwksUrl: http://localhost:80@evil.example/jwks') },
    [
      'issuers.yaml:6:14: /issuers/0/jwksUrl: a user or password in it would be shown wherever the URL is; key sets are public',
    ],
  ],
  [
    'an address of keys that is none',
    { issuers: issuer('algorithms: [ES256]\n    jwksUrl: https://[') },
    ['issuers.yaml:6:14: /issuers/0/jwksUrl: "https://[" is no URL'],
  ],
  [
    'a secret by value',
    { issuers: issuer('algorithms: [HS256]\n    hmacSecret: "S3cret value!"') },
    [
      'issuers.yaml:6:17: /issuers/0/hmacSecret: "S3cret value!" does not fit (Name of a secret that the bootstrap maps to `env:` or `file:`.); expected something like "session-key"',
    ],
  ],
];

describe('a wrong bundle is told with place, what was expected and the nearest spelling', () => {
  for (const [what, documents, lines] of wrong) it(what, () => assert.deepEqual(said(documents), lines));
});

describe('a bundle', () => {
  it('is right with routes and cells alone; the rest has defaults', () => {
    assert.deepEqual(said({}), []);
    assert.deepEqual(
      said({
        issuers: ISSUERS,
        policies: POLICIES,
        routes: 'routes: [{id: a, match: {path: {exact: /}}, issuers: [staff], policy: {name: authz}}]',
      }),
      [],
    );
    assert.deepEqual(
      said({ routes: 'routes: [{id: a, match: {path: {exact: /}}, respond: {redirect: {to: /b}}}]', cells: TWO_CELLS }),
      [],
      'a route that only redirects needs nobody to ask',
    );
  });
  it('without its documents says which are missing', () => {
    const result = readBundle(new Map());
    assert.deepEqual(result.ok ? [] : result.problems.map(renderProblem), [
      'routes.yaml: the file is missing',
      'cells.yaml: the file is missing',
    ]);
  });
  it('keeps tenants that are called like something of the language', () => {
    const cells = new Document(
      'cells.json',
      '{"cells":[{"id":"one","endpoints":[{"address":"a:1"}]}],"pins":{"constructor":"one","__proto__":"one"}}',
    );
    const result = readBundle(
      new Map([
        ['cells', cells],
        ['routes', new Document('routes.yaml', ROUTES)],
      ]),
    );
    assert.deepEqual(result.ok && Object.keys(result.value.cells.pins), ['constructor', '__proto__']);
  });
  it('tells what is wrong in all documents at once, a document after the other, line by line', () => {
    const lines = said({
      routes: route('cell: a').replace('access:', 'acces:').replace('reason', 'reson'),
      cells: `${CELLS}pins: 5\n`,
      issuers: issuer('algorithms: [none]'),
      waf: 'mode: blok',
      limits: 'limits: [',
    });
    assert.deepEqual(
      lines.map((l) => l.split(': ').slice(0, 2).join(' ')),
      [
        'routes.yaml:4:5 /routes/0/acces',
        'routes.yaml:5:5 /routes/0/reson',
        'cells.yaml:4:7 /pins',
        'issuers.yaml:5:18 /issuers/0/algorithms/0',
        'limits.yaml:1:10 Flow sequence in block collection must be sufficiently indented and end with a ]',
        'waf.yaml:1:7 /mode',
      ],
    );
  });
  it('tells the same of JSON as of YAML', () => {
    const routes = JSON.stringify(
      { routes: [{ id: 'all', match: { path: { prefix: '/' } }, acces: 'public', cell: 5 }] },
      null,
      2,
    );
    assert.deepEqual(said({ routes }, 'json'), [
      'routes.json:10:7: /routes/0/acces: unknown key "acces"; did you mean "access"?',
      'routes.json:11:15: /routes/0/cell: expected a text, got 5; put it in quotes (A cell of `cells.yaml`; without it the tenant decides.)',
    ]);
    assert.deepEqual(
      said({ routes }, 'yaml').map((l) => l.replaceAll('.yaml:', '.json:')),
      said({ routes }, 'json'),
    );
  });
  it('of which everything is wrong is told in part, and says so', () => {
    for (const [more, message] of [
      ['acces: 1', 'unknown key "acces"; did you mean "access"?'],
      ['access: public, reason: for a test, cell: two', 'there is no cell "two"; known: one'],
    ] as const) {
      const routes = Array.from({ length: 1_000 }, (_, i) => `  - {id: r${i}, match: {path: {exact: /}}, ${more}}`);
      const lines = said({ routes: `routes:\n${routes.join('\n')}\n` });
      assert.equal(lines.length, 201);
      assert.equal(lines.at(-1), 'routes.yaml: and more; only 200 problems are told at once');
      assert.ok(lines[199]?.startsWith('routes.yaml:201:') && lines[199].endsWith(message), lines[199]);
    }
  });
});
