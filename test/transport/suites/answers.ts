/** What must hold for answers that a stage looks at before they go on: head and body are shown, held meanwhile, and then pass or are replaced. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Exchange } from '../../../src/data/exchange.ts';
import { REFUSALS } from '../../../src/data/refusal.ts';
import { AnswerState, BodyKind } from '../../../src/data/transport/transport.ts';
import { Verdict } from '../../../src/data/verdict.ts';
import { RawConnection } from '../../harness/raw-client.ts';
import { type Call, ScriptedUpstream } from '../../harness/scripted-upstream.ts';
import { CAPABILITIES } from '../capabilities.ts';
import { endpointAt, eventually, LaneUnderTest, SUITE_TIMEOUT_MS, type TransportName } from '../lane-under-test.ts';

const PATIENCE_MS = 15_000;
const LIMIT = 1_000;
const LONG = 'x'.repeat(300_000);
/** More than the buffers of two sockets hold. */
const ENDLESS_BYTES = 64 * 1024 * 1024;
const PIECE = Buffer.alloc(64 * 1024, 'y');

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
const says =
  (text: string, ends = false) =>
  ({ socket }: Call): void => {
    if (ends) socket.end(text, 'latin1');
    else socket.write(text, 'latin1');
  };
const ok = (fields: string, body: string): string => `HTTP/1.1 200 OK\r\n${fields}\r\n${body}`;

