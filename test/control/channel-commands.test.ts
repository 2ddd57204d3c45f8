/** `cnx bundle channel` from the keys to what a gateway is to run, and the commands that meet an index where bundles stand. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { run as bundleCommand } from '../../src/cli/bundle/bundle.ts';
import { canaryRule } from '../../src/cli/bundle/rules.ts';
import { run as keygen } from '../../src/cli/keygen.ts';
import { parseChannelIndex } from '../../src/control/channel/document.ts';
import { OciLayout } from '../../src/control/oci/layout.ts';
import { DebianRegistry } from './harness/debian-registry.ts';
import { bundle, KEY_A, newKey, policy, publishSigned, temporaryDirectory, trusted } from './harness/sample.ts';

type Told = { readonly code: number; readonly out: string; readonly err: string };

async function world(t: TestContext) {
  const directory = await temporaryDirectory(t);
  const layout = await OciLayout.create(join(directory, 'layout'));
  const call = async (...args: string[]): Promise<Told> => {
    let [out, err] = ['', ''];
    const io = { stdout: (text: string) => void (out += text), stderr: (text: string) => void (err += text), env: {} };
    return { code: await bundleCommand(args, io), out, err };
  };
  const keys: { id: string; alg: string; roles: string[]; spki: string }[] = [];
  for (const id of ['p', 'q']) {
    let out = '';
    const io = { stdout: (text: string) => void (out += text), stderr: () => undefined, env: {} };
    assert.equal(await keygen(['--out', directory, '--id', id, '--role', 'promoter'], io), 0);
    const field = (name: string): string => new RegExp(`${name}: (\\S+)`).exec(out)?.[1] ?? '';
    assert.equal(field('roles'), '[promoter]');
    keys.push({ id, alg: field('alg'), roles: ['promoter'], spki: field('spki') });
  }
  const trust = join(directory, 'trust.yaml');
  const setTrust = (more: object = {}): void =>
    writeFileSync(trust, JSON.stringify({ ...policy(), keys: [trusted('a', KEY_A), ...keys], ...more }));
  setTrust();
  await publishSigned(layout, bundle(1), [KEY_A], 'r1');
  await publishSigned(layout, bundle(2), [KEY_A], 'r2');
  const ref = `oci:${layout.directory}:prod`;
  const set = (...args: string[]): Promise<Told> =>
    call('channel', 'set', ref, '--trust', trust, '--key', join(directory, 'p.key'), ...args);
  const indexNow = async () => {
    const found = await layout.resolve('prod');
    assert.ok(found.state === 'found');
    return parseChannelIndex((await layout.manifest(found.digest)).bytes);
  };
  return {
    directory,
    layout,
    call,
    set,
    ref,
    trust,
    setTrust,
    indexNow,
    key: (id: string) => join(directory, `${id}.key`),
  };
}

describe('cnx bundle channel', () => {
  it('sets what is stable, shows a canary to some, tells who gets what, and renews', async (t) => {
    const { set, call, ref, trust, indexNow } = await world(t);
    const first = await set('--stable', 'r1');
    assert.equal(first.code, 0, first.err);
    assert.match(first.out, /sequence 1, epoch 1/);
    const second = await set('--canary', 'r2', '--to', 'ring=first', '--to', 'region=eu+ring=last@10');
    assert.equal(second.code, 0, second.err);
    const now = await indexNow();
    assert.equal(now.seq, 2);
    assert.deepEqual(
      now.entries.map(({ digest, rule }) => [digest, rule.role]),
      [
        [bundle(2).digest, 'canary'],
        [bundle(2).digest, 'canary'],
        [bundle(1).digest, 'stable'],
      ],
    );
    const shown = await call('channel', 'show', ref, '--trust', trust, '--gateway', 'edge-1', '--label', 'ring=first');
    assert.match(shown.out, /signed +p\n/);
    assert.match(shown.out, new RegExp(`assigned +${bundle(2).digest}\nbecause +canary, by ring=first\n`));
    const json = JSON.parse((await call('channel', 'show', ref, '--gateway', 'edge-1', '--json')).out) as {
      seq: number;
      assigned: { role: string };
    };
    assert.deepEqual([json.seq, json.assigned.role], [2, 'stable']);

    const renewed = await set('--expires', '90d');
    assert.match(renewed.out, /^renewed/);
    const again = await indexNow();
    assert.equal(again.seq, 3);
    assert.deepEqual(again.entries, now.entries);
    assert.ok(again.expiresMs > now.expiresMs);
    const promoted = await set('--stable', 'r2');
    assert.equal(promoted.code, 0, promoted.err);
    assert.equal((await indexNow()).entries.length, 1);
  });

  it('names bundles that no tag names any more, and they are listed', async (t) => {
    const { call, ref, set, directory } = await world(t);
    assert.equal((await set('--stable', 'r1')).code, 0);
    const host = (await DebianRegistry.start(t)).host;
    // Under the one tag there stands an index from now on.
    assert.equal((await call('push', ref, `${host}/edge/config:prod`)).code, 0);
    const listed = async (at: string): Promise<unknown> =>
      (
        JSON.parse((await call('log', at, '--json')).out) as { bundles: { digest: string; tags: string[] }[] }
      ).bundles.map(({ digest, tags }) => [digest, tags]);
    assert.deepEqual(await listed(`${host}/edge/config`), [[bundle(1).digest, []]]);
    // Nor does a tag name what the next index leaves out; its signatures do.
    assert.equal((await call('push', `oci:${join(directory, 'layout')}:r2`, `${host}/edge/config:r2`)).code, 0);
    const remote = `${host}/edge/config:prod`;
    const signs = ['--trust', join(directory, 'trust.yaml'), '--key', join(directory, 'p.key')];
    const next = await call('channel', 'set', remote, ...signs, '--stable', 'r2');
    assert.equal(next.code, 0, next.err);
    assert.deepEqual(await listed(remote), [
      [bundle(2).digest, ['r2']],
      [bundle(1).digest, []],
    ]);
  });

  it('is replaced by a bundle only when that is said', async (t) => {
    const { call, ref, set, directory, indexNow } = await world(t);
    assert.equal((await set('--stable', 'r1')).code, 0);
    const layout = `oci:${join(directory, 'layout')}`;
    for (const args of [
      ['tag', `${layout}:r2`, 'prod'],
      ['copy', `${layout}:r2`, ref],
    ]) {
      const refused = await call(...args);
      assert.equal(refused.code, 2);
      assert.match(refused.err, /prod names a channel index: cnx bundle channel set --stable .* --replace-index/);
      assert.equal((await indexNow()).seq, 1);
    }
    assert.equal((await call('tag', `${layout}:r2`, 'prod', '--replace-index')).code, 0);
    assert.match((await call('inspect', ref)).out, /sequence 2/);
  });

  it('begins with the bundle that the tag names', async (t) => {
    const { layout, set, indexNow } = await world(t);
    await publishSigned(layout, bundle(1), [KEY_A], 'prod');
    assert.equal((await set('--canary', 'r2', '--to', '5')).code, 0);
    assert.equal((await indexNow()).entries.at(-1)?.digest, bundle(1).digest);
  });

  it('names nothing that builders have not signed for the channel, and goes on from nothing that promoters have not', async (t) => {
    const { layout, set, setTrust, indexNow } = await world(t);
    await publishSigned(layout, bundle(3), [newKey()], 'alien');
    await publishSigned(layout, bundle(4, { release: { audience: { channels: ['staging'] } } }), [KEY_A], 'staging');
    assert.match((await set('--stable', 'alien')).err, /wrong_key/);
    assert.match((await set('--stable', 'staging')).err, /audience_mismatch/);
    assert.equal((await set('--stable', 'r1')).code, 0);
    // A label that a bundle selects by is no reason: which gateways have it is theirs to say.
    await publishSigned(
      layout,
      bundle(5, { release: { audience: { channels: ['prod'], selector: { region: 'eu' } } } }),
      [KEY_A],
      'eu',
    );
    assert.equal((await set('--canary', 'eu', '--to', 'region=eu')).code, 0);
    // The key of the last index is not trusted any more: a number from nowhere must be said.
    setTrust({ epoch: 2 });
    assert.match((await set('--stable', 'r2')).err, /epoch_regressed/);
    assert.equal((await set('--stable', 'r2', '--seq', '1')).code, 0);
    assert.deepEqual([(await indexNow()).epoch, (await indexNow()).seq], [2, 1]);
  });

  it('is signed only by promoters whom the trust policy believes', async (t) => {
    const { layout, set, call, ref, trust, setTrust, key } = await world(t);
    const entries = (JSON.parse(readFileSync(trust, 'utf8')) as { keys: { id: string }[] }).keys;
    const changed = (more: object): void =>
      setTrust({ keys: entries.map((entry) => (entry.id === 'p' ? { ...entry, ...more } : entry)) });
    for (const [more, message] of [
      [{ roles: ['builder'] }, /p\.key is the key p, which has not the role promoter in .*trust\.yaml.*promoter: q\n/],
      [{ status: 'revoked' }, /p\.key is the key p, which is revoked in .*: q\n/],
      [{ notAfter: '2020-01-01' }, /p\.key is the key p, which has ended/],
    ] as [object, RegExp][]) {
      changed(more);
      const refused = await set('--stable', 'r1');
      assert.match(refused.err, message);
      assert.equal(refused.code, 2);
    }
    setTrust({ keys: entries.filter((entry) => entry.id !== 'p') });
    const alien = await set('--stable', 'r1');
    assert.match(alien.err, /p\.key is none of the keys of .*trust\.yaml/);
    assert.equal(alien.code, 2);
    assert.equal((await layout.resolve('prod')).state, 'missing');

    // What somebody else has put there is in the way of the next index, and the message says what leads past it.
    setTrust();
    assert.equal((await set('--stable', 'r1')).code, 0);
    setTrust({ keys: entries.filter((entry) => entry.id !== 'p') });
    const next = ['channel', 'set', ref, '--trust', trust, '--key', key('q'), '--stable', 'r2'];
    const stuck = await call(...next);
    assert.equal(stuck.code, 1);
    assert.match(stuck.err, /wrong_key: .*--stable BUNDLE --seq N/);
    assert.equal((await call(...next, '--seq', '2')).code, 0);
    assert.equal((await call(...next)).code, 0);
  });

  it("takes another promoter's signature, once", async (t) => {
    const { set, call, ref, key, trust, setTrust } = await world(t);
    setTrust({ promoterThreshold: 2 });
    assert.equal((await set('--stable', 'r1')).code, 0);
    assert.match((await call('verify', ref, '--trust', trust)).out, /NO +below_threshold/);
    assert.match((await call('channel', 'sign', ref, '--key', key('q'))).out, /^signed/);
    assert.match((await call('channel', 'sign', ref, '--key', key('q'))).out, /^already/);
    const verified = await call('verify', ref, '--trust', trust);
    assert.match(verified.out, /2 of 2 needed, by p, q[\s\S]*sequence 1, floor 0[\s\S]*verified sha256:/);
  });

  it('is copied with every bundle that it names, and verifies there', async (t) => {
    const { set, call, ref, trust, directory } = await world(t);
    assert.equal((await set('--stable', 'r1', '--canary', 'r2', '--to', '10')).code, 0);
    const to = `oci:${join(directory, 'other')}:prod`;
    const copied = await call('copy', ref, to, '--trust', trust);
    assert.equal(copied.code, 0, copied.err);
    assert.match(copied.out, /signatures +3/);
    assert.equal((await call('verify', to, '--trust', trust)).code, 0);
    // A list of bundles passes over it.
    const log = await call('log', ref);
    assert.equal(log.code, 0, log.err);
    assert.equal(log.out.trimEnd().split('\n').length, 3);
  });

  for (const [args, message] of [
    [['--canary', 'r2'], /belong together/],
    [['--to', '10'], /belong together/],
    [['--canary', 'r2', '--to', '101'], /no rule like/],
    [['--canary', 'r2', '--to', 'ring'], /no rule like/],
    [['--stable', 'r9'], /r9/],
    [[], /--stable is missing/],
    [['--stable', 'r1', '--expires', 'soon'], /no time like/],
    [['--stable', 'r1', '--seq', '0'], /whole number/],
  ] as [string[], RegExp][])
    it(`says what is wrong with ${JSON.stringify(args)}`, async (t) => {
      const { set } = await world(t);
      const told = await set(...args);
      assert.notEqual(told.code, 0);
      assert.match(told.err, message);
    });

  it('reads rules in one way', () => {
    for (const [text, selector, percent] of [
      ['10', {}, 10],
      ['0.5', {}, 0.5],
      ['10%', {}, 10],
      ['ring=a', { ring: 'a' }, null],
      ['ring=a+region=eu', { ring: 'a', region: 'eu' }, null],
      ['ring=a@25', { ring: 'a' }, 25],
      ['gateway=edge-7', { gateway: 'edge-7' }, null],
    ] as const) {
      const rule = canaryRule(text);
      assert.deepEqual({ ...rule, selector: { ...rule.selector } }, { role: 'canary', selector, percent });
    }
    for (const text of ['', '@', '@10@', 'ring=', '=a', 'ring=a@', 'ring=a,b', '10,20', 'a=1+a=2'])
      assert.throws(() => canaryRule(text), /no rule like/, text);
  });
});
