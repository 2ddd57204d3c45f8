/** `cnx status`: what a running gateway runs and how it fares. */
import type { Status } from '../admin/admin-server.ts';
import { ask, isOk } from '../admin/client.ts';
import { printable } from '../admin/explain.ts';
import { answerOf, errorOf } from './explain.ts';
import { command, HelpWanted } from './command.ts';
import { tokenOf } from './file.ts';
import type { Command } from './io.ts';
import { ADMIN_URL, listenerUrl } from './listener-url.ts';

const HELP = `usage: cnx status [--admin URL] [--token-file FILE] [--json]

Shows the active bundle, rejected ones with their reasons, the source, lanes and endpoints out of rotation.

  --admin URL        admin listener of the gateway (default http://127.0.0.1:9902)
  --token-file FILE  bearer token of the admin listener
  --json             as JSON

Exit code 0: told; 1: no answer; 2: wrong usage.
`;

export const run: Command = command({
  name: 'status',
  help: HELP,
  options: {
    admin: { type: 'string', default: ADMIN_URL },
    'token-file': { type: 'string' },
    json: { type: 'boolean', default: false },
  },
  bare: true,
  act: async ({ values, positionals, io }) => {
    if (positionals.length > 0) throw new HelpWanted();
    const tokenFile = values['token-file'];
    const token = await tokenOf(tokenFile);
    const heard = await ask(listenerUrl('--admin', values.admin, 'v1/status'), token);
    if (!isOk(heard.status)) {
      io.stderr(`${errorOf(heard.body, heard.status)}\n`);
      return 1;
    }
    const told = answerOf(heard) as Status;
    io.stdout(values.json ? heard.body : statusText(told));
    return 0;
  },
});

export function statusText(s: Status): string {
  const lines = [`cnx ${s.version}, instance ${s.instance}: ${s.state}, up ${duration(s.uptimeSeconds)}`, ''];
  const fact = (name: string, value: string): void => {
    lines.push(`  ${name.padEnd(12)}${value}`);
  };
  for (const line of gatewayLines(s)) fact(line[0], line[1]);
  fact(
    'bundle',
    s.bundle === null
      ? 'none yet'
      : `${s.bundle.seq}, ${s.bundle.digest}, revision ${s.bundle.revision}, since ${s.bundle.activatedAt}`,
  );
  if (s.bundle !== null) {
    const until = s.bundle.expiresAt === null ? '' : `, good until ${s.bundle.expiresAt}`;
    fact('', `${s.bundle.direction}, signed by ${s.bundle.signers.join(', ')}, made ${s.bundle.createdAt}${until}`);
  }
  fact('source', `${s.source.text}: ${s.source.state}, last answer ${s.source.lastContactAt ?? 'never'}`);
  if (s.source.seen !== null && s.source.seen !== s.bundle?.digest) fact('', `names ${s.source.seen}`);
  for (const line of channelLines(s)) fact(line[0], line[1]);
  if (s.source.lastError !== null) fact('', `last error: ${s.source.lastError}`);
  if (s.source.staleReason !== null) fact('', `STALE: ${s.source.staleReason}`);
  if (s.source.fault !== null) fact('', `state directory: ${s.source.fault}`);
  if (s.mode !== undefined && (s.mode.mode !== 'normal' || s.mode.dependencies.length > 0)) {
    fact('mode', `${s.mode.mode}${s.mode.since === null ? '' : `, since ${s.mode.since}`}`);
    for (const d of s.mode.dependencies)
      if (d.down) fact('', `DOWN${d.critical ? ', critical' : ''}: ${d.name} (${d.for}): ${d.reason}`);
  }
  fact(
    'trust',
    `epoch ${s.trust.epoch}, highest sequence ${s.trust.highestSeq}, floor ${s.trust.floor}, rollback ${s.trust.rollback}, keys ${s.trust.keys.map((k) => (k.status === 'active' ? k.id : `${k.id} (${k.status})`)).join(', ')}`,
  );
  if (s.trust.refused !== null) fact('', `the policy file is REFUSED, the former one counts: ${s.trust.refused}`);
  if (s.rollout !== null) for (const line of rolloutLines(s.rollout)) fact(line[0], line[1]);
  if (s.pin !== null) fact('pin', `${s.pin.digest}, until ${s.pin.until}: what the source names does not count`);
  if (s.audit !== null) fact('audit', `entry ${s.audit.n}, ${s.audit.hash}`);
  if (s.audit !== null && s.audit.fault !== null) fact('', `the audit log CANNOT be written: ${s.audit.fault}`);
  for (const { id, dropped } of s.webhooks ?? [])
    if (dropped > 0)
      fact('webhook', `${id} will not be told of ${dropped} events: too many waited, or the disk failed`);
  for (const { id, waiting, fault } of s.webhooks ?? [])
    if (fault !== null) fact('webhook', `${id} does not take events, ${waiting} wait: ${fault}`);
  for (const k of s.kept.filter((item) => item.digest !== s.bundle?.digest))
    fact('kept', `${k.seq}, ${k.digest}${k.activatedAt === null ? '' : `, active from ${k.activatedAt}`}`);
  fact('endpoints', `${s.endpoints.total}${s.endpoints.out.length === 0 ? ', all in rotation' : ''}`);
  for (const { identity, why } of s.endpoints.out) fact('', `out of rotation: ${identity}: ${why}`);
  for (const from of s.endpoints.notCurrent)
    fact('', `${from.source} of cell ${from.cell}: ${from.state}, ${from.endpoints} endpoints, ${from.reason ?? ''}`);
  fact('records', `${s.records.read} read${s.records.lost === 0 ? '' : `, ${s.records.lost} LOST`}`);
  lines.push('', '  lane  state     revision  open  connections  busy   loop p99   restarts');
  for (const l of s.lanes) {
    const busy = `${Math.round(l.utilization * 100)} %`;
    lines.push(
      `  ${`${l.lane}`.padEnd(6)}${l.state.padEnd(10)}${`${l.revision}`.padEnd(10)}${`${l.openExchanges}`.padEnd(6)}${`${l.openConnections}`.padEnd(13)}${busy.padEnd(7)}${`${l.loopDelayP99Ms} ms`.padEnd(11)}${l.restarts}`,
    );
  }
  if (s.rejections.length > 0) lines.push('', '  rejected bundles');
  for (const r of s.rejections) lines.push(`    ${r.at}  ${r.step}  ${r.seq ?? '?'}  ${r.digest}  ${r.reason}`);
  return `${lines.map(printable).join('\n')}\n`;
}

