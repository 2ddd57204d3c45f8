import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Serial } from '../../base/serial.ts';
import type { Marks } from '../audit/marks.ts';
import { parseChannelIndex, stableOf } from '../channel/document.ts';
import { verifyChannel } from '../channel/verify.ts';
import { type Digest, digestHex, parseDigest, referrersTag } from '../oci/digest.ts';
import { type CrashPoint, DurableFiles, readBounded, TEMPORARY_PREFIX } from '../oci/files.ts';
import { OciLayout } from '../oci/layout.ts';
import { type Descriptor, parseManifest } from '../oci/manifest.ts';
import { BUNDLE_ARTIFACT, CHANNEL_ARTIFACT, OCI_INDEX, OCI_MANIFEST, REF_NAME_ANNOTATION } from '../oci/media-types.ts';
import { artifactsOf } from '../oci/publish.ts';
import { Rejection, SourceError } from '../oci/rejection.ts';
import type { SignatureCandidate } from '../oci/source.ts';
import { simpleSignatureTag } from '../oci/simple-signatures.ts';
import type { Trust } from '../trust/policy.ts';
import { type GatewayIdentity, inEpoch, type SequenceState } from '../trust/rules.ts';
import { type VerifiedBundle, verifyBundle } from '../trust/verify.ts';
import {
  EMPTY_STATE,
  isBehind,
  type KeptBundle,
  type KeptChannel,
  keptOf,
  parseState,
  raisedTo,
  sequenceOf,
  stateBytes,
  type StoreState,
  withActive,
  withChannelMark,
  withoutQuarantine,
  withQuarantine,
} from './state.ts';

/** Files removed in one collection; the rest waits for the next. */
const REMOVALS_MAX = 4096;
/** Bundles looked at when the state is lost or the layout was filled from elsewhere. */
const RECOVERY_MAX = 16;
/** `lastContact` is written at most this often. */
const CONTACT_PERIOD_MS = 60_000;
const STATE_BYTES_MAX = 256 * 1024;

export interface PassedOver {
  readonly digest: Digest;
  readonly reason: string;
}

/** A channel index as it was fetched. */
export interface SignedIndex {
  readonly bytes: Uint8Array;
  readonly signatures: readonly SignatureCandidate[];
}

export interface BootOptions {
  readonly trust: Trust;
  readonly gateway: GatewayIdentity;
  readonly nowMs: number;
  /** Bundles that verify but could not be compiled by this gateway: the next one is wanted. */
  readonly except?: ReadonlySet<Digest>;
  /** What was taken back counts as well: an operator wants it, or nothing else is left. */
  readonly takenBackToo?: boolean;
}

type Change = (state: StoreState) => StoreState;

export interface Boot {
  /** The best bundle that verifies; undefined when there is none. */
  readonly bundle: VerifiedBundle | undefined;
  /** Bundles that were to be used before it and why they were not, as they were tried. */
  readonly passedOver: readonly PassedOver[];
  /** `state.json` was lost, torn or altered, and was rebuilt from what verifies. */
  readonly rebuilt: string | undefined;
}

/**
 * The state directory: `oci/`, an image layout with the active bundle and those before it, and `state.json`. Everything
 * is written so that a crash at any moment leaves a store that boots: blobs, then the index, then the state, each synced
 * and renamed into place. Nothing on disk is believed: at boot every byte is hashed and every signature verified again.
 */
export class BundleStore {
  readonly layout: OciLayout;
  readonly #directory: string;
  readonly #files: DurableFiles;
  #state: StoreState;
  #damage: string | undefined;
  #fault: string | undefined;
  /** What counts is more than what is written. */
  #unwritten = false;
  /** By the audit log. */
  #servedLast: Digest | undefined;
  /** The state file is older than that. */
  #behind = false;
  /** Changes, one after the other. */
  readonly #changes = new Serial();

