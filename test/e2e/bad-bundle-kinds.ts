/** What can be wrong with a bundle, how it is made so, and the reason that its author needs. */
import { digestOf } from '../../src/control/oci/digest.ts';
import { LAYERS, OCI_INDEX, SIGSTORE_BUNDLE } from '../../src/control/oci/media-types.ts';
import { makeSigstoreBundle } from '../../src/control/trust/sigstore-bundle.ts';
import { CHANNEL } from '../harness/bundle.ts';
import { makeModule, OP } from '../policy/wasm-builder.ts';
import {
  CELL,
  type Draft,
  type Json,
  cells,
  document,
  envelope,
  manifest,
  own,
  part,
  policy,
  released,
  routes,
  rules,
  stranger,
  text,
  utf8,
  ROUTE,
} from './bundle-draft.ts';

export const KINDS: readonly (readonly [string, (draft: Draft) => void, RegExp])[] = [
  // Structure
  ['no manifest at all', text(() => 'not json'), /^verify: malformed_json/],
  ['a manifest with a byte order mark', text((t) => `\ufeff${t}`), /^verify: malformed_json/],
  ['a manifest with a name twice', text((t) => t.replace('{', '{"layers":[],')), /^verify: malformed_json: .*twice/],
  ['a manifest that is cut off', text((t) => t.slice(0, -20)), /^verify: malformed_json/],
  ['a manifest that is an index as well', manifest((m) => void (m['manifests'] = [])), /^verify: ambiguous_manifest/],
  [
    'an index',
    text(() => JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] })),
    /^verify: wrong_artifact_type/,
  ],
  [
    'another schemaVersion',
    manifest((m) => void (m['schemaVersion'] = 1)),
    /^verify: malformed_manifest: .*schemaVersion/,
  ],
  ['another mediaType', manifest((m) => void (m['mediaType'] = OCI_INDEX)), /^verify: malformed_manifest: .*mediaType/],
  ['another artifactType', manifest((m) => void (m['artifactType'] = 'application/x')), /^verify: wrong_artifact_type/],
  ['no artifactType', manifest((m) => void delete m['artifactType']), /^verify: wrong_artifact_type/],
  ['no config', manifest((m) => void delete (m as Json)['config']), /^verify: malformed_manifest: .*config/],
  [
    'a config of another type',
    manifest((m) => void (m.config['mediaType'] = 'application/x')),
    /^verify: wrong_artifact_type/,
  ],
  ['no layers', manifest((m) => void delete (m as Json)['layers']), /^verify: malformed_manifest: .*layers/],
  [
    'a digest of another algorithm',
    manifest((m) => void (m.layers[0]!['digest'] = `sha512:${'0'.repeat(128)}`)),
    /^verify: malformed_manifest: .*layers\[0\]\.digest/,
  ],
  [
    'a digest that is a path',
    manifest((m) => void (m.layers[0]!['digest'] = 'sha256:../../etc/passwd')),
    /^verify: malformed_manifest/,
  ],
  [
    'a size that is negative',
    manifest((m) => void (m.layers[0]!['size'] = -1)),
    /^verify: malformed_manifest: .*layers\[0\]\.size/,
  ],
  [
    'a layer that it does not know',
    (d) => void d.layers.push({ mediaType: 'application/x-tar', title: 'x', bytes: utf8('x') }),
    /^verify: unknown_layer: .*application\/x-tar/,
  ],
  [
    'no routes',
    (d) => void (d.layers = d.layers.filter((l) => l.title !== 'routes.json')),
    /^verify: missing_layer: .*routes/,
  ],
  [
    'routes twice',
    (d) => void d.layers.push({ ...document('routes', { routes: [] }), title: 'more.json' }),
    /^verify: duplicate_layer/,
  ],
  [
    'a title twice',
    (d) => void d.layers.push({ mediaType: LAYERS.seclang.mediaType, title: 'routes.json', bytes: utf8('') }),
    /^verify: duplicate_layer/,
  ],
  [
    'a layer without a title',
    (d) => void d.layers.push({ mediaType: LAYERS.seclang.mediaType, title: '', bytes: utf8('') }),
    /^verify: malformed_manifest: .*title/,
  ],
  ['a layer that is not there', (d) => void (d.withhold = (title) => title === 'routes.json'), /not_found|has no blob/],
  // Release document
  ['a release document that is none', released({ schema: 2 }), /^verify: malformed_release: .*schema/],
  ['a release of nothing', released({ product: '' }), /^verify: malformed_release: .*product/],
  ['a release with a rule that nobody keeps', released({ embargo: true }), /^verify: malformed_release: .*embargo/],
  ['a sequence that is negative', released({ seq: -1 }), /^verify: malformed_release: .*seq/],
  ['a sequence that is a text', released({ seq: '12' }), /^verify: malformed_release: .*seq/],
  ['a floor above its own sequence', released({ floor: 1_000_000 }), /^verify: malformed_release: .*floor/],
  ['a date that is none', released({ createdAt: 'yesterday' }), /^verify: malformed_release: .*createdAt/],
  ['a release for nobody', released({ audience: { channels: [] } }), /^verify: malformed_release: .*channels/],
  ['another product', released({ product: 'other' }), /^verify: audience_mismatch: .*"other"/],
  ['another channel', released({ audience: { channels: ['staging'] } }), /^verify: audience_mismatch: .*"staging"/],
  [
    'gateways of another region',
    released({ audience: { channels: [CHANNEL], selector: { region: 'us' } } }),
    /^verify: audience_mismatch: .*region=us/,
  ],
  ['a gateway of the future', released({ minGateway: '99.0.0' }), /^verify: gateway_too_old: .*99\.0\.0/],
  ['a feature of the future', released({ requires: ['telepathy.v1'] }), /^verify: unsupported_feature: .*telepathy/],
  ['an end that has passed', released({ notAfter: '2026-01-01T00:00:00Z' }), /^verify: expired/],
  // Order
  ['a sequence below the floor', released({ seq: 3 }), /^verify: below_floor/],
  ['the sequence of the one that serves', released({ seq: 10 }), /^verify: equivocation/],
  ['a clock as its sequence', released({ seq: 1_795_219_200_000 }), /^verify: seq_jump/],
  // Limits
  [
    'a layer over its cap',
    manifest((m) => void (m.layers[0]!['size'] = LAYERS.routes.bytesMax + 1)),
    /^verify: too_large/,
  ],
  [
    'a layer that is smaller than signed',
    manifest((m) => void (m.layers[0]!['size'] = 4_000)),
    /^verify: size_mismatch/,
  ],
  ['a release document over its cap', manifest((m) => void (m.config['size'] = 1 << 20)), /^verify: too_large/],
  [
    'more layers than are taken',
    manifest((m) => void m.layers.push(...Array.from({ length: 600 }, () => ({ ...m.layers[0] })))),
    /^verify: malformed_manifest/,
  ],
  [
    'JSON nested beyond any use',
    (d) => void (d.layers[0]!.bytes = utf8(`${'['.repeat(5_000)}${']'.repeat(5_000)}`)),
    /^verify: malformed_json: .*deep|^verify: malformed_json/,
  ],
  // Signatures
  ['no signature', (d) => void (d.sign = null), /^verify: unsigned/],
  [
    "a stranger's signature",
    (d) => void (d.sign = (digest) => makeSigstoreBundle(stranger, digest)),
    /^verify: wrong_key/,
  ],
  [
    'a signature of another manifest',
    (d) => {
      const { sign } = d;
      d.sign = () => sign?.(digestOf(utf8('another'))) ?? utf8('');
    },
    /^verify: bad_signature: .*subject/,
  ],
  [
    'a signature that was altered',
    envelope((b) => void (b.dsseEnvelope.signatures[0]!['sig'] = Buffer.alloc(64, 1).toString('base64'))),
    /^verify: bad_signature/,
  ],
  [
    'a payload that was altered',
    envelope((b) => void (b.dsseEnvelope['payload'] = Buffer.from('{}').toString('base64'))),
    /^verify: bad_signature/,
  ],
  [
    'a payload of another type',
    envelope((b) => void (b.dsseEnvelope['payloadType'] = 'text/plain')),
    /^verify: bad_signature: .*payloadType/,
  ],
  [
    'two signatures in one envelope',
    envelope((b) => void b.dsseEnvelope.signatures.push({ ...b.dsseEnvelope.signatures[0] })),
    /^verify: bad_signature: .*exactly one/,
  ],
  [
    'a certificate instead of a key',
    envelope((b) => void (b.verificationMaterial['certificate'] = { rawBytes: 'AA==' })),
    /^verify: bad_signature: .*certificate/,
  ],
  [
    'a signature of another format version',
    envelope((b) => void (b['mediaType'] = SIGSTORE_BUNDLE.replace('v0.3', 'v0.9'))),
    /^verify: bad_signature: .*mediaType/,
  ],
  // Documents
  [
    'a document that is no JSON',
    (d) => void (d.layers[0]!.bytes = utf8('routes: []')),
    /^verify: malformed_json: .*routes\.json/,
  ],
  [
    'a document that is no UTF-8',
    (d) => void (d.layers[0]!.bytes = Uint8Array.of(0x22, 0xff, 0x22)),
    /^verify: malformed_json/,
  ],
  ['an unknown key', routes({ acess: 'public' }), /^compile: .*unknown key "acess".*access/s],
  ['a value of another type', routes({ bodyBytesMax: 'much' }), /^compile: .*bodyBytesMax.*whole number/s],
  [
    'a value out of bounds',
    cells({ endpoints: [{ address: '127.0.0.1:1', capacity: 0 }] }),
    /^compile: .*capacity.*out of bounds/s,
  ],
  ['no routes in its routes', part('routes', { routes: [] }), /^compile: .*routes/s],
  ['a cell without endpoints', cells({ endpoints: [] }), /^compile: .*endpoints/s],
  ['an endpoint without a port', cells({ endpoints: [{ address: '127.0.0.1' }] }), /^compile: .*address/s],
  [
    'an endpoint that is no address',
    cells({ endpoints: [{ address: '999.1.1.1:80' }] }),
    /^compile: .*999\.1\.1\.1 is no IP address/s,
  ],
  ['a path of two kinds', routes({ match: { path: { prefix: '/', exact: '/' } } }), /^compile: .*exactly one of/s],
  ['a regular expression that cannot be', routes({ match: { path: { regex: '(' } } }), /^compile: .*regex/s],
  ['a regular expression that could explode', routes({ match: { path: { regex: '(a+)+\\1' } } }), /^compile: .*regex/s],
  // References
  ['two routes of one name', routes({}, { ...ROUTE, match: { path: { exact: '/x' } } }), /^compile: .*"?all"?/s],
  ['two cells of one name', cells({}, CELL), /^compile: .*one/s],
  ['a route to a cell that is not there', routes({ cell: 'tow' }), /^compile: .*"tow".*known: one/s],
  [
    'a route that asks an issuer that is not there',
    routes({ access: 'protected', issuers: ['nobody'] }),
    /^compile: .*nobody/s,
  ],
  ['a route that asks a policy that is not there', routes({ policy: { name: 'absent' } }), /^compile: .*absent/s],
  ['a route with a limit that is not there', routes({ limits: ['absent'] }), /^compile: .*absent/s],
  ['a protected route that nobody protects', routes({ access: 'protected' }), /^compile: .*has no issuer/s],
  ['a public route without a reason', routes({ reason: undefined }), /^compile: .*public without a reason/s],
  [
    'a secret that this gateway does not have',
    part('issuers', {
      issuers: [{ id: 'i', issuer: 'https://i.test', audiences: ['a'], algorithms: ['HS256'], hmacSecret: 'absent' }],
    }),
    /^compile: .*absent/s,
  ],
  [
    'an issuer that believes everything',
    part('issuers', {
      issuers: [
        { id: 'i', issuer: 'https://i.test', audiences: ['a'], algorithms: ['none'], jwksUrl: 'https://i.test/k' },
      ],
    }),
    /^compile: .*none/s,
  ],
  [
    'keys that come without TLS',
    part('issuers', {
      issuers: [
        { id: 'i', issuer: 'https://i.test', audiences: ['a'], algorithms: ['RS256'], jwksUrl: 'http://i.test/k' },
      ],
    }),
    /^compile: .*without TLS/s,
  ],
  [
    'a private key in a bundle',
    part('issuers', {
      issuers: [
        {
          id: 'i',
          issuer: 'https://i.test',
          audiences: ['a'],
          algorithms: ['RS256'],
          jwks: { keys: [{ kty: 'RSA', n: 'AQAB', e: 'AQAB', d: 'AQAB' }] },
        },
      ],
    }),
    /^compile: .*private or secret key/s,
  ],
  // WAF
  [
    'a rule file that is not there',
    part('waf', { mode: 'block', rules: ['waf/absent.conf'] }),
    /^compile: .*absent\.conf/s,
  ],
  ['a directive that does not exist', rules('SecTelepathy On\n'), /^compile: .*SecTelepathy/s],
  [
    'an operator that does not exist',
    rules('SecRule ARGS "@telepathy x" "id:1,phase:2,deny"\n'),
    /^compile: .*telepathy/s,
  ],
  [
    'a transformation that does not exist',
    rules('SecRule ARGS "@rx x" "id:1,phase:2,t:telepathy,deny"\n'),
    /^compile: .*telepathy/s,
  ],
  [
    'a variable that does not exist',
    rules('SecRule TELEPATHY "@rx x" "id:1,phase:2,deny"\n'),
    /^compile: .*TELEPATHY/s,
  ],
  ['a rule without an id', rules('SecRule ARGS "@rx x" "phase:2,deny"\n'), /^compile: .*id/s],
  [
    'two rules of one id',
    rules('SecRule ARGS "@rx x" "id:1,phase:2,deny"\nSecRule ARGS "@rx y" "id:1,phase:2,deny"\n'),
    /^compile: .*1/s,
  ],
  ['a pattern that cannot be', rules('SecRule ARGS "@rx (" "id:1,phase:2,deny"\n'), /^compile: .*rules\.conf/s],
  [
    'a pattern that needs more memory than there is',
    rules('SecRule ARGS "@rx (a{1000}){1000}{1000}" "id:1,phase:2,deny"\n'),
    /^compile: .*rules\.conf/s,
  ],
  [
    'phrases that are not there',
    rules('SecRule ARGS "@pmFromFile absent.data" "id:1,phase:2,deny"\n'),
    /^compile: .*absent\.data/s,
  ],
  ['a chain that has no end', rules('SecRule ARGS "@rx x" "id:1,phase:2,deny,chain"\n'), /^compile: .*chain/s],
  ['a quote that has no end', rules('SecRule ARGS "@rx x "id:1\n'), /^compile: .*rules\.conf/s],
  // Policies
  ['a policy without a module', policy(null), /^compile: .*policies/s],
  ['a module that is none', policy(utf8('not wasm')), /^compile: .*policies/s],
  ['a module that is cut off', policy(makeModule({}).slice(0, 100)), /^compile: .*policies/s],
  ['a module of another ABI', policy({ abi: [9, 9] }), /^compile: .*policies.*9/s],
  ['a module without what it must have', policy({ without: ['eval'] }), /^compile: .*policies.*eval/s],
  ['a module that wants more than it gets', policy({ foreign: ['env', 'exec'] }), /^compile: .*policies.*exec/s],
  [
    'a module with a built-in that would leave the gateway',
    policy({ builtins: '{"http.send":0}' }),
    /^compile: .*policies.*http\.send/s,
  ],
  ['an entrypoint that is not there', policy({ entrypoints: '{"other":0}' }), /^compile: .*policies.*made\/allow/s],
  ['a policy that loops for ever', policy({ evaluate: OP.forever }), /^compile: .*policies.*did not answer/s],
  [
    'a policy that loops while it is loaded',
    policy({ start: [0x03, 0x40, 0x0c, 0x00, 0x0b] }),
    /^compile: .*policies/s,
  ],
  ['a policy that aborts', policy({ evaluate: OP.abort }), /^compile: .*policies.*made to abort/s],
  ['a policy that traps', policy({ evaluate: OP.unreachable }), /^compile: .*policies.*unreachable/s],
  ['a policy that calls itself without end', policy({ evaluate: OP.recurse }), /^compile: .*policies/s],
  ['a policy that fails', policy({ evaluate: OP.failed }), /^compile: .*policies/s],
  ['a policy whose answer is no JSON', policy({ result: '{' }), /^compile: .*policies/s],
  [
    'a policy whose answers are not of the kind that it promises',
    policy({ result: '[{"result":true}]' }, { result: 'decision' }),
    /^compile: .*policies.*is not what `result` promises/s,
  ],
  [
    'a policy that promises what there is not',
    policy({}, { result: 'perhaps' }),
    /^compile: .*perhaps.*boolean, decision/s,
  ],
  ['a policy of a version that is none', policy({}, { version: 'new' }), /^compile: .*version.*1\.2\.0/s],
  ['a policy that reads what is never sent', policy({}, { input: ['telepathy'] }), /^compile: .*policies.*telepathy/s],
  // Its own tests
  [
    'a test that expects a refusal',
    own({ refusal: 'policy_denied', status: 403 }),
    /^tests: tests\.json.*the test "mine" fails: refusal: expected "policy_denied", found none; status: expected 403, found none/s,
  ],
  [
    'a test that expects to be forwarded',
    own({ outcome: 'forwarded' }, { url: 'https://a.example/%00' }),
    /^tests: .*outcome: expected "forwarded", found "refused" \(/s,
  ],
  [
    'a test whose rule stays silent',
    (d) => {
      rules('SecRule ARGS "@contains evil" "id:1,phase:2,deny"\n')(d);
      own({ rules: [1] }, { url: 'https://a.example/?q=good' })(d);
    },
    /^tests: .*rules: expected "1", found none/s,
  ],
  [
    'a test of a field that goes upstream otherwise',
    own({ upstream: { headers: { 'x-forwarded-proto': 'http' } } }),
    /^tests: .*upstream\.headers\.x-forwarded-proto: expected "http", found "https"/s,
  ],
  [
    'a test whose policy decides otherwise',
    (d) => {
      policy({ result: '[{"result":false}]' })(d);
      routes({ policy: { name: 'made' } })(d);
      own({ policy: 'allow' })(d);
    },
    /^tests: .*policy: expected "allow", found "deny" \(policy made\)/s,
  ],
  ['a test of a route that is not there', own({ route: 'al' }), /^compile: .*there is no route "al".*all/s],
  ['a test of a refusal that does not exist', own({ refusal: 'no_rout' }), /^compile: .*no_rout.*no_route/s],
  ['a test with a token of nobody', own({ route: 'all' }, { token: {} }), /^compile: .*say `issuer`/s],
  ['a test that expects nothing', own({}), /^compile: .*tests\/0\/expect/s],
  [
    'more tests than are taken',
    part('tests', {
      tests: Array.from({ length: 501 }, (_, i) => ({
        name: `${i}`,
        request: { url: 'https://a.example/' },
        expect: { route: 'all' },
      })),
    }),
    /^compile: .*501 items; 0 to 500/s,
  ],
];
