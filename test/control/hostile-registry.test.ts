import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import { assembleSignature } from '../../src/control/oci/artifact.ts';
import { digestOf } from '../../src/control/oci/digest.ts';
import { canonicalJsonBytes } from '../../src/control/oci/json.ts';
import { LAYERS, OCI_INDEX, OCI_MANIFEST } from '../../src/control/oci/media-types.ts';
import { OciRegistry } from '../../src/control/oci/registry.ts';
import { type RegistryOptions, retryAfter } from '../../src/control/oci/registry-http.ts';
import { REFERRERS_MAX } from '../../src/control/oci/signatures.ts';
import { makeSigstoreBundle } from '../../src/control/trust/sigstore-bundle.ts';
import { TestAuthority } from '../harness/certs.ts';
import { bundle, KEY_B, newKey, publishSigned, trust, verified } from './harness/sample.ts';
import { type Hook, ScriptedRegistry } from './harness/scripted-registry.ts';

const BUILT = bundle(1);
const WASM =
  [...BUILT.blobs.values()].find((blob) => blob.descriptor.mediaType === LAYERS.wasm.mediaType) ?? assert.fail();

async function world(t: TestContext, hook?: Hook, options: RegistryOptions = {}) {
  const registry = await ScriptedRegistry.start(t);
  registry.publish(BUILT);
  registry.hook = hook;
  const pauses: number[] = [];
  const client = new OciRegistry(registry.host, 'edge/config', {
    idleTimeoutMs: 20_000,
    random: () => 0.5,
    sleep: async (ms) => void pauses.push(ms),
    ...options,
  });
  t.after(() => client.close());
  return { registry, client, pauses };
}

const isManifest = (url: URL) => url.pathname.includes('/manifests/');
const isBlob = (url: URL) => url.pathname.includes('/blobs/');
const only =
  (when: (url: URL, incoming: IncomingMessage) => boolean, answer: (to: ServerResponse, url: URL) => void): Hook =>
  (incoming, to, url) => {
    if (!when(url, incoming)) return false;
    answer(to, url);
    return true;
  };
const redirect =
  (location: string, status = 307) =>
  (to: ServerResponse) =>
    void to.writeHead(status, { location }).end();

describe('a registry that keeps to the specification', () => {
  it('is read through the referrers API, whatever artifactType it says, page by page', async (t) => {
    const { registry, client } = await world(t);
    registry.publish(BUILT, [newKey(), newKey(), KEY_B]);
    registry.pageSize = 1;
    const result = await verified(client, BUILT, { trust: trust({ threshold: 2 }) });
    assert.deepEqual(
      result.signers.map((signer) => signer.keyId),
      ['a', 'b'],
    );
    assert.equal(registry.asked('GET', '/referrers/').length, 4);
    // No fallback tag; only where cosign 1 and 2 put theirs.
    assert.deepEqual(
      registry.asked('GET', '/manifests/sha256-').map((item) => item.url.endsWith('.sig')),
      [true],
    );
  });

  it('is read through the fallback tag where it has no referrers API', async (t) => {
    const { registry, client } = await world(t);
    registry.referrersApi = false;
    await verified(client, BUILT);
    assert.deepEqual(
      registry.asked('GET', '/manifests/sha256-').map((item) => item.url.endsWith('.sig')),
      [false, true],
    );
  });

  it('is polled with one HEAD: its digest header is enough, its ETag spares even that', async (t) => {
    const { registry, client } = await world(t);
    const known = await client.resolve('prod');
    assert.ok(known.state === 'found');
    registry.requests.length = 0;
    assert.deepEqual(await client.resolve('prod', known), { state: 'unchanged' });
    registry.etags = false;
    assert.deepEqual(await client.resolve('prod', { digest: known.digest }), { state: 'unchanged' });
    assert.deepEqual(
      registry.requests.map((item) => item.method),
      ['HEAD', 'HEAD'],
    );
    assert.equal(registry.requests[0]?.headers['if-none-match'], `"${BUILT.digest}"`);
  });

  it('may leave the digest header out: the tag is then fetched and its digest computed, once', async (t) => {
    const { registry, client } = await world(t);
    registry.digestHeaders = false;
    const known = await client.resolve('prod');
    assert.ok(known.state === 'found');
    assert.equal(known.digest, BUILT.digest);
    await verified(client, BUILT);
    assert.equal(registry.asked('GET', '/manifests/prod').length, 1);
    assert.equal(registry.asked('GET', `/manifests/${BUILT.digest}`).length, 0, 'it is not fetched twice');
    assert.deepEqual(await client.resolve('prod', known), { state: 'unchanged' });
  });

  it('may not know HEAD', async (t) => {
    const { client } = await world(
      t,
      only(
        (_, incoming) => incoming.method === 'HEAD',
        (to) => void to.writeHead(405).end(),
      ),
    );
    assert.equal((await client.resolve('prod')).state, 'found');
  });

  it('is told what we accept, and asked not to compress', async (t) => {
    const { registry, client } = await world(t);
    await client.resolve('prod');
    const { headers } = registry.requests[0] ?? assert.fail();
    assert.equal(headers.accept, `${OCI_MANIFEST}, ${OCI_INDEX}`);
    assert.equal(headers['accept-encoding'], 'identity');
    assert.equal(headers.authorization, undefined);
  });
});