  private constructor(
    directory: string,
    files: DurableFiles,
    layout: OciLayout,
    state: StoreState,
    damage: string | undefined,
  ) {
    this.#directory = directory;
    this.#files = files;
    this.layout = layout;
    this.#state = state;
    this.#damage = damage;
  }

  /** Opens or makes the state directory. One gateway at a time may have it open. */
  static async open(
    directory: string,
    options: { readonly marks?: Marks | undefined; readonly crashPointForTests?: CrashPoint } = {},
  ): Promise<BundleStore> {
    const files = new DurableFiles(options.crashPointForTests);
    await files.makeDirectory(directory);
    const layout = await OciLayout.create(join(directory, 'oci'), { files });
    const { marks } = options;
    const read = await readState(join(directory, 'state.json'));
    const lost = read.absent && marks !== undefined ? 'state.json is missing' : undefined;
    const store = new BundleStore(
      directory,
      files,
      layout,
      raisedTo(read.state, marks, read.absent || read.damage !== undefined),
      read.damage ?? lost,
    );
    store.#servedLast = marks?.active;
    store.#behind = marks !== undefined && read.state.active !== undefined && isBehind(read.state, marks);
    return store;
  }

  get state(): StoreState {
    return this.#state;
  }

  /**
   * The bundle to start with: the active one, else the newest before it that verifies. Without a readable `state.json`
   * (lost, torn, or a layout that was filled by `skopeo copy`) it is the highest that verifies in the layout, and floor
   * and highest sequence are taken from all that do. A bundle whose keys were revoked since is not used; one that merely
   * expired is. Nothing is written: `activated` does that once it serves.
   */
  async boot(options: BootOptions): Promise<Boot> {
    const passedOver: PassedOver[] = [];
    const found = this.#state.active === undefined ? undefined : await this.#bootKept(options, passedOver);
    if (found !== undefined) return { bundle: found, passedOver, rebuilt: this.#damage };
    // Nothing of what the state names: what else lies there, as after an older state file was put back.
    const more = await this.#rebuild(options, passedOver);
    const bundle = more ? await this.#bootKept(options, passedOver) : undefined;
    return { bundle, passedOver, rebuilt: this.#damage };
  }

  async #bootKept(options: BootOptions, passedOver: PassedOver[]): Promise<VerifiedBundle | undefined> {
    const { policy } = options.trust;
    // Keys that were revoked since count only where the policy says so and nothing else is left.
    for (const revokedCount of policy.serveRevoked === true ? [false, true] : [false]) {
      for (const digest of this.#wanted(options.nowMs)) {
        if (options.except?.has(digest) === true) continue;
        if (!revokedCount && passedOver.some((passed) => passed.digest === digest)) continue;
        try {
          const sequence = inEpoch(sequenceOf(this.#state), policy.epoch);
          return await this.#verifyKept(digest, { ...options, revokedCount }, sequence);
        } catch (error) {
          if (!revokedCount) passedOver.push({ digest, reason: reasonOf(error) });
          else reasonOf(error);
        }
      }
    }
    return undefined;
  }

  /** What to start with, best first: a pinned one before what was active, and before that what served last where the state file is older. */
  #wanted(nowMs: number): ReadonlySet<Digest> {
    const { pin } = this.#state;
    const pinned = pin !== undefined && pin.untilMs > nowMs ? [pin.digest] : [];
    const last = this.#behind && this.#servedLast !== undefined ? [this.#servedLast] : [];
    return new Set([...pinned, ...last, ...keptOf(this.#state).map(({ digest }) => digest)]);
  }

  /** Verifies a kept bundle anew, with a trust policy that has changed. @throws {Rejection} when it would not be served by it. */
  async reverify(digest: Digest, options: BootOptions): Promise<VerifiedBundle> {
    return this.#verifyKept(digest, options, inEpoch(sequenceOf(this.#state), options.trust.policy.epoch));
  }

  /** Content that is here already and whole, for `verifyBundle`. */
  async cached(descriptor: Descriptor): Promise<Uint8Array | undefined> {
    try {
      return await this.layout.blob(descriptor);
    } catch (error) {
      if (error instanceof Rejection || error instanceof SourceError) return undefined;
      throw error;
    }
  }

  /** Writes a bundle that is about to be activated; does not make it the active one. */
  async keep(bundle: VerifiedBundle): Promise<void> {
    await this.#changes.run(async () => {
      await this.layout.putBlob({ descriptor: bundle.manifest.config, bytes: bundle.releaseBytes });
      for (const layer of bundle.layers) await this.layout.putBlob(layer);
      const root = rootDescriptor(bundle);
      for (const artifact of artifactsOf(bundle.signatures)) await this.layout.putSignature(root, artifact);
      await this.layout.putManifest(bundle.manifestBytes, root);
    });
  }

  /**
   * Records that the bundle serves: it is what the next boot starts with. Keeps it first if that has not been done. Then removes what is no longer needed. `also` changes with it, in
   * one write; as of {@link remember} it counts whatever the disk does.
   */
  async activated(bundle: VerifiedBundle, epoch: number, nowMs: number, also?: Change): Promise<void> {
    const { seq, floor } = bundle.release;
    try {
      await this.keep(bundle);
      await this.#change((state) => {
        // A start with what served before is not a new activation.
        const again = state.active?.digest === bundle.digest && state.active.activatedAtMs > 0;
        const activatedAtMs = again ? state.active.activatedAtMs : nowMs;
        const active = withActive(state, { digest: bundle.digest, seq, floor, activatedAtMs }, epoch);
        return also === undefined ? active : also(active);
      });
    } catch (error) {
      if (also !== undefined) await this.#changes.run(async () => this.#hold(also(this.#state)));
      this.#fault = messageOf(error);
      throw error;
    }
    this.#damage = undefined;
    await this.#changes.run(() => this.#collect());
  }

  /**
   * Remembers what was decided here: a bundle that is taken back, or let in again, a pin. It counts from then on. Rejects when it cannot be written; then the next write says it, and each answer
   * of the source tries one.
   */
  async remember(change: Change): Promise<void> {
    await this.#changes.run(async () => {
      this.#hold(change(this.#state));
      await this.#write(this.#state);
    });
  }

  /** Remembers the channel index that counts, and keeps its bytes and signatures: those say so when the state is lost. */
  async follow(channel: KeptChannel, signed?: SignedIndex): Promise<void> {
    if (signed !== undefined)
      await this.#changes.run(async () => {
        const size = signed.bytes.byteLength;
        const root = { mediaType: OCI_INDEX, digest: channel.digest, size, artifactType: CHANNEL_ARTIFACT };
        for (const artifact of artifactsOf(signed.signatures)) await this.layout.putSignature(root, artifact);
        await this.layout.putManifest(signed.bytes, root);
      });
    await this.#change((state) => ({ ...state, channel }));
    await this.#changes.run(() => this.#collect());
  }

  /** Remembers a digest as taken back; it is not activated again until it is forgotten. Counts as of {@link remember}. */
  async quarantine(digest: Digest, reason: string): Promise<void> {
    await this.remember((state) => withQuarantine(state, digest, reason));
  }

  /** Forgets what was quarantined except this digest: the tag has moved on. Counts as of {@link remember}. */
  async releaseQuarantine(except?: Digest): Promise<void> {
    const released = [...this.#state.quarantined.keys()].filter((digest) => digest !== except);
    if (released.length > 0) await this.remember((state) => withoutQuarantine(state, released));
  }

  /**
   * The source has answered. Written to disk once a minute at most, unless something else waits to be written. Never rejects: a disk that cannot be written must not
   * stop a gateway that serves; what it said is in `fault`.
   */
  async contacted(nowMs: number): Promise<void> {
    const { lastContactMs } = this.#state;
    if (!this.#unwritten && nowMs - lastContactMs < CONTACT_PERIOD_MS && nowMs >= lastContactMs) return;
    try {
      await this.#change((state) => ({ ...state, lastContactMs: nowMs }));
    } catch {
      // Said by `fault`; the next answer tries again.
    }
  }

  /** Why the last write failed; undefined when it succeeded. For status and alarms. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Why what counts is not on the disk; undefined: it is. */
  get unwritten(): string | undefined {
    return this.#unwritten ? (this.#fault ?? 'it is being written') : undefined;
  }

  /** Resolves when everything that was begun is written. */
  async settled(): Promise<void> {
    await this.#changes.idle();
  }

  /** Waits for what is being written. */
  async close(): Promise<void> {
    await this.settled();
    await this.layout.close();
  }

  async #verifyKept(
    digest: Digest,
    options: BootOptions & { readonly revokedCount?: boolean },
    sequence: SequenceState,
  ): Promise<VerifiedBundle> {
    return verifyBundle(this.layout, digest, {
      ...options,
      sequence,
      purpose: 'kept',
      ...(options.takenBackToo === true ? {} : { quarantined: this.#state.quarantined }),
    });
  }

  /** Makes a state from the bundles of the layout that verify: signed evidence is all that is left. What served last by the audit log comes first. False: there are none but those that were tried. */
  async #rebuild(options: BootOptions, passedOver: PassedOver[]): Promise<boolean> {
    const { epoch } = options.trust.policy;
    await this.#rebuildChannel(options);
    const found: KeptBundle[] = [];
    const tried = new Set(keptOf(this.#state).map(({ digest }) => digest));
    for (const digest of await this.#roots()) {
      if (tried.has(digest)) continue;
      try {
        const { release } = await this.#verifyKept(digest, options, inEpoch(sequenceOf(this.#state), epoch));
        found.push({ digest, seq: release.seq, floor: release.floor, activatedAtMs: 0 });
      } catch (error) {
        passedOver.push({ digest, reason: reasonOf(error) });
      }
    }
    const last = (item: KeptBundle): number => (item.digest === this.#servedLast ? 1 : 0);
    found.sort((a, b) => last(a) - last(b) || a.seq - b.seq);
    this.#state = found.reduce((state, item) => withActive(state, item, epoch), this.#state);
    return found.length > 0;
  }

  /** The newest channel index of the layout that verifies has counted here. */
  async #rebuildChannel({ trust, nowMs }: BootOptions): Promise<void> {
    for (const digest of await this.#roots(CHANNEL_ARTIFACT)) {
      try {
        const root = await this.layout.manifest(digest);
        const { epoch, seq } = parseChannelIndex(root.bytes, root.contentType);
        const known = { epoch, seq, digest };
        const { index } = await verifyChannel(this.layout, digest, root, { trust, known, nowMs });
        this.#state = withChannelMark(this.#state, { ...known, bundle: stableOf(index).digest });
      } catch (error) {
        // Who signed it is not trusted any more, or it is torn: then it says nothing.
        reasonOf(error);
      }
    }
  }

  /** Manifests of the layout that may be bundles, or channel indexes. */
  async #roots(artifactType: string = BUNDLE_ARTIFACT): Promise<Digest[]> {
    let entries: readonly Descriptor[];
    try {
      ({ manifests: entries } = await this.layout.index());
    } catch (error) {
      if (error instanceof SourceError) return [];
      throw error;
    }
    const roots = entries
      .filter((entry) => !isSignatureTag(entry))
      .filter((entry) =>
        artifactType === CHANNEL_ARTIFACT
          ? entry.mediaType === OCI_INDEX && entry.artifactType === CHANNEL_ARTIFACT
          : entry.mediaType === OCI_MANIFEST,
      )
      .map((entry) => entry.digest);
    return [...new Set(roots)].slice(0, RECOVERY_MAX);
  }

  async #change(next: Change): Promise<void> {
    await this.#changes.run(async () => {
      const state = next(this.#state);
      await this.#write(state);
      this.#state = state;
    });
  }

  /** It counts, and is still to be written. */
  #hold(state: StoreState): void {
    this.#state = state;
    this.#unwritten = true;
  }

  async #write(state: StoreState): Promise<void> {
    try {
      await this.#files.write(join(this.#directory, 'state.json'), stateBytes(state), 0o600);
    } catch (error) {
      this.#fault = messageOf(error);
      throw error;
    }
    this.#unwritten = false;
    this.#fault = undefined;
  }

  /** Drops bundles that are neither active nor among the previous ones, and blobs that nothing refers to. */
  async #collect(): Promise<void> {
    const kept = new Set(
      [this.#state.active, ...this.#state.previous, this.#state.channel, this.#state.pin].flatMap((item) =>
        item === undefined ? [] : [item.digest],
      ),
    );
    const tags = new Set([...kept].flatMap((digest) => [referrersTag(digest), simpleSignatureTag(digest)]));
    await this.layout.update((entries) => {
      return entries.filter(
        (entry) => kept.has(entry.digest) || tags.has(entry.annotations?.[REF_NAME_ANNOTATION] ?? ''),
      );
    });
    const reachable = await this.#reachable();
    const blobs = join(this.layout.directory, 'blobs', 'sha256');
    let removed = 0;
    for (const directory of [blobs, this.layout.directory, this.#directory]) {
      for (const name of await readdir(directory)) {
        const garbage =
          name.startsWith(TEMPORARY_PREFIX) ||
          (directory === blobs && parseDigest(`sha256:${name}`) !== undefined && !reachable.has(name));
        if (!garbage) continue;
        await this.#files.remove(join(directory, name));
        removed += 1;
        if (removed === REMOVALS_MAX) return;
      }
    }
  }

  /** Hex names of the blobs that the index leads to. What cannot be read leads nowhere, and is kept itself. */
  async #reachable(): Promise<Set<string>> {
    const reachable = new Set<string>();
    const walk = async (descriptor: Descriptor, depth: number): Promise<void> => {
      const name = digestHex(descriptor.digest);
      if (reachable.has(name)) return;
      reachable.add(name);
      if (depth === 0) return;
      try {
        const parsed = parseManifest((await this.layout.manifest(descriptor.digest)).bytes);
        if (parsed.kind === 'index') {
          for (const item of parsed.manifests) await walk(item, depth - 1);
          return;
        }
        for (const item of [parsed.config, ...parsed.layers]) reachable.add(digestHex(item.digest));
      } catch (error) {
        if (!(error instanceof Rejection) && !(error instanceof SourceError)) throw error;
      }
    };
    for (const entry of (await this.layout.index()).manifests) await walk(entry, 2);
    return reachable;
  }
}

