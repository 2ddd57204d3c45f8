/** What `cnx rollout run` does next: by the index that the tag names and by what the gateways of a group say, and by nothing else, so that any later run goes on where one has ended. */
import type { Digest } from '../../control/oci/digest.ts';
import {
  type ChannelIndex,
  type ChannelRule,
  ruleText,
  selectorText,
  stableOf,
} from '../../control/channel/document.ts';

export type CanaryRule = ChannelRule & { readonly role: 'canary' };

/** How a gateway stands to the candidate. */
export type Standing =
  /** No answer, or one of something else. */
  | { readonly state: 'unheard'; readonly detail: string }
  /** It has not followed the index yet. */
  | { readonly state: 'behind'; readonly detail: string }
  /** It is to run something else, and the candidate does not serve there. */
  | { readonly state: 'others' }
  /** It is to run something else, and the candidate still serves there. */
  | { readonly state: 'leaving' }
  /** It is to run the candidate and does not yet. */
  | { readonly state: 'waiting'; readonly detail: string }
  /** A share of its identities sees the candidate. */
  | { readonly state: 'trying'; readonly detail: string }
  /** All see the candidate; for so long by its own clock. */
  | { readonly state: 'serving'; readonly forMs: number }
  /** It has taken the candidate back, or cannot run it. */
  | { readonly state: 'refused'; readonly detail: string };

export interface Heard {
  readonly url: string;
  /** Its name; empty when it has not said. */
  readonly id: string;
  readonly standing: Standing;
}

export interface RunPlan {
  readonly candidate: Digest;
  readonly steps: readonly CanaryRule[];
  readonly soakMs: number;
  /** Gateways of the group that must serve the candidate before it becomes stable. */
  readonly servingMin: number;
}

/** What the tag names. */
export interface Position {
  /** Null: no index yet. */
  readonly index: ChannelIndex | null;
  /** What is to be gone back to; undefined: there is nothing. */
  readonly stable: Digest | undefined;
  /** A candidate that was taken back may begin anew. */
  readonly again: boolean;
}

export type Act =
  | { readonly act: 'wait'; readonly why: string }
  | { readonly act: 'step'; readonly step: number; readonly entries: readonly CanaryRule[] }
  | { readonly act: 'promote' }
  | { readonly act: 'roll-back'; readonly to: Digest; readonly reason: string }
  /** Taken back, here or by an earlier run, and every gateway that answers has left it. */
  | { readonly act: 'rolled-back'; readonly reason: string }
  | { readonly act: 'done' }
  | { readonly act: 'stuck'; readonly why: string };

/** How far the index at the tag has brought the candidate. */
export type Phase = 'none' | 'canary' | 'stable' | 'rolled-back' | 'other-canary';

export function phaseOf(index: ChannelIndex | null, candidate: Digest): Phase {
  if (index === null) return 'none';
  if (index.entries.some((entry) => entry.rule.role === 'canary' && entry.digest === candidate)) return 'canary';
  if (stableOf(index).digest === candidate) return 'stable';
  if (index.entries.length > 1) return 'other-canary';
  return index.rolledBack?.digest === candidate ? 'rolled-back' : 'none';
}

/** Rules of a step: those of the steps before stay, with the share of the last that has the same labels. */
export function rulesAt(steps: readonly CanaryRule[], step: number): readonly CanaryRule[] {
  const byLabels = new Map<string, CanaryRule>();
  for (const rule of steps.slice(0, step + 1)) byLabels.set(selectorText(rule.selector), rule);
  return [...byLabels.values()];
}

/** The last step whose rule the index has reached; -1: none, for the steps were others when it was made. */
export function stepOf(index: ChannelIndex, plan: Pick<RunPlan, 'candidate' | 'steps'>): number {
  const rules = index.entries.flatMap(({ digest, rule }) =>
    rule.role === 'canary' && digest === plan.candidate ? [rule] : [],
  );
  const share = (rule: CanaryRule): number => rule.percent ?? 100;
  return plan.steps.findLastIndex((step) =>
    rules.some((rule) => selectorText(rule.selector) === selectorText(step.selector) && share(rule) >= share(step)),
  );
}

/** @param nowMs by the clock that made the index. */
export function decide(at: Position, heard: readonly Heard[], plan: RunPlan, nowMs: number): Act {
  const { index, stable } = at;
  const phase = phaseOf(index, plan.candidate);
  if (stable === undefined) return { act: 'promote' };
  if (phase === 'none' && stable === plan.candidate) return { act: 'promote' };
  if (phase === 'none' || phase === 'other-canary' || (phase === 'rolled-back' && at.again)) return step(plan, 0);
  if (index === null) return { act: 'promote' };

  if (phase === 'rolled-back') {
    const left = heard.find(({ standing }) => standing.state === 'behind' || standing.state === 'leaving');
    const reason = index.rolledBack?.reason ?? '';
    return left === undefined
      ? { act: 'rolled-back', reason }
      : { act: 'wait', why: `${nameOf(left)} still leaves it` };
  }

  const refusal = heard.find(({ standing }) => standing.state === 'refused');
  if (refusal?.standing.state === 'refused') {
    const reason = `${nameOf(refusal)}: ${refusal.standing.detail}`;
    const to = phase === 'stable' ? index.former : stable;
    if (to === undefined || to === plan.candidate)
      return { act: 'stuck', why: `${reason}; there is nothing to go back to` };
    return { act: 'roll-back', to, reason };
  }

  const late = heard.find(
    ({ standing: { state } }) => state !== 'serving' && state !== 'others' && state !== 'leaving',
  );
  if (late !== undefined) return { act: 'wait', why: `${nameOf(late)}: ${detailOf(late.standing)}` };
  const serving = heard.filter(({ standing }) => standing.state === 'serving');
  if (phase === 'stable') return { act: 'done' };

  const own = Math.min(...serving.map(({ standing }) => (standing.state === 'serving' ? standing.forMs : 0)));
  const left = plan.soakMs - Math.min(nowMs - index.madeMs, own);
  if (left > 0)
    return { act: 'wait', why: `the soak, ${Math.ceil(left / 1000)} s more; ${serving.length} gateways serve it` };
  const next = stepOf(index, plan) + 1;
  if (next < plan.steps.length) return step(plan, next);
  if (serving.length < plan.servingMin)
    return { act: 'wait', why: `${plan.servingMin} gateways of the group to serve it, ${serving.length} do` };
  return { act: 'promote' };
}

function step(plan: RunPlan, n: number): Act {
  const entries = rulesAt(plan.steps, n);
  return entries.length === 0 ? { act: 'promote' } : { act: 'step', step: n, entries };
}

export function nameOf({ id, url }: Heard): string {
  return id === '' ? url : id;
}

export function detailOf(standing: Standing): string {
  switch (standing.state) {
    case 'others':
      return 'runs something else, as it is to';
    case 'leaving':
      return 'has not left it yet';
    case 'serving':
      return `serves it for ${Math.floor(standing.forMs / 1000)} s`;
    default:
      return standing.detail;
  }
}

/** An act for people. */
export function actText(act: Act): string {
  switch (act.act) {
    case 'wait':
      return `waits for ${act.why}`;
    case 'step':
      return `step ${act.step + 1}: ${act.entries.map(ruleText).join(', ')}`;
    case 'promote':
      return 'becomes stable';
    case 'roll-back':
      return `is taken back: ${act.reason}`;
    case 'rolled-back':
      return `was taken back: ${act.reason}`;
    case 'done':
      return 'is stable, and every gateway of the group serves it';
    case 'stuck':
      return act.why;
  }
}
