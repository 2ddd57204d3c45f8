/** `cnx bundle channel <command>`: the index that says which gateways run which bundle. */
import { assign } from '../../control/channel/assign.ts';
import { type ChannelEntry, type ChannelIndex, ruleText, stableOf } from '../../control/channel/document.ts';
import {
  bundleFor,
  currentOf,
  entryFor,
  publishChannel,
  readChannelUnverified,
  signChannel,
} from '../../control/channel/publish.ts';
import { type Digest, parseDigest } from '../../control/oci/digest.ts';
import { type ArtifactPlace, resolveDigest } from '../../control/oci/publish.ts';
import { type ReasonCode, Rejection } from '../../control/oci/rejection.ts';
import { readTrustFile } from '../../control/trust/file.ts';
import { signersOf } from '../../control/trust/verify.ts';
import { durationOf } from '../duration.ts';
import { family } from '../family.ts';
import { command, onlyPositional, UsageError } from '../command.ts';
import type { Command } from '../io.ts';
import { digestOfReference, openReference, PLACE_HELP, PLACE_OPTIONS, readPromoterKeys } from './place.ts';
import { canaryRule, labelOption } from './rules.ts';
import { signing } from './sign.ts';

/** How long an index may be taken unless told. */
export const EXPIRES_DEFAULT = '30d';

const SET_HELP = `cnx bundle channel set <ref> --trust FILE --key FILE [--stable BUNDLE] [--canary BUNDLE --to RULE]

Makes the next index of a channel, signs it and points the tag of <ref> to it. BUNDLE is a tag or a digest of the same place; it must verify
by the trust policy, and so must the index that the tag names now: the next one is made from it. Without --stable and --canary it is the
same again with a later end.

  --stable   what gateways run; default: what the tag names now
  --canary   what those run whom a rule is for; absent: there is no canary any more
  --to       10 (percent of gateways), ring=canary (a label), ring=canary+region=eu@10 (percent of those with the labels);
             may be given several times; gateway=NAME means one gateway
  --trust    trust policy of the gateways: product, channel, epoch, and who may sign
  --key      private key of a promoter; may be given several times
  --expires  30m, 12h, 30d (the default): from then on gateways call it stale, and a gateway that has never seen it does not take it
  --seq      its number, whatever the tag names now: after the epoch was raised, or when somebody has destroyed what was there

${PLACE_HELP}`;

const set: Command = command({
  name: 'bundle channel set',
  help: SET_HELP,
  options: {
    ...PLACE_OPTIONS,
    stable: { type: 'string' },
    canary: { type: 'string' },
    to: { type: 'string', multiple: true, default: [] },
    trust: { type: 'string' },
    key: { type: 'string', multiple: true, default: [] },
    expires: { type: 'string', default: EXPIRES_DEFAULT },
    seq: { type: 'string' },
  },
  act: async ({ values, positionals, io }) => {
    const text = onlyPositional(positionals, '<ref>');
    if (values.trust === undefined) throw new UsageError('--trust FILE is missing');
    if (values.key.length === 0) throw new UsageError('--key FILE is missing');
    if ((values.canary === undefined) !== (values.to.length === 0))
      throw new UsageError('--canary and --to belong together');
    const rules = values.to.map(canaryRule);
    const expiresMs = durationOf(values.expires);
    const seqGiven = values.seq === undefined ? undefined : Number(values.seq);
    if (seqGiven !== undefined && (!Number.isSafeInteger(seqGiven) || seqGiven < 1))
      throw new UsageError('--seq is a whole number from 1');
    const trust = await readTrustFile(values.trust);
    const keys = await readPromoterKeys(values.key, trust, values.trust);
    const { reference, place } = await openReference(text, values, io);
    try {
      if (reference.digest !== undefined) throw new UsageError('<ref> names a tag, not a digest');
      const nowMs = Date.now();
      const before =
        seqGiven === undefined
          ? await believed(currentOf(place, reference.tag, trust, nowMs))
          : { state: 'missing' as const };
      const former = before.state === 'index' ? before.channel.index : null;
      const renewed = former !== null && values.stable === undefined && values.canary === undefined;
      let entries: readonly ChannelEntry[];
      if (renewed) {
        ({ entries } = former);
      } else {
        const stable =
          values.stable !== undefined
            ? await bundleAt(place, values.stable)
            : former !== null
              ? stableOf(former).digest
              : before.state === 'bundle'
                ? before.digest
                : undefined;
        if (stable === undefined)
          throw new UsageError('--stable is missing, and the tag names nothing that could be it');
        const canary = values.canary === undefined ? undefined : await bundleAt(place, values.canary);
        const canaries: ChannelEntry[] = [];
        for (const rule of canary === undefined ? [] : rules)
          if (canary !== undefined) canaries.push(await entryFor(place, canary, rule));
        entries = [...canaries, await entryFor(place, stable, { role: 'stable' })];
      }
      for (const digest of new Set(entries.map((entry) => entry.digest))) await bundleFor(place, digest, trust, nowMs);
      const index: ChannelIndex = {
        product: trust.policy.product,
        channel: trust.policy.channel,
        seq: seqGiven ?? (former?.seq ?? 0) + 1,
        epoch: trust.policy.epoch,
        madeMs: nowMs,
        expiresMs: nowMs + expiresMs,
        entries,
        ...(renewed && former.rolledBack !== undefined ? { rolledBack: former.rolledBack } : {}),
        ...(renewed && former.former !== undefined ? { former: former.former } : {}),
      };
      const digest = await publishChannel(place, index, keys, reference.tag);
      io.stdout(`${renewed ? 'renewed' : 'set'.padEnd(7)}     ${digest}\n${linesOf(index)}`);
    } finally {
      await place.close();
    }
    return 0;
  },
});

