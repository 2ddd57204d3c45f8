/** How one of the usable endpoints of a cell is picked, by the cell's algorithm. Each looks at every candidate at most a few times and allocates nothing. */
import { draw, Salt } from '../chance.ts';
import type { CellMembers } from './cell-members.ts';

const SCALE = 0x1_0000_0000;

/** Candidates of one choice: indices of members, and what is known of them by index of member. */
export interface Candidates {
  readonly list: Int32Array;
  count: number;
  readonly inflight: Float64Array;
  /** Candidates among which something is still to be decided. */
  readonly ties: Int32Array;
}

/** The next in turn, by weight (nginx's smooth weighted round robin). `list`: candidates. */
export function inTurn(members: CellMembers, list: Int32Array, count: number): number {
  const { turn, weight } = members;
  let total = 0;
  let best = -1;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) {
    const at = list[i] as number;
    const its = weight[at] as number;
    total += its;
    const now = (turn[at] as number) + its;
    turn[at] = now;
    if (now <= most) continue;
    most = now;
    best = at;
  }
  if (best >= 0) turn[best] = most - total;
  return best;
}

/** Fewest requests in flight by weight; equal ones in turn. */
export function leastBusy(members: CellMembers, c: Candidates): number {
  const { list, inflight, ties } = c;
  let least = Number.POSITIVE_INFINITY;
  let tied = 0;
  for (let i = 0; i < c.count; i++) {
    const at = list[i] as number;
    const load = (inflight[at] as number) / (members.weight[at] as number);
    if (load > least) continue;
    if (load < least) {
      least = load;
      tied = 0;
    }
    ties[tied++] = at;
  }
  return inTurn(members, ties, tied);
}

/** The less busy, by weight, of two that are drawn by weight (Mitzenmacher, "The Power of Two Choices"). */
export function ofTwo(members: CellMembers, c: Candidates, random: number): number {
  const { list, inflight } = c;
  const { weight } = members;
  let total = 0;
  for (let i = 0; i < c.count; i++) total += weight[list[i] as number] as number;
  const one = drawn(members, c, -1, (draw(random, Salt.Tie) / SCALE) * total);
  if (c.count < 2) return one;
  const rest = total - (weight[one] as number);
  const two = drawn(members, c, one, (draw(random, Salt.SecondOfTwo) / SCALE) * rest);
  const a = (inflight[one] as number) / (weight[one] as number);
  const b = (inflight[two] as number) / (weight[two] as number);
  return b < a ? two : one;
}

/** The candidate, `without` left out, in whose part of the weights `at` lies. */
function drawn(members: CellMembers, { list, count }: Candidates, without: number, at: number): number {
  let last = -1;
  for (let i = 0; i < count; i++) {
    const member = list[i] as number;
    if (member === without) continue;
    last = member;
    at -= members.weight[member] as number;
    if (at < 0) return member;
  }
  return last;
}

/** Requests in flight that a candidate may have before the ring passes it over (Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads"). */
export function boundOf(members: CellMembers, c: Candidates, member: number): number {
  let inflight = 1;
  let weights = 0;
  for (let i = 0; i < c.count; i++) {
    const at = c.list[i] as number;
    inflight += c.inflight[at] as number;
    weights += members.weight[at] as number;
  }
  return Math.ceil((members.plan.hashBalanceFactor / 100) * inflight * ((members.weight[member] as number) / weights));
}
