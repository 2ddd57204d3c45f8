/** `cnx rollout run`: brings a bundle to all gateways of a channel step by step, for CI. What it knows stands in the signed index; a run that was ended is gone on with by the next. */
import type { KeyObject } from 'node:crypto';
import { type ChannelIndex, ruleText, selectorText, stableOf } from '../../control/channel/document.ts';
import { bundleFor, type Current, currentOf, entryFor, publishChannel } from '../../control/channel/publish.ts';
import { type Digest, shortDigest } from '../../control/oci/digest.ts';
import type { ArtifactPlace } from '../../control/oci/publish.ts';
import { SourceError } from '../../control/oci/rejection.ts';
import { readTrustFile } from '../../control/trust/file.ts';
import { thresholdOf, type Trust } from '../../control/trust/policy.ts';
import { bundleAt, EXPIRES_DEFAULT } from '../bundle/channel.ts';
import { openReference, PLACE_HELP, PLACE_OPTIONS, readPromoterKeys } from '../bundle/place.ts';
import { canaryRule } from '../bundle/rules.ts';
import { durationOf } from '../duration.ts';
import { command, onlyPositional, UsageError } from '../command.ts';
import { textOf, tokenOf } from '../file.ts';
import type { Command } from '../io.ts';
import { type Act, actText, type CanaryRule, decide, detailOf, type Heard, phaseOf, type RunPlan } from './decide.ts';
import { type Group, GROUP_MAX, hear, pollAll } from './group.ts';

const HELP = `cnx rollout run <ref> --candidate BUNDLE --gateway URL… --trust FILE --key FILE

Brings BUNDLE (a tag or digest of the same place as <ref>) to the gateways that follow <ref>, step by step: signs the next channel
index when every gateway of the group that is to run it has served it for the soak, makes it stable after the last step, and takes it
back from all when one gateway of the group has taken it back or cannot run it. What it knows stands in the signed index: ended at any
moment and started again, it goes on.

  --gateway URL        admin listener of a gateway of the group that is watched; may be given several times
  --gateways FILE      the same, one a line
  --token-file FILE    bearer token of their admin listeners
  --steps RULES        who gets it, step after step, with commas (default 1,10,50,100): 10 is percent of all gateways, ring=canary those
                       with a label, ring=canary@50 percent of these
  --soak 5m            least time at every step, for each gateway of the group that is to run it
  --serving-min N      gateways of the group that must serve it before it becomes stable (default 1)
  --deadline 2h        the run ends then; the next goes on
  --late hold          what happens at the deadline: hold (nothing), or roll-back
  --look 5s            time between two looks
  --once               looks once, does what is due, and ends
  --again              although this bundle was taken back before
  --trust, --key, --expires   as in cnx bundle channel set; several --key where promoterThreshold asks for them
  --json               the report as JSON on stdout; what happens is told on stderr all the time

Exit code 0: stable, and every gateway of the group serves it; 3: taken back; 4: the deadline was over; 5: --once, and there is more to do;
1: an error; 2: wrong usage.

${PLACE_HELP}`;

/** Exit codes besides 0, 1 and 2. */
export const ROLLED_BACK = 3;
export const LATE = 4;
export const UNFINISHED = 5;

/** After a bundle was taken back: time for the gateways to leave it, whatever the deadline. */
const LEAVE_MS = 120_000;
const SERVING_MAX = 256;
const STEPS_MAX = 16;

interface Run {
  readonly place: ArtifactPlace;
  readonly tag: string;
  readonly trust: Trust;
  readonly keys: readonly KeyObject[];
  readonly group: Group;
  readonly plan: RunPlan;
  readonly expiresMs: number;
  readonly again: boolean;
  readonly tell: (text: string) => void;
}

/** What was done, for the report. */
interface Done {
  readonly at: string;
  readonly act: string;
  readonly seq: number;
  readonly index: Digest;
  readonly text: string;
}

interface Look {
  readonly act: Act;
  readonly heard: readonly Heard[];
  readonly current: Current;
  /** The sequence of the candidate. */
  readonly seq: number;
}