export function answers(transport: TransportName): void {
  describe(`${transport}: answers that are shown`, { timeout: SUITE_TIMEOUT_MS }, () => {
    let upstream: ScriptedUpstream;
    let endlessWritten = 0;
    before(async () => {
      upstream = await ScriptedUpstream.start({
        '/plain': says(ok('Content-Length: 5\r\nX-One: a\r\nX-One: b\r\nX-Two: c\r\n', 'hello')),
        '/chunked': says(
          ok('Transfer-Encoding: chunked\r\nTrailer: x-last\r\n', '3\r\nhel\r\n2\r\nlo\r\n0\r\nX-Last: yes\r\n\r\n'),
        ),
        '/until-close': says(ok('', 'hello'), true),
        '/exactly': says(ok(`Content-Length: ${LIMIT}\r\n`, LONG.slice(0, LIMIT))),
        '/long': says(ok(`Content-Length: ${LONG.length}\r\n`, LONG)),
        '/empty': says(ok('Content-Length: 0\r\n', '')),
        '/204': says('HTTP/1.1 204 No Content\r\nX-Two: c\r\n\r\n'),
        '/304': says('HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n'),
        '/head': says(ok('Content-Length: 500\r\n', '')),
        '/dies': ({ socket }) => {
          socket.write(ok('Content-Length: 500\r\n', 'SECRET'), () => socket.end());
        },
        '/stays': says(ok('Content-Length: 500\r\n', 'SECRET')),
        '/events': says(ok('Content-Type: text/event-stream; charset=utf-8\r\n', 'data: one\n\n')),
        '/range': says('HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/5\r\nContent-Length: 2\r\n\r\nh'),
        '/malformed': says('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx'),
        '/endless': ({ socket }) => {
          endlessWritten = 0;
          socket.write(ok(`Content-Length: ${ENDLESS_BYTES}\r\n`, ''));
          const go = (): void => {
            while (endlessWritten < ENDLESS_BYTES) {
              endlessWritten += PIECE.length;
              if (!socket.write(PIECE)) {
                socket.once('drain', go);
                return;
              }
            }
          };
          go();
        },
      });
    });
    after(() => upstream.stop());

    async function lane(answered: (x: Exchange) => Verdict): Promise<LaneUnderTest> {
      return LaneUnderTest.start({ transport, endpoints: [endpointAt(upstream.port)], answered });
    }

    /** Asks once; what came when so much of it was there. */
    async function ask(on: LaneUnderTest, request: string, until: (text: string) => boolean): Promise<string> {
      const connection = await RawConnection.open({ port: on.port });
      connection.send(request);
      const came = await connection.until((got) => until(got.toString('latin1')), PATIENCE_MS);
      const text = connection.received().toString('latin1');
      connection.destroy();
      assert.ok(came, `came: ${text.slice(0, 2_000)}`);
      return text;
    }

    const nothingLeft = async (on: LaneUnderTest): Promise<void> => {
      await eventually(() => on.transport.openExchanges === 0, 'all exchanges end');
      assert.deepEqual(on.bugs, []);
      on.close();
    };

    /** What a stage that inspects `LIMIT` bytes saw, and what the client got. */
    async function inspected(request: string, until: (text: string) => boolean) {
      const states: AnswerState[] = [];
      let body = '';
      const on = await lane((x) => {
        const state = x.wire.upstreamAnswer.inspectBody(LIMIT);
        states.push(state);
        if (state === AnswerState.Pending) return Verdict.Wait;
        body = Buffer.from(x.wire.upstreamAnswer.body).toString('latin1');
        return Verdict.Next;
      });
      const text = await ask(on, request, until);
      await nothingLeft(on);
      return { state: states.at(-1), body, text };
    }

    it('a head is shown with all its fields, edited, and passes', async () => {
      const seen: unknown[] = [];
      const on = await lane((x) => {
        const { upstreamAnswer: answer } = x.wire;
        seen.push(answer.status, answer.bodyKind, answer.bodyLength);
        seen.push(answer.header('x-two'), answer.header('x-one'), answer.header('content-length'), answer.header('x'));
        seen.push(answer.repeats('x-one'), answer.repeats('x-two'), answer.repeats('content-length'));
        const all = Array.from({ length: answer.headerCount }, (_, i) => [answer.headerName(i), answer.headerValue(i)]);
        seen.push(all.filter(([name]) => name?.startsWith('x-')));
        x.wire.removeAnswerHeader('x-one');
        x.wire.setAnswerHeader('x-status', String(answer.status));
        return Verdict.Next;
      });
      const text = await ask(on, get('/plain'), (got) => got.endsWith('hello'));
      assert.deepEqual(seen.slice(0, 10), [200, BodyKind.Length, 5, 'c', 'a', '5', undefined, true, false, false]);
      assert.deepEqual(seen[10], [
        ['x-one', 'a'],
        ['x-one', 'b'],
        ['x-two', 'c'],
      ]);
      assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
      assert.match(text, /\r\nx-status: 200\r\n/i);
      assert.match(text, /\r\nx-two: c\r\n/i);
      assert.doesNotMatch(text, /x-one/i);
      const [end] = await on.ended(1);
      assert.deepEqual([end?.status, end?.upstreamStatus, end?.bytesOut, end?.refusal], [200, 200, 5, '']);
      await nothingLeft(on);
    });

    it('nothing goes out while a stage waits, and the upstream is held back', async () => {
      const waiting: { x: Exchange; ticket: number }[] = [];
      const on = await lane((x) => {
        if (x.phase === 1) return Verdict.Next;
        x.phase = 1;
        waiting.push({ x, ticket: x.ticket });
        return Verdict.Wait;
      });
      const connection = await RawConnection.open({ port: on.port });
      connection.send(get('/endless'));
      await eventually(() => waiting.length === 1, 'the answer is shown');
      let last = -1;
      await eventually(() => {
        const still = last === endlessWritten;
        last = endlessWritten;
        return still;
      }, 'the upstream can send no more');
      assert.ok(endlessWritten < ENDLESS_BYTES, 'not all of it was read');
      assert.equal(connection.receivedBytes, 0);
      const [one] = waiting;
      assert.ok(one !== undefined);
      on.pipeline.wake(one.x, one.ticket);
      // What came is thrown away: it is a lot.
      let bytes = 0;
      connection.socket.removeAllListeners('data');
      connection.socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
      await eventually(() => bytes >= ENDLESS_BYTES, 'all of it arrives', 60_000);
      connection.destroy();
      await nothingLeft(on);
    });

    it('a refusal takes its place, and nothing of it is seen', async () => {
      const on = await lane((x) => {
        x.wire.setAnswerHeader('x-why', 'judged');
        return x.refuse(REFUSALS.waf_blocked, 'because');
      });
      for (const path of ['/plain', '/stays', '/until-close', '/204']) {
        const connection = await RawConnection.open({ port: on.port });
        // Twice by one connection: what is refused keeps it.
        for (let n = 1; n <= 2; n++) {
          connection.send(get(path));
          const came = await connection.until(
            (got) => got.toString('latin1').split('waf_blocked').length === n + 1,
            PATIENCE_MS,
          );
          assert.ok(came, `${path} ${n}`);
        }
        const text = connection.received().toString('latin1');
        assert.match(text, /^HTTP\/1\.1 403 /);
        assert.match(text, /\r\nx-why: judged\r\n/i);
        assert.doesNotMatch(text, /hello|SECRET|x-two/i);
        connection.destroy();
      }
      const ends = await on.ended(8);
      assert.deepEqual(
        new Set(ends.map((end) => `${end.status} ${end.refusal} ${end.attempts}`)),
        new Set(['403 waf_blocked 1']),
      );
      await nothingLeft(on);
    });

    it('an answer of our own takes its place', async () => {
      const on = await lane((x) => {
        x.wire.answer(200, 'text/plain', 'ours');
        return Verdict.Handed;
      });
      const text = await ask(on, get('/stays'), (got) => got.endsWith('ours'));
      assert.doesNotMatch(text, /SECRET/);
      await nothingLeft(on);
    });

    it('a stage that throws is answered 500 and told', async () => {
      const on = await lane(() => {
        throw new Error('a bug');
      });
      const text = await ask(on, get('/stays'), (got) => got.includes('internal_error'));
      assert.match(text, /^HTTP\/1\.1 500 /);
      assert.doesNotMatch(text, /SECRET/);
      await on.ended(1);
      assert.equal(on.bugs.length, 1);
      on.close();
    });

    it('a whole body is shown, however it is framed, and passes as it was', async () => {
      for (const path of ['/plain', '/chunked', '/until-close']) {
        const { state, body, text } = await inspected(get(path), (got) =>
          /hello$|lo\r\n0\r\n(?:.+\r\n)*\r\n$/s.test(got),
        );
        assert.deepEqual([path, state, body], [path, AnswerState.Complete, 'hello']);
        assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
        if (path === '/chunked' && CAPABILITIES[transport].trailers) assert.match(text, /x-last: yes\r\n\r\n$/);
      }
    });

    it('a body longer than the limit is told from one that ends there', async () => {
      const long = await inspected(get('/long'), (got) => got.length - got.indexOf('\r\n\r\n') - 4 >= LONG.length);
      assert.deepEqual([long.state, long.body.length], [AnswerState.Cut, LIMIT]);
      assert.ok(long.text.endsWith(`\r\n\r\n${LONG}`), 'all of it passes');
      const exact = await inspected(get('/exactly'), (got) => got.endsWith('x'.repeat(LIMIT)));
      assert.deepEqual([exact.state, exact.body.length], [AnswerState.Complete, LIMIT]);
    });

    it('answers without a body have nothing to wait for', async () => {
      const headEnds = (got: string): boolean => got.includes('\r\n\r\n');
      for (const [request, line, field] of [
        [get('/204'), 'HTTP/1.1 204 ', 'x-two: c'],
        [get('/304'), 'HTTP/1.1 304 ', 'etag: "a"'],
        ['HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n', 'HTTP/1.1 200 ', 'content-length: 500'],
        [get('/empty'), 'HTTP/1.1 200 ', 'content-length: 0'],
      ] as const) {
        const { state, body, text } = await inspected(request, headEnds);
        assert.deepEqual([state, body], [AnswerState.Complete, ''], request);
        assert.ok(text.startsWith(line), text);
        assert.ok(text.toLowerCase().includes(`\r\n${field}\r\n`), text);
      }
    });

    it('an event stream is not held: the first event arrives before there is a second', async () => {
      const { state, text } = await inspected(get('/events'), (got) => got.includes('data: one'));
      assert.equal(state, AnswerState.Passes);
      assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
    });

    it('a range is not held', async () => {
      const { state } = await inspected(get('/range'), (got) => got.endsWith('\r\n\r\nh'));
      assert.equal(state, AnswerState.Passes);
    });

    it('an upstream that dies while its body is collected is refused as one that reset', async () => {
      const on = await lane((x) =>
        x.wire.upstreamAnswer.inspectBody(LIMIT) === AnswerState.Pending ? Verdict.Wait : Verdict.Next,
      );
      const text = await ask(on, get('/dies'), (got) => got.includes('upstream_'));
      assert.match(text, /^HTTP\/1\.1 502 /);
      assert.doesNotMatch(text, /SECRET/);
      const [end] = await on.ended(1);
      assert.match(end?.refusal ?? '', /^upstream_(?:reset|invalid)$/);
      assert.deepEqual([end?.attempts, end?.upstreamStatus], [1, 200]);
      await nothingLeft(on);
    });

    it('a client that leaves meanwhile ends the exchange and frees the upstream', async () => {
      const begun = upstream.calls.length;
      const on = await lane((x) =>
        x.wire.upstreamAnswer.inspectBody(LIMIT) === AnswerState.Pending ? Verdict.Wait : Verdict.Next,
      );
      const connection = await RawConnection.open({ port: on.port });
      connection.send(get('/stays'));
      await eventually(() => upstream.calls.length > begun, 'the upstream was asked');
      await eventually(() => on.pipeline.open === 1, 'it is open');
      connection.destroy();
      const [end] = await on.ended(1);
      assert.deepEqual([end?.aborted, end?.status], [true, 0]);
      await eventually(() => upstream.calls.at(-1)?.socket.destroyed === true, 'the upstream connection ends');
      await nothingLeft(on);
    });

    it('a malformed answer is not shown', async () => {
      let shown = 0;
      const on = await lane(() => {
        shown++;
        return Verdict.Next;
      });
      await ask(on, get('/malformed'), (got) => got.includes('upstream_invalid'));
      assert.equal(shown, 0);
      await nothingLeft(on);
    });
  });
}
