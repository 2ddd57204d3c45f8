import { canonicalJsonBytes, type JsonObject, parseStrictJson, Shape } from './json.ts';
import { RELEASE_BYTES_MAX } from './media-types.ts';

/** What a release says of one policy; read by the compiler, only its shape is checked here. */
export interface ReleasePolicy {
  readonly name: string;
  readonly entrypoints: readonly string[];
  /** WASM ABI, such as `1.3`. */
  readonly abi?: string;
  readonly builtins?: readonly string[];
  readonly inputProjection?: readonly string[];
  /** SHA-256 of the Rego source that the module was compiled from. */
  readonly sourceDigest?: string;
}

/** For whom a bundle is meant. */
export interface Audience {
  readonly channels: readonly string[];
  /** Every label must be equal on the gateway. */
  readonly selector?: Readonly<Record<string, string>>;
}

/** The config blob of a bundle: what it is, for whom, and where it stands in the order of releases. */
export interface Release {
  readonly schema: 1;
  readonly product: string;
  readonly audience: Audience;
  /** A counter, one more with each release; not a clock. */
  readonly seq: number;
  /** Once this is active, no bundle with a smaller `seq` is taken again. At most `seq`. */
  readonly floor: number;
  /** UTC. */
  readonly createdAt: string;
  /** After this moment the bundle is not newly activated; one that runs goes on and is called stale. */
  readonly notAfter?: string;
  /** Lowest gateway version, `major.minor.patch`. */
  readonly minGateway?: string;
  /** Features without which the bundle would be misread. */
  readonly requires?: readonly string[];
  /** Media types of layers that a gateway may ignore. */
  readonly optional?: readonly string[];
  readonly policies?: readonly ReleasePolicy[];
  readonly source?: { readonly repo?: string; readonly commit?: string };
}

const NAMES = [
  'schema',
  'product',
  'audience',
  'seq',
  'floor',
  'createdAt',
  'notAfter',
  'minGateway',
  'requires',
  'optional',
  'policies',
  'source',
] as const;
const POLICY_NAMES = ['name', 'entrypoints', 'abi', 'builtins', 'inputProjection', 'sourceDigest'] as const;

const shape: Shape = new Shape('malformed_release', 'release document');

/** Reads a release document; a Rejection names the field. Names that are not known are refused: they would be rules that nobody keeps. */
export function parseRelease(bytes: Uint8Array): Release {
  const value = parseStrictJson(bytes, { what: 'release document', bytesMax: RELEASE_BYTES_MAX });
  return readRelease(shape.object(value, ''));
}

/** A release document as bytes, checked by the same rules as when it is read. */
export function releaseBytes(release: Release): Uint8Array {
  const bytes = canonicalJsonBytes(release);
  parseRelease(bytes);
  return bytes;
}

function readRelease(object: JsonObject): Release {
  shape.closed(object, '', NAMES);
  if (object['schema'] !== 1) shape.fail('schema', '1');
  const seq = shape.count(object['seq'], 'seq');
  const floor = shape.count(object['floor'], 'floor');
  if (floor > seq) shape.fail('floor', `at most its own seq, ${seq}`);
  const createdAt = shape.string(object['createdAt'], 'createdAt', 40);
  shape.time(createdAt, 'createdAt');
  const audience = shape.object(object['audience'], 'audience');
  shape.closed(audience, 'audience', ['channels', 'selector']);
  const channels = shape.strings(audience['channels'], 'audience.channels', 16, 64);
  if (channels.length === 0) shape.fail('audience.channels', 'a list of at least one channel');
  const selector = audience['selector'];
  return {
    schema: 1,
    product: nonEmpty(object['product'], 'product'),
    audience: {
      channels,
      ...(selector === undefined ? {} : { selector: shape.stringMap(selector, 'audience.selector', 16, 256) }),
    },
    seq,
    floor,
    createdAt,
    ...optionalTime(object, 'notAfter'),
    ...(object['minGateway'] === undefined ? {} : { minGateway: version(object['minGateway'], 'minGateway') }),
    ...(object['requires'] === undefined ? {} : { requires: shape.strings(object['requires'], 'requires', 64, 64) }),
    ...(object['optional'] === undefined ? {} : { optional: shape.strings(object['optional'], 'optional', 64) }),
    ...(object['policies'] === undefined
      ? {}
      : { policies: shape.array(object['policies'], 'policies', 256).map(readPolicy) }),
    ...(object['source'] === undefined ? {} : { source: readSource(object['source']) }),
  };
}

function readPolicy(value: unknown, index: number): ReleasePolicy {
  const where = `policies[${index}]`;
  const object = shape.object(value, where);
  shape.closed(object, where, POLICY_NAMES);
  return {
    name: nonEmpty(object['name'], `${where}.name`),
    entrypoints: shape.strings(object['entrypoints'], `${where}.entrypoints`, 64),
    ...(object['abi'] === undefined ? {} : { abi: shape.string(object['abi'], `${where}.abi`, 16) }),
    ...(object['builtins'] === undefined
      ? {}
      : { builtins: shape.strings(object['builtins'], `${where}.builtins`, 256) }),
    ...(object['inputProjection'] === undefined
      ? {}
      : { inputProjection: shape.strings(object['inputProjection'], `${where}.inputProjection`, 256) }),
    ...(object['sourceDigest'] === undefined
      ? {}
      : { sourceDigest: shape.string(object['sourceDigest'], `${where}.sourceDigest`, 128) }),
  };
}

function readSource(value: unknown): { repo?: string; commit?: string } {
  const object = shape.object(value, 'source');
  shape.closed(object, 'source', ['repo', 'commit']);
  return {
    ...(object['repo'] === undefined ? {} : { repo: shape.string(object['repo'], 'source.repo') }),
    ...(object['commit'] === undefined ? {} : { commit: shape.string(object['commit'], 'source.commit', 128) }),
  };
}

function nonEmpty(value: unknown, where: string): string {
  const text = shape.string(value, where, 128);
  if (text === '') shape.fail(where, 'a name');
  return text;
}

function optionalTime(object: JsonObject, name: 'notAfter'): { notAfter?: string } {
  const value = object[name];
  if (value === undefined) return {};
  shape.time(value, name);
  return { [name]: value as string };
}

function version(value: unknown, where: string): string {
  const text = shape.string(value, where, 32);
  if (!/^\d{1,6}\.\d{1,6}\.\d{1,6}$/.test(text)) shape.fail(where, 'a version such as 1.4.0');
  return text;
}
