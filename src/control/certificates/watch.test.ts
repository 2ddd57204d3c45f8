import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { type Leaf, testAuthority } from '../../../test/harness/certs.ts';
import { present } from '../../base/assert.ts';
import type { ListenerTlsConfig } from '../../config/bootstrap.ts';
import type { ListenerTls } from '../../snapshot/listener-plans.ts';
import { expiryOf } from './pem.ts';
import { UnfitTls } from './files.ts';
import { CertificateWatch, REST_LOOKS } from './watch.ts';

const authority = testAuthority();
const old = authority.leaf(['old.example']);
const renewed = authority.leaf(['renewed.example']);
const root = mkdtempSync(join(tmpdir(), 'cnx-certificates-'));
after(() => rmSync(root, { recursive: true, force: true }));

/** Files of a listener, and a watch over them whose looks the test makes itself. */
class Watched {
  readonly directory = mkdtempSync(join(root, 'watched-'));
  readonly certificateFile = join(this.directory, 'edge.pem');
  readonly keyFile = join(this.directory, 'edge.key');
  readonly taken: ListenerTls[] = [];
  readonly events: string[] = [];
  /** What the lanes say instead of taking it. */
  refusal: Error | null = null;
  /** How often they were asked to. */
  asked = 0;
  now = Date.now();
  readonly watch: CertificateWatch;

  constructor(more: Partial<ListenerTlsConfig> = {}) {
    const { certificateFile, keyFile } = this;
    const tls: ListenerTlsConfig = { certificateFile, keyFile, minVersion: '1.2', cipherSuites: [], ...more };
    this.watch = new CertificateWatch({
      listeners: [{ id: 'plain' }, { id: 'edge', tls }],
      take: (_, taken) => {
        this.asked++;
        if (this.refusal !== null) return Promise.reject(this.refusal);
        this.taken.push(taken);
        return Promise.resolve();
      },
      event: (level, message, fields) => this.events.push(`${level} ${message} ${JSON.stringify(fields)}`),
      now: () => this.now,
    });
  }

  put(leaf: Leaf): void {
    copyFileSync(leaf.certificateFile, this.certificateFile);
    copyFileSync(leaf.keyFile, this.keyFile);
  }

  /** Looks until what is there now has come to rest. */
  async rest(): Promise<void> {
    for (let i = 0; i < 3; i++) await this.watch.look();
  }

  chains(): string[] {
    return this.taken.map((tls) => textOf(tls.certificates?.[0]?.chainPem));
  }
}

function textOf(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? new Uint8Array(0)).toString('utf8');
}

