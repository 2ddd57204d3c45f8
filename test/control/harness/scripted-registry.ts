/** A small registry in memory that does the right thing, unless a test tells it otherwise: the faithful one with the referrers API, and the hostile one. */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { assembleSignature } from '../../../src/control/oci/artifact.ts';
import { type Digest, digestOf, referrersTag } from '../../../src/control/oci/digest.ts';
import type { AssembledBundle } from '../../../src/control/oci/artifact.ts';
import { OCI_EMPTY, OCI_INDEX, OCI_MANIFEST } from '../../../src/control/oci/media-types.ts';
import { makeSigstoreBundle } from '../../../src/control/trust/sigstore-bundle.ts';
import { KEY_A } from './sample.ts';

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

/** Answers a request itself (true), or lets the registry answer (false). */
export type Hook = (incoming: IncomingMessage, answer: ServerResponse, url: URL) => boolean;

export class ScriptedRegistry {
  readonly requests: SeenRequest[] = [];
  readonly manifests = new Map<string, { bytes: Uint8Array; type: string }>();
  readonly tags = new Map<string, Digest>();
  readonly blobs = new Map<string, Uint8Array>();
  /** Descriptors by subject; served by the referrers API when that is on. */
  readonly referrers = new Map<string, Record<string, unknown>[]>();
  referrersApi = true;
  /** Entries on one page of the referrers API. */
  pageSize = 100;
  digestHeaders = true;
  etags = true;
  hook: Hook | undefined;
  host = '';
  #server: Server | undefined;

  static async start(
    t: Pick<TestContext, 'after'>,
    tls?: { readonly key: string; readonly cert: string },
  ): Promise<ScriptedRegistry> {
    const registry = new ScriptedRegistry();
    const listener = (incoming: IncomingMessage, answer: ServerResponse): void => registry.#answer(incoming, answer);
    const server = tls === undefined ? createServer(listener) : createSecureServer(tls, listener);
    registry.#server = server;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    registry.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    t.after(() => registry.stop());
    return registry;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
  }

  /** Puts a bundle with one good signature (and more keys, if given) behind a tag. */
  publish(built: AssembledBundle, keys = [KEY_A], tag = 'prod'): void {
    for (const [digest, blob] of built.blobs) this.blobs.set(digest, blob.bytes);
    this.manifests.set(built.digest, { bytes: built.manifest, type: OCI_MANIFEST });
    this.tags.set(tag, built.digest);
    for (const key of keys) {
      const signature = assembleSignature(built.descriptor, makeSigstoreBundle(key, built.digest));
      for (const blob of signature.blobs) this.blobs.set(blob.descriptor.digest, blob.bytes);
      this.manifests.set(signature.descriptor.digest, { bytes: signature.manifest, type: OCI_MANIFEST });
      // Registries disagree: some name the config's type here.
      const entry = { ...signature.descriptor, artifactType: OCI_EMPTY };
      this.referrers.set(built.digest, [...(this.referrers.get(built.digest) ?? []), entry]);
    }
  }

  /** Requests by method and path, without what is not asked about. */
  asked(method: string, part: string): SeenRequest[] {
    return this.requests.filter((item) => item.method === method && item.url.includes(part));
  }

  #answer(incoming: IncomingMessage, answer: ServerResponse): void {
    const url = new URL(incoming.url ?? '/', `http://${this.host}`);
    this.requests.push({ method: incoming.method ?? '', url: incoming.url ?? '', headers: incoming.headers });
    if (this.hook?.(incoming, answer, url) === true) return;
    const [, , , , kind, name = ''] = url.pathname.split('/');
    if (kind === 'manifests') this.#manifest(incoming, answer, name);
    else if (kind === 'blobs') send(answer, 200, this.blobs.get(name), { 'content-type': 'application/octet-stream' });
    else if (kind === 'referrers' && this.referrersApi) this.#referrers(answer, url, name);
    else answer.writeHead(404, { 'content-type': 'text/plain' }).end('404 page not found\n');
  }

  #manifest(incoming: IncomingMessage, answer: ServerResponse, name: string): void {
    const digest = this.tags.get(name) ?? name;
    const fallback = this.#fallback(name);
    const found = fallback ?? this.manifests.get(digest);
    if (found === undefined || !(incoming.headers.accept ?? '').includes(found.type)) {
      answer.writeHead(404).end();
      return;
    }
    const etag = `"${digestOf(found.bytes)}"`;
    if (this.etags && incoming.headers['if-none-match'] === etag) {
      answer.writeHead(304).end();
      return;
    }
    send(answer, 200, found.bytes, {
      'content-type': found.type,
      ...(this.digestHeaders ? { 'docker-content-digest': digestOf(found.bytes) } : {}),
      ...(this.etags ? { etag } : {}),
    });
  }

  /** What the referrers tag holds where the API is off. */
  #fallback(name: string): { bytes: Uint8Array; type: string } | undefined {
    if (this.referrersApi) return undefined;
    for (const [subject, manifests] of this.referrers) {
      if (referrersTag(subject as Digest) === name) return { bytes: indexBytes(manifests), type: OCI_INDEX };
    }
    return undefined;
  }

  #referrers(answer: ServerResponse, url: URL, subject: string): void {
    const all = this.referrers.get(subject) ?? [];
    const from = Number(url.searchParams.get('from') ?? 0);
    const next = from + this.pageSize;
    const link = next < all.length ? { link: `</v2/edge/config/referrers/${subject}?from=${next}>; rel="next"` } : {};
    send(answer, 200, indexBytes(all.slice(from, next)), { 'content-type': OCI_INDEX, ...link });
  }
}

function indexBytes(manifests: readonly unknown[]): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
}

function send(
  answer: ServerResponse,
  status: number,
  bytes: Uint8Array | undefined,
  headers: Record<string, string>,
): void {
  if (bytes === undefined) {
    answer.writeHead(404).end();
    return;
  }
  answer
    .writeHead(status, { ...headers, 'content-length': bytes.byteLength })
    .end(answer.req.method === 'HEAD' ? undefined : bytes);
}
