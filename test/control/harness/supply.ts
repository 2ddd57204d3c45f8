/** All of what follows a source, over a registry that may lie: store on disk, trust policy file, polls. What would serve is written down. */
import assert from 'node:assert/strict';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Journal } from '../../../src/control/audit/journal.ts';
import type { Assigned } from '../../../src/control/channel/assign.ts';
import type { Rollout, RolloutParts } from '../../../src/control/rollout/rollout.ts';
import { BundleSupply } from '../../../src/control/supply.ts';
import { readTrustFile } from '../../../src/control/trust/file.ts';
import type { TrustPolicy } from '../../../src/control/trust/policy.ts';
import type { VerifiedBundle } from '../../../src/control/trust/verify.ts';
import { NOW_MS, policy, temporaryDirectory } from './sample.ts';
import { ScriptedRegistry } from './scripted-registry.ts';

export interface SupplyOptions {
  readonly policy?: Partial<TrustPolicy>;
  readonly seed?: string;
  /** Registries that are asked when the first does not answer. */
  readonly mirrors?: readonly ScriptedRegistry[];
  /** What it is among others. */
  readonly gateway?: Assigned;
  /** With an audit log, as a gateway has one. */
  readonly audit?: boolean;
  /** Throws ActivationError to refuse. */
  readonly serve?: (bundle: VerifiedBundle) => Promise<void>;
  /** New bundles go through it. */
  readonly rollout?: (ended: RolloutParts['ended']) => Rollout;
  /** After every event. */
  readonly told?: () => void;
}

export async function suppliedBy(t: TestContext, options: SupplyOptions = {}) {
  // Newest first: what writes into the directory ends before the directory does.
  const ends: (() => unknown)[] = [];
  const given = { after: (end: () => unknown): void => void ends.push(end) };
  t.after(async () => {
    for (let end = ends.pop(); end !== undefined; end = ends.pop()) await end();
  });
  const directory = await temporaryDirectory(given);
  const registry = await ScriptedRegistry.start(given);
  const trustFile = join(directory, 'trust.yaml');
  const clock = { nowMs: NOW_MS };
  const served: VerifiedBundle[] = [];
  const events: { level: string; message: string; fields: Record<string, unknown> }[] = [];
  const setTrust = (more: Partial<TrustPolicy>): void => {
    writeFileSync(`${trustFile}.new`, JSON.stringify(policy(more)));
    renameSync(`${trustFile}.new`, trustFile);
  };
  setTrust(options.policy ?? {});

  const told = (level: string, message: string, fields: Record<string, unknown>): void => {
    events.push({ level, message, fields });
    options.told?.();
  };
  const journal = new Journal({
    stateDir: join(directory, 'state'),
    log: told,
    receivers: [],
    gateway: 'edge-1',
    now: () => clock.nowMs,
  });

  /** A process on the same state directory; the one before must be closed. */
  const start = async (): Promise<BundleSupply> => {
    const rollout = options.rollout?.((end) => supply.ended(end));
    const supply: BundleSupply = new BundleSupply({
      ...(rollout === undefined ? {} : { rollout }),
      bundle: {
        source: `${registry.host}/edge/config:prod`,
        mirrors: (options.mirrors ?? []).map(({ host }) => ({ source: `${host}/edge/config:prod` })),
        pollMs: 30_000,
        silentAfterMs: 600_000,
        ...(options.seed === undefined ? {} : { seed: options.seed }),
      },
      stateDir: join(directory, 'state'),
      trustFile,
      trust: await readTrustFile(trustFile),
      gateway: options.gateway ?? { id: 'edge-1', labels: {} },
      registries: [{ sleep: async () => {}, idleTimeoutMs: 20_000 }],
      serve: async (bundle) => {
        await options.serve?.(bundle);
        served.push(bundle);
        return served.length;
      },
      event: options.audit === true ? journal.event : told,
      now: () => clock.nowMs,
    });
    given.after(() => supply.close());
    // What the process before has told is on the disk.
    await journal.suspend();
    await supply.open();
    if (options.audit === true) {
      await journal.open();
      given.after(() => journal.suspend());
    }
    await supply.boot();
    return supply;
  };

  /** A changed trust policy file has come to rest and was looked at. */
  const retrust = async (supply: BundleSupply, more: Partial<TrustPolicy>): Promise<void> => {
    setTrust(more);
    for (let i = 0; i < 3; i += 1) await supply.lookAtTrust();
    await supply.pollNow();
  };

  /** The last reason for which something was not taken, with its code. */
  const refusal = (supply: BundleSupply): string => supply.rejections()[0]?.reason ?? 'nothing was refused';

  const serves = (supply: BundleSupply, seq: number): void => {
    assert.equal(supply.active()?.seq, seq, refusal(supply));
    assert.equal(served.at(-1)?.release.seq, seq);
  };
  return { directory, registry, clock, served, events, start, retrust, setTrust, refusal, serves };
}