/** What cosign 1 and 2 put beside a bundle is none. */
function isSignatureTag(entry: Descriptor): boolean {
  return entry.annotations?.[REF_NAME_ANNOTATION]?.startsWith('sha256-') === true;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The rejections and failures of a store; a bug is thrown on. */
function reasonOf(error: unknown): string {
  if (error instanceof Rejection || error instanceof SourceError) return `${error.code}: ${error.message}`;
  throw error;
}

function rootDescriptor(bundle: VerifiedBundle): Descriptor {
  return {
    mediaType: OCI_MANIFEST,
    digest: bundle.digest,
    size: bundle.manifestBytes.byteLength,
    artifactType: BUNDLE_ARTIFACT,
  };
}

async function readState(path: string): Promise<{ state: StoreState; damage: string | undefined; absent: boolean }> {
  const read = await readBounded(path, STATE_BYTES_MAX);
  if (read.state === 'absent') return { state: EMPTY_STATE, damage: undefined, absent: true };
  if (read.state === 'too_large')
    return { state: EMPTY_STATE, damage: `state.json has more than ${STATE_BYTES_MAX} bytes`, absent: false };
  try {
    return { state: parseState(read.bytes), damage: undefined, absent: false };
  } catch (error) {
    if (!(error instanceof Rejection)) throw error;
    return { state: EMPTY_STATE, damage: error.message, absent: false };
  }
}
