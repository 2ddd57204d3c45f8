import { execFile } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type AssembledBundle, assembleBundle, type LayerInput } from '../../control/oci/artifact.ts';
import type { Digest } from '../../control/oci/digest.ts';
import type { OciLayout } from '../../control/oci/layout.ts';
import { BUNDLE_ARTIFACT, REF_NAME_ANNOTATION } from '../../control/oci/media-types.ts';
import { publishBundle, readReleaseUnverified, signBundle } from '../../control/oci/publish.ts';
import { Rejection, SourceError } from '../../control/oci/rejection.ts';
import type { Release, ReleasePolicy } from '../../control/oci/release.ts';
import { command, onlyPositional, UsageError } from '../command.ts';
import type { Command, CommandIo } from '../io.ts';
import { openReference, readSigningKey } from './place.ts';

/** What a directory says, once it has been checked: the release without what only building can know, and the layers. */
export interface BundleSource {
  readonly release: {
    readonly product: string;
    readonly channels: readonly string[];
    readonly selector?: Readonly<Record<string, string>>;
    readonly seq?: number;
    readonly floor: number;
    readonly notAfter?: string;
    readonly minGateway?: string;
    readonly requires?: readonly string[];
    readonly policies?: readonly ReleasePolicy[];
  };
  readonly layers: readonly LayerInput[];
}

/** `against`: a former release that the policies' promises are held to. */
export type LoadBundleDirectory = (directory: string, io: CommandIo, against?: string) => Promise<BundleSource>;

const HELP = `cnx bundle build <dir> --out oci:<directory>[:tag] [--key FILE] [--seq N] [--against <ref|dir>]

Checks the bundle directory as cnx check does: what a gateway could not compile, or whose tests fail, is not written. Then writes
it as an artifact into an OCI image layout. The same sources give the same digest: times come from SOURCE_DATE_EPOCH, else from the
last commit of <dir>, else from its newest file.

  --out   the layout; made when it is not there
  --key   sign at once, before the tag moves, so that a gateway that watches never sees it unsigned
  --seq   sequence number; default: what release.yaml says, else the highest in the layout plus one.
          A build that changes nothing keeps its number and its digest.
  --against  the release before, a <ref> (of a channel index what is stable) or a directory: what policies promised there (input, entrypoints, result) may
          change with a new major version only (docs/policy.md)
`;

/** The command for directories that `load` can read. */
export function buildCommand(load: LoadBundleDirectory): Command {
  return command({
    name: 'bundle build',
    help: HELP,
    options: {
      out: { type: 'string' },
      key: { type: 'string' },
      seq: { type: 'string' },
      against: { type: 'string' },
    },
    act: async ({ values, positionals, io }) => {
      const directory = onlyPositional(positionals, '<dir>');
      if (values.out === undefined) throw new UsageError('--out oci:<directory> is missing');
      const seq = values.seq === undefined ? undefined : Number(values.seq);
      if (seq !== undefined && (!Number.isSafeInteger(seq) || seq < 1))
        throw new UsageError('--seq is a whole number from 1');
      const key = values.key === undefined ? undefined : await readSigningKey(values.key);
      const source = await load(directory, io, values.against);
      const { reference, place } = await openReference(values.out, { insecure: false }, io, true);
      if (reference.kind !== 'layout')
        throw new UsageError('--out is an OCI layout, oci:<directory>[:tag]; cnx bundle push copies it to a registry');
      const layout = place as OciLayout;
      const { bundle, unchanged, release } = await assembleFor(
        layout,
        reference.tag,
        source,
        seq ?? source.release.seq,
        await originOf(directory, io),
      );
      if (key === undefined) {
        await publishBundle(layout, bundle, reference.tag);
      } else {
        await publishBundle(layout, bundle);
        await signBundle(layout, bundle.digest, key);
        await layout.putManifest(bundle.manifest, bundle.descriptor, reference.tag);
      }
      io.stdout(
        `${unchanged ? 'unchanged' : 'built'.padEnd(9)}  ${bundle.digest}\nrelease    ${release.product}, sequence ${release.seq}, ${source.layers.length} layers\nin         ${values.out}${key === undefined ? ' (not signed)' : ' (signed)'}\n`,
      );
      return 0;
    },
  });
}

interface Origin {
  readonly createdEpochS: number;
  readonly commit: string | undefined;
}