describe('certificates that serve', () => {
  it('are read with their keys at the start, and left alone while nothing changes', async () => {
    const w = new Watched();
    w.put(old);
    const tls = (await w.watch.load()).get('edge');
    assert.deepEqual(
      [tls?.certificates?.length, textOf(tls?.certificates?.[0]?.chainPem), textOf(tls?.certificates?.[0]?.keyPem)],
      [1, old.certificate, old.key],
    );
    await w.rest();
    assert.deepEqual([w.taken, w.events], [[], []]);
  });

  it('are replaced when their files are: written over, moved into place, or behind a link', async () => {
    const w = new Watched();
    w.put(old);
    await w.watch.load();
    w.put(renewed);
    await w.rest();
    assert.deepEqual(w.chains(), [renewed.certificate]);
    for (const [from, to] of [
      [old.certificateFile, w.certificateFile],
      [old.keyFile, w.keyFile],
    ] as const) {
      copyFileSync(from, `${to}.new`);
      renameSync(`${to}.new`, to);
    }
    await w.rest();
    assert.deepEqual(w.chains(), [renewed.certificate, old.certificate]);
    assert.match(w.events[0] ?? '', /^info certificates taken .*"listener":"edge"/);
  });

  it('are replaced when a directory behind a link is, as orchestrators do it', async () => {
    const w = new Watched();
    const link = join(w.directory, 'current');
    for (const [name, leaf] of [
      ['one', old],
      ['two', renewed],
    ] as const) {
      mkdirSync(join(w.directory, name));
      copyFileSync(leaf.certificateFile, join(w.directory, name, 'tls.crt'));
      copyFileSync(leaf.keyFile, join(w.directory, name, 'tls.key'));
    }
    symlinkSync('one', link);
    const linked = new Watched({ certificateFile: join(link, 'tls.crt'), keyFile: join(link, 'tls.key') });
    await linked.watch.load();
    symlinkSync('two', `${link}.new`);
    renameSync(`${link}.new`, link);
    await linked.rest();
    assert.deepEqual(linked.chains(), [renewed.certificate]);
  });

  it('are not taken before two looks saw the same: a certificate without its key is no renewal', async () => {
    const w = new Watched();
    w.put(old);
    await w.watch.load();
    copyFileSync(renewed.certificateFile, w.certificateFile);
    await w.watch.look();
    copyFileSync(renewed.keyFile, w.keyFile);
    await w.watch.look();
    assert.deepEqual([w.taken, w.events], [[], []]);
    await w.watch.look();
    assert.deepEqual(w.chains(), [renewed.certificate]);
  });

  it('go on when the new ones cannot be used, which is told once and with the reason; the next ones are taken', async () => {
    const w = new Watched();
    w.put(old);
    await w.watch.load();
    copyFileSync(renewed.certificateFile, w.certificateFile);
    await w.rest();
    await w.rest();
    assert.deepEqual(w.taken, []);
    assert.equal(w.events.length, 1);
    assert.match(
      w.events[0] ?? '',
      /^error certificates refused; the former ones serve .*edge\.key cannot be used \(the key is not that of the certificate\)/,
    );
    rmSync(w.keyFile);
    await w.rest();
    assert.match(w.events[1] ?? '', /edge\.key cannot be read \(ENOENT.*does it exist/);
    w.put(renewed);
    await w.rest();
    assert.deepEqual(w.chains(), [renewed.certificate]);
  });

  it('go on when a lane cannot use the new ones, which it is not asked to do again', async () => {
    const w = new Watched();
    w.put(old);
    await w.watch.load();
    w.refusal = new UnfitTls('certificate 1: its key is of a kind that is not known');
    w.put(renewed);
    await w.rest();
    await w.rest();
    assert.match(w.events.join('\n'), /^error certificates refused.*its key is of a kind that is not known/);
    assert.deepEqual([w.events.length, w.asked], [1, 1]);
  });

  it('are replaced later when a lane died or was late just then, which is told once', async () => {
    const w = new Watched();
    w.put(old);
    await w.watch.load();
    w.refusal = new Error('lane 0 died before it had tried them');
    w.put(renewed);
    await w.watch.look();
    await w.watch.look();
    assert.equal(w.asked, 1);
    await w.watch.look();
    assert.deepEqual([w.events.length, w.asked], [1, 2], 'at the next look');
    // Lanes that die of them are not made to die every second.
    for (let looks = 0; looks < REST_LOOKS; looks++) await w.watch.look();
    assert.equal(w.asked, 2);
    await w.watch.look();
    assert.deepEqual([w.events.length, w.asked], [1, 3]);
    w.refusal = new Error('lane 1 did not answer');
    for (let looks = 0; looks <= REST_LOOKS; looks++) await w.watch.look();
    assert.match(w.events[1] ?? '', /refused.*lane 1 did not answer/, 'another reason is told');
    assert.equal(w.watch.views()[0]?.refused, 'lane 1 did not answer');
    w.refusal = null;
    for (let looks = 0; looks <= REST_LOOKS; looks++) await w.watch.look();
    assert.deepEqual(w.chains(), [renewed.certificate]);
    assert.deepEqual([w.events.length, w.watch.fault], [3, null]);
    await w.rest();
    assert.equal(w.taken.length, 1);
  });

  it('are taken anew when they come back in the place of ones that some lanes may have', async () => {
    const w = new Watched();
    for (const [name, leaf] of [
      ['one', old],
      ['two', renewed],
    ] as const) {
      mkdirSync(join(w.directory, name));
      copyFileSync(leaf.certificateFile, join(w.directory, name, 'tls.crt'));
      copyFileSync(leaf.keyFile, join(w.directory, name, 'tls.key'));
    }
    const link = join(w.directory, 'current');
    const lead = (to: string): void => {
      symlinkSync(to, `${link}.new`);
      renameSync(`${link}.new`, link);
    };
    lead('one');
    const linked = new Watched({ certificateFile: join(link, 'tls.crt'), keyFile: join(link, 'tls.key') });
    await linked.watch.load();
    linked.refusal = new Error('lane 1 did not answer');
    lead('two');
    await linked.rest();
    linked.refusal = null;
    lead('one');
    await linked.rest();
    assert.deepEqual([linked.chains(), linked.watch.fault], [[old.certificate], null]);
  });

  it('are replaced later when the clock was wrong just then', async () => {
    const w = new Watched();
    w.put(old);
    await w.watch.load();
    const { now } = w;
    w.now += 50 * 365 * 24 * 3_600_000;
    w.put(renewed);
    await w.watch.look();
    await w.watch.look();
    assert.match(w.events.at(-1) ?? '', /certificates refused.* ended .*renew it/);
    w.now = now;
    await w.watch.look();
    assert.deepEqual(w.chains(), [renewed.certificate]);
    assert.equal(w.watch.fault, null);
  });

  it('go on when the new ones have ended; those that end soon are taken with a warning', async () => {
    const w = new Watched();
    w.put(old);
    await w.watch.load();
    const day = 24 * 3_600_000;
    w.now += 25 * day;
    w.put(renewed);
    await w.rest();
    assert.deepEqual(w.chains(), [renewed.certificate]);
    assert.match(w.events.at(-1) ?? '', /^warn certificate ends soon .*edge\.pem/);
    w.now += 10 * day;
    w.put(old);
    await w.rest();
    assert.equal(w.taken.length, 1);
    assert.match(w.events.at(-1) ?? '', /certificates refused.* ended .*renew it/);
  });

  it('are told once when they come near their end and nobody renews them; when the first ends is there to see', async () => {
    const w = new Watched();
    w.put(old);
    await w.watch.load();
    const { until } = present(w.watch.views()[0], 'its view');
    assert.deepEqual(w.watch.views(), [{ listener: 'edge', until: expiryOf(old.certificate), refused: null }]);
    w.now = until - 8 * 24 * 3_600_000;
    await w.rest();
    assert.deepEqual(w.events, []);
    w.now = until - 6 * 24 * 3_600_000;
    await w.rest();
    assert.equal(w.events.length, 1);
    assert.match(w.events[0] ?? '', /^warn certificate ends soon .*edge\.pem/);
    w.now = until;
    await w.rest();
    assert.equal(w.events.length, 2);
    assert.match(w.events[1] ?? '', /^error certificate has ended; clients will refuse it .*edge\.pem/);
    writeFileSync(w.keyFile, 'nothing');
    await w.rest();
    assert.match(w.watch.views()[0]?.refused ?? '', /edge\.key cannot be used/);
    assert.equal(w.watch.views()[0]?.until, until);
  });

  it('are taken at a start though they have ended, which is told as what it is', async () => {
    const w = new Watched();
    w.put(old);
    w.now = expiryOf(old.certificate);
    await w.watch.load();
    await w.rest();
    assert.equal(w.events.length, 1, w.events.join('\n'));
    assert.match(w.events[0] ?? '', /^error certificate has ended; clients will refuse it .*edge\.pem/);
  });

  it('are followed by themselves, until that is stopped', async () => {
    const w = new Watched();
    w.put(old);
    await w.watch.load();
    w.watch.follow();
    // The watch keeps no process alive.
    const alive = setInterval(() => undefined, 1_000);
    w.put(renewed);
    while (w.taken.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    clearInterval(alive);
    await w.watch.stop();
    assert.deepEqual(w.chains(), [renewed.certificate]);
  });
});

describe('at the start a gateway does not begin with', () => {
  const rejects = (w: Watched, expected: RegExp): Promise<void> => assert.rejects(w.watch.load(), expected);

  it('files that are not there, or are something else', async () => {
    await rejects(new Watched(), /listener edge: .*edge\.pem cannot be read \(ENOENT/);
    const w = new Watched();
    w.put(old);
    writeFileSync(w.keyFile, '');
    await rejects(
      w,
      /listener edge: certificate .*edge\.pem and key .*edge\.key cannot be used \(the key cannot be read/,
    );
  });

  it('an OCSP response that is none, or authorities that are none', async () => {
    const w = new Watched();
    w.put(old);
    const pem = { certificateFile: w.certificateFile, keyFile: w.keyFile, names: [] };
    const several = (over: Partial<ListenerTlsConfig>): CertificateWatch =>
      new CertificateWatch({
        listeners: [{ id: 'edge', tls: { minVersion: '1.2', cipherSuites: [], certificates: [pem], ...over } }],
        take: () => Promise.resolve(),
        event: () => undefined,
        now: Date.now,
      });
    await assert.rejects(
      several({ certificates: [{ ...pem, ocspFile: w.certificateFile }] }).load(),
      /edge\.pem is no OCSP response in DER; make it with/,
    );
    await assert.rejects(
      several({ clientCertificates: { mode: 'required', caFile: w.keyFile } }).load(),
      /edge\.key cannot be used: it holds no certificate/,
    );
    const ocspFile = join(w.directory, 'edge.ocsp');
    writeFileSync(ocspFile, Uint8Array.of(0x30, 3, 0x0a, 1, 0));
    const tls = (
      await several({
        certificates: [{ ...pem, ocspFile, names: ['old.example'] }, pem],
        clientCertificates: { mode: 'optional', caFile: authority.certificateFile },
      }).load()
    ).get('edge');
    assert.deepEqual(
      [tls?.certificates?.length, tls?.certificates?.[0]?.ocspDer?.length, tls?.certificates?.[0]?.names],
      [2, 5, ['old.example']],
    );
    assert.deepEqual(
      [tls?.clientCertificates?.mode, textOf(tls?.clientCertificates?.caPem)],
      ['optional', authority.certificate],
    );
  });
});