export const run: Command = command({
  name: 'rollout run',
  help: HELP,
  options: {
    ...PLACE_OPTIONS,
    candidate: { type: 'string' },
    gateway: { type: 'string', multiple: true, default: [] },
    gateways: { type: 'string' },
    'token-file': { type: 'string' },
    steps: { type: 'string', default: '1,10,50,100' },
    soak: { type: 'string', default: '5m' },
    'serving-min': { type: 'string', default: '1' },
    deadline: { type: 'string', default: '2h' },
    late: { type: 'string', default: 'hold' },
    look: { type: 'string', default: '5s' },
    once: { type: 'boolean', default: false },
    again: { type: 'boolean', default: false },
    trust: { type: 'string' },
    key: { type: 'string', multiple: true, default: [] },
    expires: { type: 'string', default: EXPIRES_DEFAULT },
    json: { type: 'boolean', default: false },
  },
  act: async ({ values, positionals, io }) => {
    const text = onlyPositional(positionals, '<ref>');
    const { candidate, trust: trustFile, late } = values;
    if (candidate === undefined) throw new UsageError('--candidate BUNDLE is missing');
    if (trustFile === undefined) throw new UsageError('--trust FILE is missing');
    if (late !== 'hold' && late !== 'roll-back') throw new UsageError('--late is hold or roll-back');
    const urls = [...values.gateway, ...(await listed(values.gateways))];
    if (urls.length === 0 || urls.length > GROUP_MAX)
      throw new UsageError(`--gateway URL is missing, or there are more than ${GROUP_MAX}`);
    const steps = values.steps.split(',').map(canaryRule);
    if (steps.length > STEPS_MAX) throw new UsageError(`--steps are at most ${STEPS_MAX}`);
    for (const [i, step] of steps.entries())
      if (!grows(steps.slice(0, i), step)) throw new UsageError(`--steps: ${ruleText(step)} is no more than before`);
    const servingMin = Number(values['serving-min']);
    if (!Number.isSafeInteger(servingMin) || servingMin < 0 || servingMin > SERVING_MAX)
      throw new UsageError(`--serving-min is a whole number from 0 to ${SERVING_MAX}`);
    const soakMs = durationOf(values.soak);
    const deadlineMs = durationOf(values.deadline);
    const lookMs = durationOf(values.look);
    const expiresMs = durationOf(values.expires);
    const trust = await readTrustFile(trustFile);
    const keys = await readPromoterKeys(values.key, trust, trustFile);
    const needed = thresholdOf(trust.policy, 'promoter');
    if (keys.length < needed)
      throw new UsageError(`--key FILE is needed ${needed} times: promoterThreshold is ${needed}`);
    const tokenFile = values['token-file'];
    const token = await tokenOf(tokenFile);

    const { reference, place } = await openReference(text, values, io);
    try {
      if (reference.digest !== undefined) throw new UsageError('<ref> names a tag, not a digest');
      const digest = await bundleAt(place, candidate);
      const tell = (line: string): void => io.stderr(`${new Date().toISOString()}  ${printable(line)}\n`);
      const going: Run = {
        place,
        tag: reference.tag,
        trust,
        keys,
        group: { urls, token },
        plan: { candidate: digest, steps, soakMs, servingMin },
        expiresMs,
        again: values.again,
        tell,
      };
      const ending = await go(going, { lookMs, deadlineMs, late, once: values.once });
      io.stdout(values.json ? `${JSON.stringify(ending, null, 2)}\n` : `${ending.outcome}  ${digest}  ${ending.why}\n`);
      return ending.exitCode;
    } finally {
      await place.close();
    }
  },
});

/** Whether a step brings the bundle to more gateways with the same labels than the steps before. */
function grows(before: readonly CanaryRule[], { selector, percent }: CanaryRule): boolean {
  const labels = selectorText(selector);
  return before.every((rule) => selectorText(rule.selector) !== labels || (rule.percent ?? 100) < (percent ?? 100));
}