/** Nobody whom the policy believes has signed what is there now: the next index cannot be made from it, but without it. */
const UNBELIEVED: ReadonlySet<ReasonCode> = new Set([
  'unsigned',
  'wrong_key',
  'bad_signature',
  'revoked_key',
  'expired_key',
]);

/** Adds the mend where what the tag names now is not believed. */
async function believed<T>(current: Promise<T>): Promise<T> {
  try {
    return await current;
  } catch (error) {
    if (!(error instanceof Rejection) || !UNBELIEVED.has(error.code)) throw error;
    throw new Rejection(
      error.code,
      `the index that the tag names now is not believed (${error.message}); to begin anew whatever it says: --stable BUNDLE --seq N, with N above the last index that gateways have taken in this epoch (cnx rollout status), 1 if they have taken none`,
      { cause: error },
    );
  }
}

/** A tag or a digest of a place, as a digest. */
export async function bundleAt(place: ArtifactPlace, text: string): Promise<Digest> {
  return parseDigest(text) ?? (await resolveDigest(place, text));
}

const SHOW_HELP = `cnx bundle channel show <ref> [--trust FILE] [--gateway NAME [--label name=value]…] [--json]

Prints an index: which gateways run which bundle.

  --trust    name the trusted promoters that signed it; without it nothing is verified
  --gateway  also what this gateway is to run, and why
  --label    a label of that gateway

${PLACE_HELP}`;

const show: Command = command({
  name: 'bundle channel show',
  help: SHOW_HELP,
  options: {
    ...PLACE_OPTIONS,
    trust: { type: 'string' },
    gateway: { type: 'string' },
    label: { type: 'string', multiple: true, default: [] },
    json: { type: 'boolean', default: false },
  },
  act: async ({ values, positionals, io }) => {
    const opened = await openReference(onlyPositional(positionals, '<ref>'), values, io);
    try {
      const digest = await digestOfReference(opened);
      const index = await readChannelUnverified(opened.place, digest);
      const { candidates } = await opened.place.signatures(digest);
      const signers =
        values.trust === undefined ? undefined : signersOf(candidates, digest, await readTrustFile(values.trust));
      const labels = Object.fromEntries(values.label.map(labelOption));
      const assigned = values.gateway === undefined ? undefined : assign(index, { id: values.gateway, labels });
      if (values.json) {
        const { madeMs, expiresMs, ...rest } = index;
        const times = { madeAt: new Date(madeMs).toISOString(), expiresAt: new Date(expiresMs).toISOString() };
        const told = { digest, ...rest, ...times, signatures: candidates.length, signers, assigned };
        io.stdout(`${JSON.stringify(told, null, 2)}\n`);
        return 0;
      }
      io.stdout(`index       ${digest}\n${linesOf(index)}`);
      io.stdout(
        `signed      ${signers === undefined ? `${candidates.length} (not verified)` : signers.join(', ') || 'NO'}\n`,
      );
      if (assigned !== undefined) io.stdout(`assigned    ${assigned.entry.digest}\nbecause     ${assigned.why}\n`);
    } finally {
      await opened.place.close();
    }
    return 0;
  },
});

/** An index for people. Nothing of an unverified document may drive a terminal. */
export function linesOf(index: ChannelIndex): string {
  const time = (ms: number): string => new Date(ms).toISOString();
  const lines = [
    `channel     ${index.channel} of ${index.product}, sequence ${index.seq}, epoch ${index.epoch}`,
    `made        ${time(index.madeMs)}, good until ${time(index.expiresMs)}`,
    ...index.entries.map(({ digest, rule }) => `${rule.role.padEnd(12)}${digest}  ${ruleText(rule)}`),
    ...(index.rolledBack === undefined ? [] : [`taken back  ${index.rolledBack.digest}  ${index.rolledBack.reason}`]),
  ];
  return lines.map((line) => `${line.replace(/[^ -~\u00a0-\uffff]/g, '?')}\n`).join('');
}

const SIGN_HELP = `cnx bundle channel sign <ref> --key FILE

Adds a promoter's signature to an index that is there: where promoterThreshold asks for several, gateways wait for the last.

${PLACE_HELP}`;

const sign: Command = signing('bundle channel sign', SIGN_HELP, signChannel);

/** `cnx bundle channel <command>`. */
export const run: Command = family('bundle channel', {
  set: { what: 'make the next index: what is stable, which gateways get a canary', load: async () => set },
  show: { what: 'print an index, and what a gateway is to run by it', load: async () => show },
  sign: { what: "add another promoter's signature", load: async () => sign },
});
