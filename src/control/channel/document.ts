/**
 * A channel index: what the tag of a channel may name instead of a bundle. An OCI image index whose annotations say which gateways run which bundle; its
 * bytes are what promoters sign, so nothing of it depends on where it lies.
 */
import { canonicalJsonBytes, Shape } from '../oci/json.ts';
import { type Digest, digestOf, parseDigest } from '../oci/digest.ts';
import { type Descriptor, type ImageIndex, parseManifest } from '../oci/manifest.ts';
import {
  BUNDLE_ARTIFACT,
  CHANNEL_ARTIFACT,
  CREATED_ANNOTATION,
  MANIFEST_BYTES_MAX,
  OCI_INDEX,
  OCI_MANIFEST,
} from '../oci/media-types.ts';
import { Rejection } from '../oci/rejection.ts';

/** Bundles that one index may name; the last word is that of `stable`. */
export const ENTRIES_MAX = 16;
/** Labels of one selector. */
export const SELECTOR_LABELS_MAX = 8;
/** Shares are told apart to a hundredth of a percent. */
export const BUCKETS = 10_000;
/** The name in a selector that means the id of the gateway, not a label. */
export const GATEWAY_LABEL = 'gateway';
const REASON_CHARS_MAX = 500;

const PREFIX = 'cloudnexus.edge.';

/** Which gateways run a bundle. */
export type ChannelRule =
  | { readonly role: 'stable' }
  /** Those that have all labels of `selector`, and of these `percent`; null: all. One of both restricts. */
  | { readonly role: 'canary'; readonly selector: Readonly<Record<string, string>>; readonly percent: number | null };

export interface ChannelEntry {
  readonly digest: Digest;
  /** Bytes of the bundle's manifest. */
  readonly size: number;
  readonly rule: ChannelRule;
}

export interface ChannelIndex {
  readonly product: string;
  readonly channel: string;
  /** A counter, one more with each index of the channel. */
  readonly seq: number;
  /** The epoch of the trust policy under which it counts. */
  readonly epoch: number;
  /** When it was made and until when it may be taken, milliseconds since 1970. */
  readonly madeMs: number;
  readonly expiresMs: number;
  /** Canaries in the order in which they are asked, `stable` last. */
  readonly entries: readonly ChannelEntry[];
  /** What was stable before this index made another bundle stable. */
  readonly former?: Digest;
  /** The canary that this index takes back. */
  readonly rolledBack?: { readonly digest: Digest; readonly reason: string };
}

const shape: Shape = new Shape('malformed_manifest', 'channel index');

/** Whether a manifest is meant to be a channel index. */
export function isChannelIndex(manifest: {
  readonly kind: string;
  readonly artifactType: string | undefined;
}): boolean {
  return manifest.kind === 'index' && manifest.artifactType === CHANNEL_ARTIFACT;
}

/** Reads an index whose bytes have been compared with their digest. Throws Rejection naming the place. Nothing is verified. */
export function parseChannelIndex(bytes: Uint8Array, contentType?: string): ChannelIndex {
  const index = parseManifest(bytes, contentType);
  if (index.kind !== 'index' || !isChannelIndex(index))
    throw new Rejection('wrong_artifact_type', `the artifactType of a channel index is ${CHANNEL_ARTIFACT}`);
  return readIndex(index);
}

const INDEX_NAMES = ['product', 'channel', 'seq', 'epoch', 'expires', 'former', 'rolled-back', 'rolled-back-reason'];
const ENTRY_NAMES = ['role', 'weight', 'selector'];

function readIndex(index: ImageIndex): ChannelIndex {
  const { annotations } = index;
  if (index.subject !== undefined) shape.fail('subject', 'absent');
  known(annotations, 'annotations', INDEX_NAMES);
  const text = (name: string): string => present(annotations, 'annotations', `${PREFIX}${name}`);
  if (index.manifests.length > ENTRIES_MAX) shape.fail('manifests', `a list of at most ${ENTRIES_MAX}`);
  const entries = index.manifests.map((item, i) => readEntry(item, `manifests[${i}]`));
  const stable = entries.findIndex(({ rule }) => rule.role === 'stable');
  if (stable < 0 || stable !== entries.length - 1)
    shape.fail('manifests', 'canaries, and then one manifest of the role stable');
  const rolledBack = annotations[`${PREFIX}rolled-back`];
  const former = annotations[`${PREFIX}former`];
  return {
    product: text('product'),
    channel: text('channel'),
    seq: count(text('seq'), 'annotations seq'),
    epoch: count(text('epoch'), 'annotations epoch'),
    madeMs: shape.time(present(annotations, 'annotations', CREATED_ANNOTATION), CREATED_ANNOTATION),
    expiresMs: shape.time(text('expires'), 'annotations expires'),
    entries,
    ...(former === undefined ? {} : { former: digest(former, 'annotations former') }),
    ...(rolledBack === undefined
      ? {}
      : { rolledBack: { digest: digest(rolledBack, 'annotations rolled-back'), reason: text('rolled-back-reason') } }),
  };
}