describe('a hostile registry', () => {
  for (const [what, hook, code] of [
    [
      'lies about the digest in its header',
      only(
        (u, i) => isManifest(u) && i.method === 'HEAD',
        (to) => void to.writeHead(200, { 'docker-content-digest': bundle(2).digest }).end(),
      ),
      'not_found',
    ],
    [
      'swaps the manifest behind a digest',
      only(
        (u) => u.pathname.endsWith(BUILT.digest) && isManifest(u),
        (to) => void to.writeHead(200, { 'content-type': OCI_MANIFEST }).end(bundle(2).manifest),
      ),
      'digest_mismatch',
    ],
    [
      'calls the right bytes by another digest',
      only(
        (u) => u.pathname.endsWith(BUILT.digest) && isManifest(u),
        (to) =>
          void to
            .writeHead(200, { 'content-type': OCI_MANIFEST, 'docker-content-digest': bundle(2).digest })
            .end(BUILT.manifest),
      ),
      'digest_mismatch',
    ],
    [
      'gives the manifest another content type',
      only(
        (u) => u.pathname.endsWith(BUILT.digest) && isManifest(u),
        (to) => void to.writeHead(200, { 'content-type': OCI_INDEX }).end(BUILT.manifest),
      ),
      'media_type_mismatch',
    ],
    [
      'gives the manifest no content type',
      only(
        (u) => u.pathname.endsWith(BUILT.digest) && isManifest(u),
        (to) => void to.writeHead(200).end(BUILT.manifest),
      ),
      'media_type_mismatch',
    ],
    [
      'announces a manifest of a terabyte',
      only(
        (u) => u.pathname.endsWith(BUILT.digest) && isManifest(u),
        (to) => void to.writeHead(200, { 'content-type': OCI_MANIFEST, 'content-length': 2 ** 40 }).write('{'),
      ),
      'too_large',
    ],
    [
      'alters a blob',
      only(
        (u) => u.pathname.endsWith(WASM.descriptor.digest),
        (to) => void to.end(Uint8Array.from(WASM.bytes).fill(9)),
      ),
      'digest_mismatch',
    ],
    [
      'sends less of a blob',
      only(
        (u) => u.pathname.endsWith(WASM.descriptor.digest),
        (to) => void to.end(WASM.bytes.subarray(1)),
      ),
      'size_mismatch',
    ],
    [
      'sends more of a blob',
      only(
        (u) => u.pathname.endsWith(WASM.descriptor.digest),
        (to) => void to.end(Buffer.concat([WASM.bytes, WASM.bytes])),
      ),
      'too_large',
    ],
    [
      'compresses although it was asked not to',
      only(
        (u) => u.pathname.endsWith(WASM.descriptor.digest),
        (to) => void to.writeHead(200, { 'content-encoding': 'gzip' }).end(WASM.bytes),
      ),
      'protocol',
    ],
    [
      'breaks off in the middle',
      only(
        (u) => u.pathname.endsWith(WASM.descriptor.digest),
        (to) => void to.writeHead(200, { 'content-length': WASM.bytes.byteLength }).write('x', () => to.destroy()),
      ),
      'unreachable',
    ],
    [
      'has lost a blob',
      only(
        (u) => u.pathname.endsWith(WASM.descriptor.digest),
        (to) => void to.writeHead(404).end(),
      ),
      'not_found',
    ],
    ['forbids', only(isBlob, (to) => void to.writeHead(403).end()), 'unauthorized'],
    ['answers nonsense', only(isBlob, (to) => void to.writeHead(418).end()), 'protocol'],
    ['redirects in a circle', only(isBlob, (to, url) => redirect(url.href)(to)), 'redirect_refused'],
    [
      'redirects to the metadata service',
      only(isBlob, redirect('http://169.254.169.254/latest/meta-data/')),
      'redirect_refused',
    ],
    [
      'redirects to the metadata service in another spelling',
      only(isBlob, redirect('http://[::ffff:a9fe:a9fe]/')),
      'redirect_refused',
    ],
    ['redirects to a file', only(isBlob, redirect('file:///etc/passwd')), 'redirect_refused'],
    ['redirects to data', only(isBlob, redirect('data:text/plain,x')), 'redirect_refused'],
    ['redirects with a password', only(isBlob, redirect('http://user:password@127.0.0.1:1/')), 'redirect_refused'],
    ['redirects to nothing readable', only(isBlob, redirect('http://[')), 'redirect_refused'],
    ['redirects to an IPv6 link-local address', only(isBlob, redirect('http://[fe80::1]/')), 'redirect_refused'],
    [
      'asks for another kind of authentication',
      only(isBlob, (to) => void to.writeHead(401, { 'www-authenticate': 'Negotiate' }).end()),
      'unauthorized',
    ],
    ['asks without saying how', only(isBlob, (to) => void to.writeHead(401).end()), 'unauthorized'],
    [
      'asks unreadably',
      only(isBlob, (to) => void to.writeHead(401, { 'www-authenticate': 'Bearer realm="open' }).end()),
      'protocol',
    ],
    [
      'asks for the password to be sent elsewhere',
      only(
        isBlob,
        (to) =>
          void to
            .writeHead(401, { 'www-authenticate': 'Bearer realm="https://tokens.attacker.example/t",service="x"' })
            .end(),
      ),
      'realm_refused',
    ],
    [
      'asks for the password in the clear',
      only(
        isBlob,
        (to) => void to.writeHead(401, { 'www-authenticate': 'Bearer realm="http://registry.example/t"' }).end(),
      ),
      'realm_refused',
    ],
    [
      'names a realm that is a file',
      only(isBlob, (to) => void to.writeHead(401, { 'www-authenticate': 'Bearer realm="file://127.0.0.1/t"' }).end()),
      'realm_refused',
    ],
  ] as [string, Hook, string][]) {
    it(`that ${what} gets nothing into the gateway: ${code}`, async (t) => {
      const { client } = await world(t, hook, { credentials: () => ({ username: 'u', password: 'secret' }) });
      const attempt = async () => {
        const resolution = await client.resolve('prod');
        assert.ok(resolution.state === 'found');
        await verified(client, { ...BUILT, digest: resolution.digest });
      };
      await assert.rejects(attempt, { code });
    });
  }

  it('that never ends a body is left after the bytes that were declared', async (t) => {
    let sent = 0;
    const { client } = await world(
      t,
      only(
        (url) => url.pathname.endsWith(WASM.descriptor.digest),
        (to) => {
          to.writeHead(200);
          const more = () => {
            while (!to.destroyed && sent < 1 << 30) {
              sent += 65_536;
              if (!to.write(Buffer.alloc(65_536))) {
                to.once('drain', more);
                return;
              }
            }
          };
          more();
        },
      ),
    );
    await assert.rejects(verified(client, BUILT), { code: 'too_large' });
    assert.ok(sent < 64 << 20, `${sent} bytes were sent`);
  });

  it('never sees the password at the place it redirects to', async (t) => {
    const other = await ScriptedRegistry.start(t);
    other.publish(BUILT);
    const { registry, client } = await world(
      t,
      (incoming, to, url) => {
        if (incoming.headers.authorization === undefined)
          to.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
        else if (isBlob(url)) redirect(`http://${other.host}${url.pathname}`)(to);
        else return false;
        return true;
      },
      { credentials: () => ({ username: 'u', password: 'secret' }) },
    );
    await verified(client, BUILT);
    assert.ok(registry.requests.some((item) => item.headers.authorization !== undefined));
    assert.ok(other.requests.length >= 6);
    assert.ok(other.requests.every((item) => item.headers.authorization === undefined));
  });

  it('cannot make the place it redirects to ask for the password', async (t) => {
    const other = await ScriptedRegistry.start(t);
    other.hook = only(
      () => true,
      (to) => void to.writeHead(401, { 'www-authenticate': 'Basic realm="phish"' }).end(),
    );
    const { client } = await world(
      t,
      only(isBlob, (to, url) => redirect(`http://${other.host}${url.pathname}`)(to)),
      { credentials: () => ({ username: 'u', password: 'secret' }) },
    );
    await assert.rejects(verified(client, BUILT), { code: 'unauthorized' });
    assert.ok(other.requests.every((item) => item.headers.authorization === undefined));
  });

  it('is not believed about urls in descriptors', async (t) => {
    const trap = await ScriptedRegistry.start(t);
    const { registry, client } = await world(t);
    const manifest = JSON.parse(Buffer.from(BUILT.manifest).toString()) as { layers: Record<string, unknown>[] };
    for (const layer of manifest.layers) layer['urls'] = [`http://${trap.host}/x`];
    const bytes = canonicalJsonBytes(manifest);
    const foreign = {
      ...BUILT,
      manifest: bytes,
      digest: digestOf(bytes),
      descriptor: { ...BUILT.descriptor, digest: digestOf(bytes), size: bytes.byteLength },
    };
    registry.publish(foreign);
    await verified(client, foreign);
    assert.equal(trap.requests.length, 0);
  });

  it('cannot hide a good signature among other referrers', async (t) => {
    const { registry, client } = await world(t);
    registry.referrers.set(BUILT.digest, [
      { mediaType: OCI_INDEX, digest: BUILT.digest, size: 5 },
      { mediaType: OCI_MANIFEST, digest: `sha256:${'0'.repeat(64)}`, size: 300 },
      { mediaType: OCI_MANIFEST, digest: BUILT.digest, size: BUILT.manifest.byteLength },
      { mediaType: OCI_MANIFEST, digest: BUILT.digest, size: 1 << 30 },
      ...(registry.referrers.get(BUILT.digest) ?? []),
    ]);
    await verified(client, BUILT);
  });

  it('cannot make us look at any number of referrers', async (t) => {
    const { registry, client } = await world(t);
    registry.referrers.set(
      BUILT.digest,
      Array.from({ length: 5000 }, (_, i) => ({
        mediaType: OCI_MANIFEST,
        digest: digestOf(new TextEncoder().encode(`${i}`)),
        size: 300,
      })),
    );
    registry.pageSize = 1000;
    await assert.rejects(verified(client, BUILT), { code: 'unsigned', message: /only 32 were looked at/ });
    assert.ok(registry.asked('GET', '/manifests/sha256:').length <= REFERRERS_MAX + 1);
  });

  it('cannot lead the paging of referrers to another place', async (t) => {
    const other = await ScriptedRegistry.start(t);
    const { client } = await world(
      t,
      only(
        (url) => url.pathname.includes('/referrers/'),
        (to) =>
          void to
            .writeHead(200, { 'content-type': OCI_INDEX, link: `<http://${other.host}/v2/x>; rel="next"` })
            .end(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] })),
      ),
    );
    await assert.rejects(verified(client, BUILT), { code: 'unsigned' });
    assert.equal(other.requests.length, 0);
  });

  it('is not sent an upload to another place', async (t) => {
    const other = await ScriptedRegistry.start(t);
    const { client } = await world(t, (incoming, to) => {
      if (incoming.method === 'POST') to.writeHead(202, { location: `http://${other.host}/upload` }).end();
      else return false;
      return true;
    });
    await assert.rejects(publishSigned(client, bundle(2)), { code: 'redirect_refused' });
    assert.equal(other.requests.length, 0);
  });
});

