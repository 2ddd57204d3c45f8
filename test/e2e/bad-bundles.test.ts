/**
 * Bad bundles on a running gateway, each rightly signed unless that is what is wrong with it: every one is refused with the reason that its author needs, and the good
 * one serves on. They are made here by hand, for `cnx bundle build` would not make them.
 */
import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { assembleSignature } from '../../src/control/oci/artifact.ts';
import { type Digest, digestOf } from '../../src/control/oci/digest.ts';
import { canonicalJsonBytes } from '../../src/control/oci/json.ts';
import { OciLayout } from '../../src/control/oci/layout.ts';
import type { Descriptor } from '../../src/control/oci/manifest.ts';
import {
  BUNDLE_ARTIFACT,
  LAYERS,
  OCI_INDEX,
  OCI_MANIFEST,
  POLICY_ANNOTATION,
  RELEASE,
  SIGSTORE_BUNDLE,
} from '../../src/control/oci/media-types.ts';
import { makeSigstoreBundle } from '../../src/control/trust/sigstore-bundle.ts';
import { CHANNEL, plainBundle, PRODUCT } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { makeModule, type Misbehaviour, OP } from '../policy/wasm-builder.ts';
import { ask } from './client.ts';
import { Given } from './given.ts';

type Json = Record<string, unknown>;

interface Layer {
  mediaType: string;
  title: string;
  bytes: Uint8Array;
  annotations?: Record<string, string>;
}

/** A bundle before it becomes bytes; a row of the table spoils it. */
interface Draft {
  release: Json;
  layers: Layer[];
  /** Spoils the manifest as JSON, then as text. */
  manifest: (manifest: Json & { layers: Json[]; config: Json }) => void;
  text: (text: string) => string;
  /** Blobs that are not put there. */
  withhold: (title: string) => boolean;
  sign: ((digest: Digest) => Uint8Array) | null;
}

const utf8 = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
const document = (
  part: 'routes' | 'cells' | 'issuers' | 'limits' | 'policies' | 'waf' | 'defaults' | 'tests',
  value: unknown,
): Layer => ({
  mediaType: LAYERS[part].mediaType,
  title: `${part}.json`,
  bytes: utf8(value),
});
const GUARDRAIL = fileURLToPath(new URL('../../config/guardrail/guardrail.wasm', import.meta.url));
const stranger = generateKeyPairSync('ed25519').privateKey;

const ROUTE = { id: 'all', match: { path: { prefix: '/' } }, access: 'public', reason: 'everything, for a test' };
const CELL = { id: 'one', endpoints: [{ address: '127.0.0.1:1' }] };

/** Replaces a document, or adds it. */
const part =
  (name: Parameters<typeof document>[0], value: unknown) =>
  (draft: Draft): void => {
    draft.layers = [...draft.layers.filter((layer) => layer.title !== `${name}.json`), document(name, value)];
  };
const routes = (more: Json, ...others: Json[]) => part('routes', { routes: [{ ...ROUTE, ...more }, ...others] });
const cells = (more: Json, ...others: Json[]) => part('cells', { cells: [{ ...CELL, ...more }, ...others] });
const released =
  (more: Json) =>
  (draft: Draft): void =>
    void Object.assign(draft.release, more);
const manifest =
  (edit: Draft['manifest']) =>
  (draft: Draft): void => {
    draft.manifest = edit;
  };
const text =
  (edit: Draft['text']) =>
  (draft: Draft): void => {
    draft.text = edit;
  };
/** Rules that the WAF is to load. */
const rules =
  (conf: string, data?: Layer) =>
  (draft: Draft): void => {
    part('waf', { mode: 'block', rules: ['waf/rules.conf'] })(draft);
    draft.layers.push({ mediaType: LAYERS.seclang.mediaType, title: 'waf/rules.conf', bytes: utf8(conf) });
    if (data !== undefined) draft.layers.push(data);
  };
/** A policy that a route asks. */
const policy =
  (module: Uint8Array | Misbehaviour | null, more: Json = {}) =>
  (draft: Draft): void => {
    const entry = {
      name: 'made',
      source: 'policies/made.rego',
      entrypoints: ['made/allow'],
      input: ['method', 'path'],
    };
    part('policies', { policies: [{ ...entry, ...more }] })(draft);
    if (module === null) return;
    const bytes = module instanceof Uint8Array ? module : makeModule(module);
    const annotations = { [POLICY_ANNOTATION]: 'made' };
    draft.layers.push({ mediaType: LAYERS.wasm.mediaType, title: 'made.wasm', bytes, annotations });
  };
/** A test that the bundle brings along. */
const own = (expect: Json, request: Json = {}) =>
  part('tests', { tests: [{ name: 'mine', request: { url: 'https://a.example/x', ...request }, expect }] });
