/** Sends one plan on a connection of its own and judges what came. */
import type { Verdict } from '../result.ts';
import { H2Connection, type H2Target, STALL_MS } from './connection.ts';
import { codeName, FLAG, type Frame, ping, statusOf, TYPE } from './frames.ts';
import type { Due, Plan } from './vectors.ts';

/** Sent last: its answer tells that all before it was read. */
const MARK = Buffer.from('the-mark', 'latin1');

const REFUSED_BY_CODE = 'refused';

export async function observe(target: H2Target, plan: Plan, stallMs = STALL_MS): Promise<Verdict> {
  const connection = await H2Connection.open(target);
  try {
    const acksBefore = acksOf(connection).length;
    if (plan.before.length > 0) connection.send(plan.before);
    if (plan.bytewise) {
      for (const byte of plan.wire) {
        connection.send(Buffer.from([byte]));
        await new Promise((resolve) => setImmediate(resolve));
      }
    } else connection.send(plan.wire);
    connection.send(Buffer.concat([plan.after, ping(MARK)]));
    const failed = (): boolean => connection.goaway !== undefined && H2Connection.codeOf(connection.goaway) !== 0;
    const over = (): boolean =>
      connection.closed || failed() || missing(connection, plan.due, acksBefore) === undefined;
    await connection.until(over, stallMs);
    // An error of the connection ends it (RFC 9113 §5.4.1).
    const closes = !failed() || connection.closed || (await closed(connection, stallMs));
    return judge(connection, plan.due, acksBefore, closes, stallMs);
  } finally {
    connection.destroy();
  }
}

async function closed(connection: H2Connection, stallMs: number): Promise<boolean> {
  await connection.until(() => false, stallMs);
  return connection.closed;
}

function acksOf(connection: H2Connection): Frame[] {
  return connection.frames.filter((one) => one.type === TYPE.settings && (one.flags & FLAG.ack) !== 0);
}

function pinged(connection: H2Connection, payload: Buffer): boolean {
  return connection.find(TYPE.ping, (one) => (one.flags & FLAG.ack) !== 0 && one.payload.equals(payload)) !== undefined;
}

/** What is due and has not come. */
function missing(connection: H2Connection, due: Due, acksBefore: number): string | undefined {
  if (!pinged(connection, MARK)) return 'no answer to a PING afterwards';
  // A reset of a stream is told before the PING that came after it is answered, but the answer of a stream may come later.
  if (due.settingsAck === true && acksOf(connection).length <= acksBefore) return 'SETTINGS were not acknowledged';
  if (due.pingAck !== undefined && !pinged(connection, due.pingAck))
    return 'the PING was not answered with its payload';
  if (due.answer !== undefined && resetOf(connection) === undefined) {
    const end = (one: Frame): boolean => one.stream === due.answer && (one.flags & FLAG.endStream) !== 0;
    if (!connection.frames.some((one) => (one.type === TYPE.headers || one.type === TYPE.data) && end(one)))
      return 'the request was not answered';
  }
  return undefined;
}

function resetOf(connection: H2Connection): Frame | undefined {
  return connection.find(TYPE.rstStream);
}

function judge(connection: H2Connection, due: Due, acksBefore: number, closes: boolean, stallMs: number): Verdict {
  const { goaway } = connection;
  const reset = resetOf(connection);
  const codes = due.error;
  const expected =
    codes === undefined || due.mayError === true
      ? expectedGood(due)
      : `${codes.map(codeName).join(' or ')} by GOAWAY or RST_STREAM, or a close`;
  const verdict = (mark: Verdict['mark'], outcome: string, got: string, stall = false): Verdict => ({
    mark,
    stall,
    expected,
    got,
    outcome,
  });
  if (connection.garbage) return verdict('fail', 'garbled', 'bytes that are no HTTP/2');
  const code = goaway === undefined ? undefined : H2Connection.codeOf(goaway);
  if (goaway !== undefined && code !== 0 && code !== undefined) {
    const told = `GOAWAY ${codeName(code)}`;
    if (!closes) return verdict('fail', 'stalled', `${told}, and no close within ${stallMs} ms`, true);
    return codes?.includes(code) === true
      ? verdict('pass', REFUSED_BY_CODE, told)
      : verdict('fail', 'wrong-code', told);
  }
  if (connection.closed) {
    if (due.mayLeave === true) return verdict('pass', 'left', 'an orderly close');
    const told = 'a close without a code';
    return codes === undefined ? verdict('fail', 'broken', told) : verdict('warn', 'closed', told);
  }
  const lacking = missing(connection, due, acksBefore);
  if (reset !== undefined) {
    const told = `RST_STREAM ${codeName(H2Connection.codeOf(reset))}`;
    if (lacking !== undefined) return verdict('fail', 'stalled', `${told}, then ${lacking}`, true);
    return codes?.includes(H2Connection.codeOf(reset)) === true
      ? verdict('pass', 'reset', told)
      : verdict('fail', 'wrong-code', told);
  }
  if (lacking !== undefined) return verdict('fail', 'stalled', `${lacking} within ${stallMs} ms`, true);
  if (codes !== undefined && due.mayError !== true) return verdict('fail', 'accepted', 'the connection goes on');
  if (due.answer !== undefined) {
    const head = connection.find(TYPE.headers, (one) => one.stream === due.answer);
    const status = head === undefined ? 0 : statusOf(head.payload);
    if (status !== 200) return verdict('fail', 'altered', `status ${status || 'other'} instead of 200`);
  }
  return verdict('pass', 'served', 'taken, and the connection goes on');
}

function expectedGood(due: Due): string {
  const parts = ['the connection goes on'];
  if (due.answer !== undefined) parts.push('the request is answered with 200');
  if (due.settingsAck === true) parts.push('SETTINGS are acknowledged');
  if (due.pingAck !== undefined) parts.push('the PING is answered');
  if (due.mayError === true) parts.push('or the block is refused');
  if (due.mayLeave === true) parts.push('or ends in peace');
  return parts.join(', ');
}