describe('a registry in trouble', () => {
  it('is asked again, a little later each time, and recovers', async (t) => {
    let failures = 2;
    const { client, pauses } = await world(t, (_, to) => {
      if (failures === 0) return false;
      failures -= 1;
      to.writeHead(503).end();
      return true;
    });
    assert.equal((await client.resolve('prod')).state, 'found');
    assert.deepEqual(pauses, [200, 400]);
  });

  it('that goes silent is asked again', async (t) => {
    let silent = 1;
    const goesSilent: Hook = (_, to) => {
      if (silent === 0) return false;
      silent -= 1;
      to.flushHeaders();
      return true;
    };
    // The answer that comes has more time than a busy machine takes.
    const { client, pauses } = await world(t, goesSilent, { idleTimeoutMs: 4_000 });
    assert.equal((await client.manifest(BUILT.digest)).bytes.byteLength, BUILT.manifest.byteLength);
    assert.deepEqual(pauses, [200]);
  });

  it('is left alone after three attempts', async (t) => {
    const { registry, client } = await world(
      t,
      only(
        () => true,
        (to) => void to.writeHead(500).end(),
      ),
    );
    await assert.rejects(client.resolve('prod'), { code: 'server_error' });
    assert.equal(registry.requests.length, 3);
  });

  it('that asks for a short pause gets it, and for a long one is left to the poller', async (t) => {
    let answer = '2';
    const { registry, client, pauses } = await world(
      t,
      only(
        () => true,
        (to) => void to.writeHead(429, { 'retry-after': answer }).end(),
      ),
    );
    await assert.rejects(client.resolve('prod'), { code: 'rate_limited', retryAfterMs: 2000 });
    assert.deepEqual(pauses, [2000, 2000]);
    registry.requests.length = 0;
    answer = '120';
    await assert.rejects(client.resolve('prod'), { code: 'rate_limited', retryAfterMs: 120_000 });
    assert.equal(registry.requests.length, 1);
  });

  it('may write Retry-After as seconds or as a date', () => {
    const now = Date.parse('2026-11-21T00:00:00Z');
    for (const [value, expected] of [
      ['0', 0],
      ['17', 17_000],
      ['999999999', 3_600_000],
      ['Sat, 21 Nov 2026 00:00:30 GMT', 30_000],
      ['Fri, 20 Nov 2026 00:00:30 GMT', 0],
      ['soon', undefined],
      ['-5', undefined],
      ['', undefined],
      [undefined, undefined],
    ] as const) {
      assert.equal(retryAfter(value, now), expected, String(value));
    }
  });

  it('is not repeated what writes', async (t) => {
    const { registry, client } = await world(t, (incoming, to) => {
      if (incoming.method !== 'POST') return false;
      to.writeHead(503).end();
      return true;
    });
    await assert.rejects(publishSigned(client, bundle(2)), { code: 'server_error' });
    assert.equal(registry.asked('POST', '/').length, 1);
  });

  it('that is not there is unreachable', async (t) => {
    const { registry, client } = await world(t);
    await registry.stop();
    await assert.rejects(client.resolve('prod'), { code: 'unreachable' });
  });

  it('cannot keep a client that is closed', async (t) => {
    const { client } = await world(
      t,
      only(
        () => true,
        (to) => to.flushHeaders(),
      ),
    );
    const waiting = client.resolve('prod');
    const outcome = assert.rejects(waiting, { code: 'unreachable' });
    await client.close();
    await outcome;
  });
});