/** A signature whose envelope is spoiled. */
const envelope =
  (edit: (bundle: Json & { dsseEnvelope: Json & { signatures: Json[] }; verificationMaterial: Json }) => void) =>
  (draft: Draft): void => {
    const { sign } = draft;
    draft.sign = (digest) => {
      const bundle = JSON.parse(Buffer.from(sign?.(digest) ?? []).toString()) as Parameters<typeof edit>[0];
      edit(bundle);
      return canonicalJsonBytes(bundle);
    };
  };

const KINDS: readonly (readonly [string, (draft: Draft) => void, RegExp])[] = [
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

describe('bad bundles', () => {
  const given = new Given();
  after(() => given.end());

  it(`of ${KINDS.length} kinds are all refused with their reasons, and the good one serves on`, async () => {
    assert.ok(KINDS.length >= 60);
    const upstream = await given.upstream();
    const gateway = await given.gateway({
      bundle: plainBundle([upstream.address], { release: { seq: 10, floor: 5 } }),
    });
    const layout = OciLayout.at(join(gateway.directory, 'bundles'));
    const key = createPrivateKey(readFileSync(gateway.key.keyFile));
    const good = await statusOf(gateway);
    assert.equal(good.bundle?.seq, 10);
    const told: string[] = [];
    for (const [i, [what, spoil, reason]] of KINDS.entries()) {
      const digest = await publish(layout, key, 11 + i, what, spoil);
      let found: string | undefined;
      await gateway.until(`${what} is refused`, async () => {
        const now = await statusOf(gateway);
        assert.equal(now.bundle?.digest, good.bundle?.digest, `${what} was taken`);
        found = now.rejections.find((r) => r.digest === digest)?.full;
        // A blob that is not there says nothing about the bundle; the source is at fault.
        if (now.source.seen === digest && now.source.state === 'unreachable') found ??= `${now.source.lastError}`;
        return found !== undefined;
      });
      if (!reason.test(found ?? '')) told.push(`${what}: ${found}`);
      assert.equal((await ask(gateway.ports.http, '/')).status, 200);
    }
    assert.deepEqual(told, [], 'reasons that say something else');

    // After all of them a good one is taken as ever.
    const digest = await publish(
      layout,
      key,
      1_000,
      'nothing',
      part('cells', { cells: [{ id: 'one', endpoints: [{ address: upstream.address }] }] }),
    );
    await gateway.until('a good one is taken', async () => (await statusOf(gateway)).bundle?.digest === digest);
    assert.equal((await ask(gateway.ports.http, '/')).status, 200);
    await gateway.stop();
  });
});

describe('bundles that a guardrail denies', () => {
  const given = new Given();
  after(() => given.end());

  /** What serves, and what becomes of it. */
  const PROTECTED = { ...ROUTE, waf: { mode: 'block' } };
  const FEW = { id: 'few', key: ['address'], requests: 10, windowMs: 60_000 };
  const RULE = 'SecRule ARGS "@contains evil" "id:1,phase:2,deny"\n';
  const base = (draft: Draft): void => {
    draft.release['floor'] = 5;
    routes(PROTECTED)(draft);
    part('limits', { limits: [FEW] })(draft);
    rules(RULE)(draft);
  };
  const kinds: readonly (readonly [string, (draft: Draft) => void, RegExp])[] = [
    [
      'the WAF goes from block to detect',
      part('waf', { mode: 'detect', rules: ['waf/rules.conf'] }),
      /^guardrail: the WAF goes from block to detect$/,
    ],
    ['a WAF that goes off on a route', routes({ waf: { mode: 'off' } }), /^guardrail: the WAF of route all goes off$/],
    ['a limit that goes', part('limits', { limits: [] }), /^guardrail: limit few goes$/],
    [
      'a limit that is loosened',
      part('limits', { limits: [{ ...FEW, requests: 1_000 }] }),
      /^guardrail: limit few admits more than ten times as much$/,
    ],
    ['a floor that sinks', released({ floor: 4 }), /^guardrail: the floor sinks$/],
  ];

  it(`of ${kinds.length} kinds are refused in its words, and those that it lets pass are taken; without it none is`, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'cnx-guardrail-'));
    given.ends(() => rmSync(directory, { recursive: true, force: true }));
    const module = join(directory, 'guardrail.wasm');
    copyFileSync(GUARDRAIL, module);
    const upstream = await given.upstream();
    const gateway = await given.gateway({
      bundle: plainBundle([upstream.address], {
        release: { seq: 10, floor: 5 },
        routes: { routes: [PROTECTED] },
        limits: { limits: [FEW] },
        waf: { mode: 'block', rules: ['waf/rules.conf'] },
        files: { 'waf/rules.conf': RULE },
      }),
      bootstrap: {
        bundle: { source: `oci:bundles:${CHANNEL}`, pollMs: 5_000, guardrail: { moduleFile: module } },
      },
    });
    const layout = OciLayout.at(join(gateway.directory, 'bundles'));
    const key = createPrivateKey(readFileSync(gateway.key.keyFile));
    const good = await statusOf(gateway);
    const refused = async (i: number, what: string, spoil: (draft: Draft) => void): Promise<string> => {
      const digest = await publish(layout, key, 11 + i, what, (draft) => {
        base(draft);
        spoil(draft);
      });
      let found: string | undefined;
      await gateway.until(`${what} is refused`, async () => {
        const now = await statusOf(gateway);
        assert.equal(now.bundle?.digest, good.bundle?.digest, `${what} was taken`);
        found = now.rejections.find((r) => r.digest === digest)?.full;
        return found !== undefined;
      });
      assert.equal((await ask(gateway.ports.http, '/')).status, 200);
      return found ?? '';
    };
    for (const [i, [what, spoil, reason]] of kinds.entries()) assert.match(await refused(i, what, spoil), reason);
    rmSync(module);
    assert.match(
      await refused(kinds.length, 'anything', () => undefined),
      /^guardrail: the guardrail cannot say yes: .*ENOENT/,
    );
    copyFileSync(GUARDRAIL, module);
    const digest = await publish(layout, key, 100, 'nothing', (draft) => {
      base(draft);
      part('cells', { cells: [{ id: 'one', endpoints: [{ address: upstream.address }] }] })(draft);
      own({ outcome: 'forwarded', route: 'all', cell: 'one', waf: 'pass' })(draft);
    });
    await gateway.until('a good one is taken', async () => (await statusOf(gateway)).bundle?.digest === digest);
    await gateway.stop();
  });
});

