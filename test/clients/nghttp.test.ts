/** nghttp and h2load, the clients of nghttp2, against a running gateway. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Given } from '../e2e/given.ts';
import { plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import type { TestUpstream } from '../harness/upstream.ts';
import { type Ran, runTool, words } from './tool.ts';

const UPLOAD_BYTES = 300_000;

describe('clients of nghttp2', () => {
  const given = new Given();
  let upload = '';
  let upstream: TestUpstream;
  let gateway: TestGateway;

  before(async () => {
    const directory = mkdtempSync(join(tmpdir(), 'cnx-clients-nghttp-'));
    given.ends(() => rmSync(directory, { recursive: true, force: true }));
    upload = join(directory, 'upload');
    writeFileSync(upload, Buffer.alloc(UPLOAD_BYTES, 'u'));
    upstream = await given.upstream();
    gateway = await given.gateway({
      bundle: plainBundle([upstream.address]),
      bootstrap: { transport: 'native', lanes: 2 },
      listener: { http2: true },
    });
  });
  after(() => given.end());

  const bases = (): string[] => [`http://127.0.0.1:${gateway.ports.http}`, `https://127.0.0.1:${gateway.ports.https}`];
  /** Statuses that nghttp printed as it got them. */
  const statuses = ({ stdout }: Ran): string[] =>
    [...stdout.matchAll(/recv \(stream_id=\d+\) :status: (\d+)/g)].map((m) => m[1] ?? '');

  it('nghttp is answered on many streams of one connection, whatever it asks for', async () => {
    for (const base of bases()) {
      const ran = await runTool('nghttp', [
        ...words('--null-out --verbose --no-verify-peer --timeout=30 --multiply=12'),
        ...['/status/200', '/chunked/200000', '/stream/100000'].map((path) => base + path),
      ]);
      assert.deepEqual(
        statuses(ran),
        Array.from({ length: 36 }, () => '200'),
        ran.said,
      );
      assert.doesNotMatch(ran.stdout, /RST_STREAM|error_code=(?!NO_ERROR)/);
      const empty = await runTool('nghttp', ['--null-out', '--verbose', '--no-verify-peer', `${base}/status/204`]);
      assert.deepEqual(statuses(empty), ['204'], empty.said);
    }
  });

  it('nghttp uploads, with trailers of its own, through windows of 64 KiB', async () => {
    for (const base of bases()) {
      const ran = await runTool('nghttp', [
        ...words('--verbose --no-verify-peer --timeout=30 --window-bits=16 --connection-window-bits=16'),
        `--data=${upload}`,
        '--trailer=x-sum: 1',
        `${base}/sink`,
      ]);
      assert.deepEqual(statuses(ran), ['200'], ran.said);
      assert.ok(ran.stdout.includes(String(UPLOAD_BYTES)));
    }
    assert.equal(upstream.sunkBytes, 2 * UPLOAD_BYTES);
  });

  /** Runs h2load; every request must have succeeded with 2xx. */
  async function load(requests: number, args: readonly string[]): Promise<void> {
    const { stdout, said } = await runTool('h2load', ['--threads=1', `--requests=${requests}`, ...args]);
    assert.match(
      stdout,
      new RegExp(
        `requests: ${requests} total, ${requests} started, ${requests} done, ${requests} succeeded, 0 failed, 0 errored, 0 timeout`,
      ),
      said,
    );
    assert.match(stdout, new RegExp(`status codes: ${requests} 2xx, 0 3xx, 0 4xx, 0 5xx`), said);
  }

  it('h2load gets 2xx on all streams: answers short and long, uploads, plain and by TLS', async () => {
    for (const base of bases()) {
      await load(2_000, ['--clients=8', '--max-concurrent-streams=32', `${base}/status/200`]);
      await load(200, ['--clients=4', '--max-concurrent-streams=100', '--window-bits=16', `${base}/stream/100000`]);
      await load(100, ['--clients=4', '--max-concurrent-streams=16', `--data=${upload}`, `${base}/sink`]);
      await load(500, ['--h1', '--clients=8', `${base}/status/200`]);
    }
  });
});