/** Gives the bundle its number: the one of what the tag points to when nothing has changed since, else the next. */
export async function assembleFor(
  layout: OciLayout,
  tag: string,
  source: BundleSource,
  wanted: number | undefined,
  origin: Origin,
): Promise<{ bundle: AssembledBundle; release: Release; unchanged: boolean }> {
  const built = await builtBefore(layout);
  const current = await layout.resolve(tag);
  const before = current.state === 'found' ? built.get(current.digest) : undefined;
  // A floor above the number of what stands there is a change, and no release could say it under that number.
  const mayBeSame = before !== undefined && (wanted ?? before) === before && source.release.floor <= before;
  if (current.state === 'found' && mayBeSame) {
    const again = assembleWith(source, before, origin);
    if (again.bundle.digest === current.digest) return { ...again, unchanged: true };
  }
  const highest = Math.max(0, ...built.values());
  const next = assembleWith(source, wanted ?? highest + 1, origin);
  const twin = [...built].find(([digest, seq]) => seq === wanted && digest !== next.bundle.digest);
  if (twin !== undefined) {
    throw new UsageError(
      `sequence ${twin[1]} is already that of ${twin[0]} in this layout; gateways refuse two bundles with one number (the next is ${highest + 1})`,
    );
  }
  return { ...next, unchanged: false };
}

function assembleWith(
  source: BundleSource,
  seq: number,
  origin: Origin,
): { bundle: AssembledBundle; release: Release } {
  const { channels, selector = {}, seq: _own, ...rest } = source.release;
  if (rest.floor > seq)
    throw new UsageError(
      `the floor in release.yaml is ${rest.floor}, above the bundle's own sequence number ${seq}, so that it would refuse itself; lower the floor, or say --seq ${rest.floor}`,
    );
  const release: Release = {
    schema: 1,
    ...rest,
    audience: { channels, ...(Object.keys(selector).length === 0 ? {} : { selector }) },
    seq,
    createdAt: new Date(origin.createdEpochS * 1000).toISOString(),
    ...(origin.commit === undefined ? {} : { source: { commit: origin.commit } }),
  };
  const annotations = origin.commit === undefined ? {} : { 'org.opencontainers.image.revision': origin.commit };
  return {
    release,
    bundle: assembleBundle({ release, layers: source.layers, annotations, createdEpochS: origin.createdEpochS }),
  };
}

/** Sequence numbers of the bundles in a layout. */
async function builtBefore(layout: OciLayout): Promise<Map<Digest, number>> {
  const found = new Map<Digest, number>();
  for (const entry of (await layout.index()).manifests) {
    const tag = entry.annotations?.[REF_NAME_ANNOTATION] ?? '';
    if (entry.artifactType !== BUNDLE_ARTIFACT && tag.startsWith('sha256-')) continue;
    try {
      found.set(entry.digest, (await readReleaseUnverified(layout, entry.digest)).seq);
    } catch (error) {
      // Other artifacts, or torn ones, may stand in the same layout.
      if (!(error instanceof Rejection) && !(error instanceof SourceError)) throw error;
    }
  }
  return found;
}

/** Where the time of a build comes from. Never the clock. */
export async function originOf(directory: string, io: CommandIo): Promise<Origin> {
  const git = await commitOf(directory);
  const epoch = io.env['SOURCE_DATE_EPOCH'];
  if (epoch !== undefined) {
    if (!/^\d{1,11}$/.test(epoch)) throw new UsageError('SOURCE_DATE_EPOCH is a time in seconds since 1970');
    return { createdEpochS: Number(epoch), commit: git?.commit };
  }
  if (git !== undefined) return git;
  return { createdEpochS: await newestFile(directory), commit: undefined };
}

async function commitOf(directory: string): Promise<{ createdEpochS: number; commit: string } | undefined> {
  try {
    const run = promisify(execFile);
    const options = { cwd: directory, timeout: 10_000 };
    const { stdout } = await run('git', ['log', '-1', '--format=%ct %H', '--', '.'], options);
    const [seconds, commit] = stdout.trim().split(' ');
    if (seconds === undefined || seconds === '' || commit === undefined) return undefined;
    const { stdout: changes } = await run('git', ['status', '--porcelain', '--', '.'], options);
    return { createdEpochS: Number(seconds), commit: changes === '' ? commit : `${commit}-dirty` };
  } catch {
    // No git, or not a work tree: the files' own times are used.
    return undefined;
  }
}

const DEPTH_MAX = 16;

async function newestFile(directory: string, depth = 0): Promise<number> {
  let newest = 0;
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isFile()) newest = Math.max(newest, Math.floor((await stat(path)).mtimeMs / 1000));
    else if (entry.isDirectory() && depth < DEPTH_MAX) newest = Math.max(newest, await newestFile(path, depth + 1));
  }
  return newest;
}