describe('a registry with TLS', () => {
  const authority = new TestAuthority();
  const { key, certificate: cert } = authority.leaf(['127.0.0.1']);
  const open = (t: TestContext, host: string, options: RegistryOptions = {}) => {
    const client = new OciRegistry(host, 'edge/config', { scheme: 'https', sleep: async () => {}, ...options });
    t.after(() => client.close());
    return client;
  };

  it('is trusted by the authority that was configured, and by no other', async (t) => {
    const registry = await ScriptedRegistry.start(t, { key, cert });
    registry.publish(BUILT);
    await verified(open(t, registry.host, { ca: authority.certificate }), BUILT);
    await assert.rejects(open(t, registry.host).resolve('prod'), { code: 'unreachable', message: /certificate/ });
  });

  it('must be the host that its certificate names', async (t) => {
    const registry = await ScriptedRegistry.start(t, { key, cert });
    const host = registry.host.replace('127.0.0.1', 'localhost');
    await assert.rejects(open(t, host, { ca: authority.certificate }).resolve('prod'), {
      code: 'unreachable',
      message: /ALTNAME/,
    });
  });

  it('cannot lead us from https to http', async (t) => {
    const plain = await ScriptedRegistry.start(t);
    plain.publish(BUILT);
    const registry = await ScriptedRegistry.start(t, { key, cert });
    registry.publish(BUILT);
    registry.hook = only(isBlob, (to, url) => redirect(`http://${plain.host}${url.pathname}`)(to));
    await assert.rejects(verified(open(t, registry.host, { ca: authority.certificate }), BUILT), {
      code: 'redirect_refused',
      message: /from https to http/,
    });
    assert.equal(plain.requests.length, 0);
  });
});