/** What the gateway is among others, for people: name and value of each line. */
export function gatewayLines({ gateway }: Pick<Status, 'gateway'>): (readonly [string, string])[] {
  if (gateway === undefined) return [];
  const labels = Object.entries(gateway.labels).map(([name, value]) => `, ${name}=${value}`);
  return [['gateway', `${gateway.id}${labels.join('')}`]];
}

/** The channel index that it follows, for people: name and value of each line. */
export function channelLines({ channel }: Pick<Status, 'channel'>): (readonly [string, string])[] {
  if (channel === null || channel === undefined) return [];
  const { seq, epoch, digest, signers, madeAt, expiresAt } = channel;
  return [
    [
      'channel',
      `index ${seq} of epoch ${epoch}, ${digest}, made ${madeAt}, good until ${expiresAt}, signed by ${signers.join(', ')}`,
    ],
    ['', `${channel.why}: ${channel.bundle}`],
  ];
}

/** A bundle that is being tried, for people: name and value of each line. */
export function rolloutLines(r: NonNullable<Status['rollout']>): (readonly [string, string])[] {
  const tally = (t: typeof r.candidate): string =>
    `${t.requests} requests, ${t.failed} failed, ${t.refused} refused, ${t.denied} denied, ${t.policyErrors} policy errors, p99 ${t.p99Ms ?? '> 30000'} ms`;
  return [
    ['rollout', `${r.seq}, ${r.digest}, revision ${r.revision}, tried since ${r.begunAt}`],
    ['', `step ${r.step} of ${r.steps.length}: ${r.share * 100} % of identities since ${r.stepAt}`],
    ...(r.cells === undefined || r.cells === r.cellsReached
      ? []
      : [['', `in ${r.cellsReached ?? 0} of ${r.cells} cells`] as const]),
    ['', r.waitsFor === null ? 'goes on with the next look' : `waits for ${r.waitsFor}, soaked at ${r.soakedAt}`],
    ['', `candidate: ${tally(r.candidate)}`],
    ['', `active: ${tally(r.active)}`],
  ];
}

function duration(seconds: number): string {
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ] as const;
  const first = parts.findIndex(([n]) => n > 0);
  return parts
    .slice(first < 0 ? 3 : first)
    .slice(0, 2)
    .map(([n, unit]) => `${n} ${unit}`)
    .join(' ');
}
