/** The commands that speak with one gateway. */
import type { Status } from '../../admin/admin-server.ts';
import { ASK_TIMEOUT_MS, ask, isOk } from '../../admin/client.ts';
import type { HistoryView } from '../../admin/control-view.ts';
import { printable } from '../../admin/explain.ts';
import { durationOf } from '../duration.ts';
import { answerOf, errorOf } from '../explain.ts';
import { command, type Given, UsageError } from '../command.ts';
import { tokenOf } from '../file.ts';
import type { Command } from '../io.ts';
import { ADMIN_URL, listenerUrl } from '../listener-url.ts';
import { channelLines, gatewayLines, rolloutLines } from '../status.ts';

const OPTIONS = {
  admin: { type: 'string', default: ADMIN_URL },
  'token-file': { type: 'string' },
  json: { type: 'boolean', default: false },
  reason: { type: 'string' },
  for: { type: 'string' },
  again: { type: 'boolean', default: false },
} as const;

const GATEWAY_HELP = `
  --admin URL        admin listener of the gateway (default http://127.0.0.1:9902)
  --token-file FILE  bearer token of the admin listener
`;
/** A bundle is compiled and given to all lanes before the answer comes. */
const ACTION_TIMEOUT_MS = 60_000;

type Asked = Given<typeof OPTIONS>;

function commandOfOne(name: string, help: string, act: (given: Asked) => Promise<number>): Command {
  return command({ name: `rollout ${name}`, help: `${help}${GATEWAY_HELP}`, options: OPTIONS, act });
}

/** The answer, or null after the error has been told. */
async function heard<T>(given: Asked, path: string, method: 'GET' | 'POST'): Promise<T | null> {
  const token = await tokenOf(given.values['token-file']);
  const timeoutMs = method === 'GET' ? ASK_TIMEOUT_MS : ACTION_TIMEOUT_MS;
  const answer = await ask(listenerUrl('--admin', given.values.admin, path), token, timeoutMs, method);
  if (isOk(answer.status)) return answerOf(answer) as T;
  given.io.stderr(`${errorOf(answer.body, answer.status)}\n`);
  return null;
}

interface Unwritten {
  /** Why it is not on the gateway's disk. */
  readonly unwritten?: string;
}

function tellUnwritten({ io }: Asked, why: string | undefined): void {
  if (why !== undefined)
    io.stderr(
      `but its state directory cannot be written (${printable(why)}): it is tried again with every look at the source, and a restart before that may forget this\n`,
    );
}

function query(given: Asked, more: Readonly<Record<string, string>>): string {
  const { reason } = given.values;
  if (reason === undefined || reason === '')
    throw new UsageError('--reason TEXT is missing; it goes into the audit log');
  return new URLSearchParams({ ...more, reason }).toString();
}

export const status = commandOfOne(
  'status',
  'cnx rollout status [--json]\n\nWhat the gateway runs and why, and what a share of its identities tries.\n',
  async (given) => {
    const s = await heard<Status>(given, 'v1/status', 'GET');
    if (s === null) return 1;
    const { gateway, bundle, source, channel, rollout, pin, kept, rejections } = s;
    const told = { gateway, bundle, because: whyOf(s), source, channel, rollout, pin, kept, rejections };
    if (given.values.json) given.io.stdout(`${JSON.stringify(told, null, 2)}\n`);
    else given.io.stdout(statusText(s));
    return 0;
  },
);

/** Why it runs what it runs, in lines. */
export function statusText(
  s: Pick<Status, 'gateway' | 'bundle' | 'source' | 'channel' | 'rollout' | 'pin' | 'rejections'>,
): string {
  const { bundle, source, pin } = s;
  const lines = [
    ...gatewayLines(s).map(([name, value]) => `${name.padEnd(10)}${value}`),
    bundle === null
      ? 'runs      nothing yet'
      : `runs      ${bundle.seq}, ${bundle.digest}, since ${bundle.activatedAt}`,
    `because   ${whyOf(s)}`,
    ...channelLines(s).map(([name, value]) => `${name.padEnd(10)}${value}`),
  ];
  if (s.rollout !== null) for (const [name, value] of rolloutLines(s.rollout)) lines.push(`${name.padEnd(10)}${value}`);
  if (pin !== null) lines.push(`pin       until ${pin.until}`);
  if (source.staleReason !== null) lines.push(`STALE     ${source.staleReason}`);
  for (const r of s.rejections.slice(0, 3)) lines.push(`refused   ${r.at}  ${r.digest}  ${r.reason}`);
  return `${lines.map(printable).join('\n')}\n`;
}