describe('plain HTTP', () => {
  it('is only spoken to loopback, or when it is allowed', () => {
    assert.throws(() => new OciRegistry('registry.example', 'a', { scheme: 'http' }), {
      code: 'protocol',
      message: /only spoken to loopback/,
    });
    assert.doesNotThrow(() => new OciRegistry('registry.example', 'a', { insecure: true }));
    assert.doesNotThrow(() => new OciRegistry('localhost:5000', 'a'));
  });
});

describe('a signature pushed to a registry', () => {
  it('of which the referrers API takes care is not put under the fallback tag', async (t) => {
    const puts: string[] = [];
    const { registry, client } = await world(t, (incoming, to, url) => {
      if (incoming.method === 'HEAD' && isBlob(url)) to.writeHead(200).end();
      else if (incoming.method === 'PUT') {
        puts.push(url.pathname);
        incoming.resume().on('end', () => to.writeHead(201, { 'oci-subject': BUILT.digest }).end());
      } else return false;
      return true;
    });
    const signature = assembleSignature(BUILT.descriptor, makeSigstoreBundle(KEY_B, BUILT.digest));
    await client.putSignature(BUILT.descriptor, signature);
    assert.deepEqual(puts, [`/v2/edge/config/manifests/${signature.descriptor.digest}`]);
    // One that claims the subject without having the API (seen in the wild) gets the tag as well.
    registry.referrersApi = false;
    await client.putSignature(BUILT.descriptor, signature);
    assert.match(puts.at(-1) ?? '', /\/manifests\/sha256-[0-9a-f]{64}$/);
  });
});