function readEntry(item: Descriptor, where: string): ChannelEntry {
  const annotations = item.annotations ?? {};
  known(annotations, where, ENTRY_NAMES);
  if (item.mediaType !== OCI_MANIFEST) shape.fail(`${where}.mediaType`, OCI_MANIFEST);
  if (item.size > MANIFEST_BYTES_MAX) shape.fail(`${where}.size`, `at most ${MANIFEST_BYTES_MAX}`);
  const role = present(annotations, where, `${PREFIX}role`);
  const weight = annotations[`${PREFIX}weight`];
  const selector = annotations[`${PREFIX}selector`];
  const { digest, size } = item;
  if (role === 'stable') {
    if (weight !== undefined || selector !== undefined) shape.fail(where, 'stable without weight and selector');
    return { digest, size, rule: { role } };
  }
  if (role !== 'canary')
    shape.fail(
      `${where} role`,
      'stable or canary (no bundle is evaluated beside the one that serves: there is no role shadow)',
    );
  if (weight === undefined && selector === undefined) shape.fail(where, 'canary with a weight, a selector or both');
  const percent = weight === undefined ? null : percentOf(weight);
  if (percent === undefined) shape.fail(`${where} weight`, 'percent of gateways, 0 to 100, to a hundredth');
  const labels = selector === undefined ? {} : selectorOf(selector);
  if (labels === undefined) shape.fail(`${where} selector`, `label=value, at most ${SELECTOR_LABELS_MAX}, with commas`);
  return { digest, size, rule: { role, selector: labels, percent } };
}

/** Percent as written, or undefined: one spelling for each number, so that nobody reads another. */
export function percentOf(text: string): number | undefined {
  if (!/^(0|[1-9]\d{0,2})(\.\d{1,2})?$/.test(text)) return undefined;
  const percent = Number(text);
  return percent <= 100 ? percent : undefined;
}

/** Labels that must all be equal, as written (`region=eu,ring=canary`), or undefined. */
export function selectorOf(text: string): Readonly<Record<string, string>> | undefined {
  const out = Object.create(null) as Record<string, string>;
  const pairs = text.split(',');
  if (pairs.length > SELECTOR_LABELS_MAX) return undefined;
  for (const pair of pairs) {
    const [, name = '', value = ''] = /^([A-Za-z0-9][A-Za-z0-9._/-]{0,62})=([A-Za-z0-9._:/-]{1,128})$/.exec(pair) ?? [];
    if (name === '' || name === '__proto__' || Object.hasOwn(out, name)) return undefined;
    out[name] = value;
  }
  return out;
}

/** As {@link selectorOf} reads it. */
export function selectorText(selector: Readonly<Record<string, string>>): string {
  return Object.entries(selector)
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
}

/** A rule as people write it: `10 %`, `region=eu`, `10 % of region=eu`. */
export function ruleText(rule: ChannelRule): string {
  if (rule.role === 'stable') return 'all others';
  const selector = selectorText(rule.selector);
  if (rule.percent === null) return selector;
  return selector === '' ? `${rule.percent} %` : `${rule.percent} % of ${selector}`;
}

/** The bytes of an index, their digest and descriptor. Throws Rejection for what {@link parseChannelIndex} would refuse. */
export function assembleChannelIndex(index: ChannelIndex): {
  readonly bytes: Uint8Array;
  readonly descriptor: Descriptor;
} {
  const time = (ms: number): string => new Date(ms).toISOString();
  const named = (fields: Record<string, string | undefined>): Record<string, string> =>
    Object.fromEntries(
      Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[`${PREFIX}${name}`, value]])),
    );
  const bytes = canonicalJsonBytes({
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    artifactType: CHANNEL_ARTIFACT,
    manifests: index.entries.map(({ digest, size, rule }) => ({
      mediaType: OCI_MANIFEST,
      artifactType: BUNDLE_ARTIFACT,
      digest,
      size,
      annotations: named({
        role: rule.role,
        ...(rule.role === 'stable' || rule.percent === null ? {} : { weight: String(rule.percent) }),
        ...(rule.role === 'stable' || Object.keys(rule.selector).length === 0
          ? {}
          : { selector: selectorText(rule.selector) }),
      }),
    })),
    annotations: {
      ...named({
        product: index.product,
        channel: index.channel,
        seq: String(index.seq),
        epoch: String(index.epoch),
        expires: time(index.expiresMs),
        former: index.former,
        'rolled-back': index.rolledBack?.digest,
        'rolled-back-reason': index.rolledBack?.reason.toWellFormed().slice(0, REASON_CHARS_MAX).toWellFormed(),
      }),
      [CREATED_ANNOTATION]: time(index.madeMs),
    },
  });
  parseChannelIndex(bytes);
  const descriptor: Descriptor = {
    mediaType: OCI_INDEX,
    digest: digestOf(bytes),
    size: bytes.byteLength,
    artifactType: CHANNEL_ARTIFACT,
  };
  return { bytes, descriptor };
}

/** The bundle that those run whom no canary is for. */
export function stableOf(index: ChannelIndex): ChannelEntry {
  const entry = index.entries.at(-1);
  if (entry === undefined) throw new Error('an index without entries was let through');
  return entry;
}

/** Annotations of ours that nobody knows would be rules that nobody keeps. */
function known(annotations: Readonly<Record<string, string>>, where: string, names: readonly string[]): void {
  for (const name of Object.keys(annotations))
    if (name.startsWith(PREFIX) && !names.includes(name.slice(PREFIX.length)))
      shape.fail(where, `without ${JSON.stringify(name)}, which is not known here`);
}

function present(annotations: Readonly<Record<string, string>>, where: string, name: string): string {
  const value = Object.hasOwn(annotations, name) ? annotations[name] : undefined;
  if (value === undefined || value === '') shape.fail(where, `with ${JSON.stringify(name)}`);
  return value;
}

function count(text: string, where: string): number {
  if (!/^(0|[1-9]\d{0,15})$/.test(text)) shape.fail(where, 'a whole number');
  return shape.count(Number(text), where);
}

function digest(text: string, where: string): Digest {
  const parsed = parseDigest(text);
  if (parsed === undefined) shape.fail(where, 'sha256: and 64 lowercase hex digits');
  return parsed;
}