interface Bounds {
  readonly lookMs: number;
  readonly deadlineMs: number;
  readonly late: 'hold' | 'roll-back';
  readonly once: boolean;
}

interface Ending {
  readonly outcome: 'stable' | 'rolled-back' | 'late' | 'unfinished' | 'stuck';
  readonly exitCode: number;
  readonly why: string;
  readonly candidate: Digest;
  readonly seq: number;
  readonly index: Digest | null;
  readonly done: readonly Done[];
  readonly gateways: readonly {
    readonly url: string;
    readonly id: string;
    readonly state: string;
    readonly detail: string;
  }[];
}

async function go(run: Run, bounds: Bounds): Promise<Ending> {
  const { tell, plan } = run;
  const done: Done[] = [];
  let until = performance.now() + bounds.deadlineMs;
  let told = '';
  let last: Look | null = null;
  const say = (text: string): void => {
    if (text !== told) tell(`${shortDigest(plan.candidate)} ${text}`);
    told = text;
  };
  const end = (outcome: Ending['outcome'], exitCode: number, why: string): Ending => ({
    outcome,
    exitCode,
    why,
    candidate: plan.candidate,
    seq: last?.seq ?? 0,
    index: last?.current.state === 'index' ? last.current.digest : null,
    done,
    gateways: (last?.heard ?? []).map((heard) => ({
      url: heard.url,
      id: heard.id,
      state: heard.standing.state,
      detail: detailOf(heard.standing),
    })),
  });
  for (;;) {
    let acted = false;
    try {
      last = await look(run);
      const { act } = last;
      say(actText(act));
      if (act.act === 'done') return end('stable', 0, actText(act));
      if (act.act === 'rolled-back') return end('rolled-back', ROLLED_BACK, act.reason);
      if (act.act === 'stuck') return end('stuck', 1, act.why);
      if (act.act !== 'wait') {
        const made = await perform(run, last, act);
        acted = made !== null;
        if (made !== null) done.push(made);
        if (act.act === 'roll-back') until = performance.now() + LEAVE_MS;
      }
    } catch (error) {
      // A registry that does not answer may do so later; what is wrong stays wrong.
      if (!(error instanceof SourceError)) throw error;
      say(`waits for ${error.message}`);
    }
    if (bounds.once) return end('unfinished', UNFINISHED, told);
    if (performance.now() > until) {
      const back = last === null ? null : backOf(last, plan);
      const leaving = last !== null && phaseOf(indexOf(last.current), plan.candidate) === 'rolled-back';
      if (leaving) return end('rolled-back', ROLLED_BACK, `${told}; not every gateway has said that it left it`);
      if (bounds.late === 'hold' || last === null || back === null || acted) return end('late', LATE, told);
      try {
        const made = await perform(run, last, { act: 'roll-back', to: back, reason: `the deadline was over: ${told}` });
        if (made !== null) done.push(made);
        until = performance.now() + LEAVE_MS;
        continue;
      } catch (error) {
        // As above; but the candidate must not stay where it is for a registry that was away just now.
        if (!(error instanceof SourceError) || performance.now() > until + LEAVE_MS) throw error;
        say(`is to be taken back, and waits for ${error.message}`);
      }
    }
    if (!acted) await new Promise((resolve) => setTimeout(resolve, bounds.lookMs));
  }
}

/** What a candidate that has not become stable everywhere can be taken back to; null: nothing. */
function backOf({ current }: Look, plan: RunPlan): Digest | null {
  const index = indexOf(current);
  const phase = phaseOf(index, plan.candidate);
  if (index === null || (phase !== 'canary' && phase !== 'stable')) return null;
  const to = phase === 'stable' ? index.former : stableOf(index).digest;
  return to === undefined || to === plan.candidate ? null : to;
}

function indexOf(current: Current): ChannelIndex | null {
  return current.state === 'index' ? current.channel.index : null;
}