/** Puts a spoiled bundle under the channel's tag; its digest. */
async function publish(
  layout: OciLayout,
  key: KeyObject,
  seq: number,
  mark: string,
  spoil: (draft: Draft) => void,
): Promise<Digest> {
  const draft: Draft = {
    release: {
      schema: 1,
      product: PRODUCT,
      audience: { channels: [CHANNEL] },
      seq,
      floor: 0,
      createdAt: '2026-11-20T00:00:00Z',
      // Every one has bytes of its own, whatever is wrong with it.
      source: { repo: mark },
    },
    layers: [
      document('routes', { routes: [ROUTE] }),
      document('cells', { cells: [CELL] }),
      document('waf', { mode: 'off' }),
    ],
    manifest: () => undefined,
    text: (t) => t,
    withhold: () => false,
    sign: (digest) => makeSigstoreBundle(key, digest),
  };
  spoil(draft);
  // A blob that is withheld must not be there from another kind.
  const layers = draft.layers.map((l) =>
    draft.withhold(l.title) ? { ...l, bytes: utf8(`{"routes":[],"of":${seq}}`) } : l,
  );
  const descriptorOf = (mediaType: string, bytes: Uint8Array, annotations?: Record<string, string>): Descriptor => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.byteLength,
    ...(annotations === undefined ? {} : { annotations }),
  });
  const config = utf8(draft.release);
  const value = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: BUNDLE_ARTIFACT,
    config: descriptorOf(RELEASE, config),
    layers: layers.map((l) =>
      descriptorOf(l.mediaType, l.bytes, {
        ...l.annotations,
        ...(l.title === '' ? {} : { 'org.opencontainers.image.title': l.title }),
      }),
    ),
  };
  const edited = structuredClone(value) as unknown as Parameters<Draft['manifest']>[0];
  draft.manifest(edited);
  const bytes = utf8(draft.text(JSON.stringify(edited)));
  const descriptor = descriptorOf(OCI_MANIFEST, bytes);
  for (const layer of layers)
    if (!draft.withhold(layer.title))
      await layout.putBlob({ bytes: layer.bytes, descriptor: descriptorOf('x/y', layer.bytes) });
  await layout.putBlob({ bytes: config, descriptor: descriptorOf('x/y', config) });
  if (draft.sign !== null)
    await layout.putSignature(descriptor, assembleSignature(descriptor, draft.sign(descriptor.digest)));
  await layout.putManifest(bytes, descriptor, CHANNEL);
  return descriptor.digest;
}

interface Now {
  readonly bundle: { readonly digest: string; readonly seq: number } | null;
  readonly source: { readonly state: string; readonly seen: string | null; readonly lastError: string | null };
  readonly rejections: readonly { readonly digest: string; readonly full: string }[];
}

async function statusOf(gateway: TestGateway): Promise<Now> {
  const status = (await gateway.admin('/v1/status')) as Omit<Now, 'rejections'> & {
    readonly rejections: readonly { digest: string; step: string; reason: string }[];
  };
  return {
    ...status,
    rejections: status.rejections.map((r) => ({ digest: r.digest, full: `${r.step}: ${r.reason}` })),
  };
}
