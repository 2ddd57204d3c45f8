/** Bundles made by hand, piece by piece, so that each piece can be spoiled: `cnx bundle build` would not make them. Signed rightly unless that is what is wrong. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { assembleSignature } from '../../src/control/oci/artifact.ts';
import { type Digest, digestOf } from '../../src/control/oci/digest.ts';
import { canonicalJsonBytes } from '../../src/control/oci/json.ts';
import type { OciLayout } from '../../src/control/oci/layout.ts';
import type { Descriptor } from '../../src/control/oci/manifest.ts';
import {
  BUNDLE_ARTIFACT,
  LAYERS,
  OCI_MANIFEST,
  POLICY_ANNOTATION,
  RELEASE,
} from '../../src/control/oci/media-types.ts';
import { makeSigstoreBundle } from '../../src/control/trust/sigstore-bundle.ts';
import { CHANNEL, PRODUCT } from '../harness/bundle.ts';
import { makeModule, type Misbehaviour } from '../policy/wasm-builder.ts';

export type Json = Record<string, unknown>;

export interface Layer {
  mediaType: string;
  title: string;
  bytes: Uint8Array;
  annotations?: Record<string, string>;
}

/** A bundle before it becomes bytes; a row of the table spoils it. */
export interface Draft {
  release: Json;
  layers: Layer[];
  /** Spoils the manifest as JSON, then as text. */
  manifest: (manifest: Json & { layers: Json[]; config: Json }) => void;
  text: (text: string) => string;
  /** Blobs that are not put there. */
  withhold: (title: string) => boolean;
  sign: ((digest: Digest) => Uint8Array) | null;
}

export const utf8 = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
export const document = (
  part: 'routes' | 'cells' | 'issuers' | 'limits' | 'policies' | 'waf' | 'defaults' | 'tests',
  value: unknown,
): Layer => ({
  mediaType: LAYERS[part].mediaType,
  title: `${part}.json`,
  bytes: utf8(value),
});
export const GUARDRAIL = fileURLToPath(new URL('../../config/guardrail/guardrail.wasm', import.meta.url));
export const stranger = generateKeyPairSync('ed25519').privateKey;

export const ROUTE = {
  id: 'all',
  match: { path: { prefix: '/' } },
  access: 'public',
  reason: 'everything, for a test',
};
export const CELL = { id: 'one', endpoints: [{ address: '127.0.0.1:1' }] };

/** Replaces a document, or adds it. */
export const part =
  (name: Parameters<typeof document>[0], value: unknown) =>
  (draft: Draft): void => {
    draft.layers = [...draft.layers.filter((layer) => layer.title !== `${name}.json`), document(name, value)];
  };
export const routes = (more: Json, ...others: Json[]) => part('routes', { routes: [{ ...ROUTE, ...more }, ...others] });
export const cells = (more: Json, ...others: Json[]) => part('cells', { cells: [{ ...CELL, ...more }, ...others] });
export const released =
  (more: Json) =>
  (draft: Draft): void =>
    void Object.assign(draft.release, more);
export const manifest =
  (edit: Draft['manifest']) =>
  (draft: Draft): void => {
    draft.manifest = edit;
  };
export const text =
  (edit: Draft['text']) =>
  (draft: Draft): void => {
    draft.text = edit;
  };
/** Rules that the WAF is to load. */
export const rules =
  (conf: string, data?: Layer) =>
  (draft: Draft): void => {
    part('waf', { mode: 'block', rules: ['waf/rules.conf'] })(draft);
    draft.layers.push({ mediaType: LAYERS.seclang.mediaType, title: 'waf/rules.conf', bytes: utf8(conf) });
    if (data !== undefined) draft.layers.push(data);
  };
/** A policy that a route asks. */
export const policy =
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
export const own = (expect: Json, request: Json = {}) =>
  part('tests', { tests: [{ name: 'mine', request: { url: 'https://a.example/x', ...request }, expect }] });
/** A signature whose envelope is spoiled. */
export const envelope =
  (edit: (bundle: Json & { dsseEnvelope: Json & { signatures: Json[] }; verificationMaterial: Json }) => void) =>
  (draft: Draft): void => {
    const { sign } = draft;
    draft.sign = (digest) => {
      const bundle = JSON.parse(Buffer.from(sign?.(digest) ?? []).toString()) as Parameters<typeof edit>[0];
      edit(bundle);
      return canonicalJsonBytes(bundle);
    };
  };

/** Puts a spoiled bundle under the channel's tag; its digest. */
export async function publish(
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