async function look(run: Run): Promise<Look> {
  const { place, tag, trust, plan, group } = run;
  const nowMs = Date.now();
  const current = await currentOf(place, tag, trust, nowMs);
  const index = indexOf(current);
  const stable = index !== null ? stableOf(index).digest : current.state === 'bundle' ? current.digest : undefined;
  const bundle = await bundleFor(place, plan.candidate, trust, nowMs);
  const { seq } = bundle.release;
  const phase = phaseOf(index, plan.candidate);
  if (phase === 'other-canary' && index !== null) {
    const other = index.entries[0]?.digest ?? plan.candidate;
    const { release } = await bundleFor(place, other, trust, nowMs);
    if (release.seq > seq)
      return {
        act: { act: 'stuck', why: `a newer bundle is rolled out: ${other}, sequence ${release.seq}` },
        heard: [],
        current,
        seq,
      };
  }
  if (phase === 'none' && stable !== undefined && stable !== plan.candidate) {
    const { release } = await bundleFor(place, stable, trust, nowMs);
    if (release.seq === seq)
      return {
        act: {
          act: 'stuck',
          why: `${stable}, which is stable, has the sequence ${seq} too, and gateways refuse two bundles with one number: build it again with that one in the layout (cnx bundle pull)`,
        },
        heard: [],
        current,
        seq,
      };
  }
  const heard = await hear(group, current.state === 'index' ? current.digest : null, plan.candidate);
  const act = decide({ index, stable, again: run.again }, heard, plan, nowMs);
  return { act, heard, current, seq };
}

/** Signs the next index and asks the gateways to look at it. Null: the tag has moved meanwhile; what is to be done is another question then. */
async function perform(
  run: Run,
  { current }: Look,
  act: Extract<Act, { act: 'step' | 'promote' | 'roll-back' }>,
): Promise<Done | null> {
  const { place, tag, trust, keys, plan, group, tell } = run;
  const { candidate } = plan;
  const before = indexOf(current);
  const stable = before !== null ? stableOf(before).digest : current.state === 'bundle' ? current.digest : undefined;
  const nowMs = Date.now();
  const kept = act.act === 'promote' ? candidate : act.act === 'roll-back' ? act.to : stable;
  if (kept === undefined) throw new Error('a step without a stable bundle was decided');
  // Promoters name nothing that builders have not signed, whoever named it before.
  await bundleFor(place, kept, trust, nowMs);
  const entries = act.act === 'step' ? act.entries : [];
  const index: ChannelIndex = {
    product: trust.policy.product,
    channel: trust.policy.channel,
    seq: (before?.seq ?? 0) + 1,
    epoch: trust.policy.epoch,
    madeMs: nowMs,
    expiresMs: nowMs + run.expiresMs,
    entries: [
      ...(await Promise.all(entries.map((rule) => entryFor(place, candidate, rule)))),
      await entryFor(place, kept, { role: 'stable' }),
    ],
    ...(act.act === 'promote' && stable !== undefined && stable !== candidate ? { former: stable } : {}),
    ...(act.act === 'roll-back' ? { rolledBack: { digest: candidate, reason: act.reason } } : {}),
  };
  const now = await place.resolve(tag);
  const same =
    current.state === 'missing' ? now.state === 'missing' : now.state === 'found' && now.digest === current.digest;
  if (!same) {
    tell('the tag has moved meanwhile; looks again');
    return null;
  }
  const digest = await publishChannel(place, index, keys, tag);
  const text = actText(act);
  tell(`index ${index.seq} signed: ${shortDigest(candidate)} ${text}`);
  for (const failure of await pollAll(group)) tell(`was not asked to look: ${failure}`);
  return { at: new Date(nowMs).toISOString(), act: act.act, seq: index.seq, index: digest, text };
}

async function listed(file: string | undefined): Promise<string[]> {
  if (file === undefined) return [];
  const lines = (await textOf(file)).split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

/** What gateways and registries say must not drive the terminal. */
function printable(text: string): string {
  return text.replace(/[^ -~\u00a0-\uffff]/g, '?').slice(0, 1_000);
}