function whyOf({
  bundle,
  source,
  channel,
  rollout,
  pin,
}: Pick<Status, 'bundle' | 'source' | 'channel' | 'rollout' | 'pin'>): string {
  const assigned = channel !== null && channel !== undefined && channel.bundle === source.seen;
  const names = assigned ? `assigns by index ${channel.seq} (${channel.why})` : 'names';
  if (bundle === null)
    return `${source.text} has given nothing that can be taken (${source.lastError ?? source.state})`;
  if (pin !== null) return `an operator pinned it; ${source.text} ${names} ${source.seen ?? 'nothing'}`;
  if (rollout !== null)
    return `${source.text} ${names} ${rollout.digest}, which ${rollout.share * 100} % of identities try`;
  if (source.seen === bundle.digest) return `${source.text} ${names} it`;
  if (source.seen === null) return `it was kept; ${source.text} is ${source.state}`;
  return `${source.text} ${names} ${source.seen}, which is not taken: ${source.lastError ?? source.state}`;
}

export const history = commandOfOne(
  'history',
  'cnx rollout history [--json]\n\nWhat has happened to the bundles of the gateway, newest first, out of its audit log.\n',
  async (given) => {
    const told = await heard<{ readonly entries: readonly HistoryView[] }>(given, 'v1/rollout/history', 'GET');
    if (told === null) return 1;
    const { entries } = told;
    given.io.stdout(given.values.json ? `${JSON.stringify(told)}\n` : entries.map((e) => `${entryText(e)}\n`).join(''));
    return 0;
  },
);

function entryText({ n, at, kind, fields }: HistoryView): string {
  const told = Object.entries(fields).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return printable(`${String(n).padEnd(7)}${at}  ${kind.padEnd(12)}${told.join(' ')}`);
}

export const rollback = commandOfOne(
  'rollback',
  'cnx rollout rollback --reason TEXT\n\nTakes back the bundle that is being tried; when none is, goes back to the bundle before the one that serves. What was taken\nback stays out until the source names something else.\n',
  async (given) => {
    const told = await heard<{ readonly serves: string } & Unwritten>(
      given,
      `v1/rollout/rollback?${query(given, {})}`,
      'POST',
    );
    if (told === null) return 1;
    const { serves, unwritten } = told;
    given.io.stdout(`serves ${serves}\n`);
    tellUnwritten(given, unwritten);
    return 0;
  },
);

export const pin = commandOfOne(
  'pin',
  'cnx rollout pin <digest> --for 2h --reason TEXT\n\nKeeps the gateway on one bundle, over restarts too. It must verify like any other; what the source names does not count until\nthen.\n\n  --for    90s, 30m, 2h, 1d; at most 7d\n  --again  although it was taken back here; after that it counts as taken back no longer, so that `unpin` leaves the choice to the source\n',
  async (given) => {
    const [digest, extra] = given.positionals;
    const { for: time, again } = given.values;
    if (digest === undefined || extra !== undefined || time === undefined)
      throw new UsageError('write cnx rollout pin <digest> --for 2h --reason TEXT');
    const path = `v1/rollout/pin?${query(given, { digest, forMs: String(durationOf(time)), ...(again ? { again: 'true' } : {}) })}`;
    const told = await heard<{ readonly until: string } & Unwritten>(given, path, 'POST');
    if (told === null) return 1;
    const { until, unwritten } = told;
    given.io.stdout(`pinned until ${until}\n`);
    tellUnwritten(given, unwritten);
    return 0;
  },
);

export const unpin = commandOfOne(
  'unpin',
  'cnx rollout unpin --reason TEXT\n\nLets the source count again.\n',
  async (given) => {
    const told = await heard<{ readonly unpinned: boolean } & Unwritten>(
      given,
      `v1/rollout/unpin?${query(given, {})}`,
      'POST',
    );
    if (told === null) return 1;
    const { unpinned, unwritten } = told;
    given.io.stdout(unpinned ? 'the source counts again\n' : 'nothing was pinned\n');
    tellUnwritten(given, unwritten);
    return 0;
  },
);
