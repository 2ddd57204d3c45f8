/**
 * Bad bundles on a running gateway, each rightly signed unless that is what is wrong with it: every one is refused with the reason that its author needs, and the good
 * one serves on. `bad-bundle-kinds.ts` has the table.
 */
import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { OciLayout } from '../../src/control/oci/layout.ts';
import { CHANNEL, plainBundle } from '../harness/bundle.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { ask } from './client.ts';
import { Given } from './given.ts';
import { KINDS } from './bad-bundle-kinds.ts';
import { type Draft, GUARDRAIL, ROUTE, own, part, publish, released, routes, rules } from './bundle-draft.ts';

describe('bad bundles', () => {
  const given = new Given();
  after(() => given.end());

  it(`of ${KINDS.length} kinds are all refused with their reasons, and the good one serves on`, async () => {
    assert.ok(KINDS.length >= 60);
    const upstream = await given.upstream();
    const gateway = await given.gateway({
      bundle: plainBundle([upstream.address], { release: { seq: 10, floor: 5 } }),
    });
    const layout = OciLayout.at(join(gateway.directory, 'bundles'));
    const key = createPrivateKey(readFileSync(gateway.key.keyFile));
    const good = await statusOf(gateway);
    assert.equal(good.bundle?.seq, 10);
    const told: string[] = [];
    for (const [i, [what, spoil, reason]] of KINDS.entries()) {
      const digest = await publish(layout, key, 11 + i, what, spoil);
      let found: string | undefined;
      await gateway.until(`${what} is refused`, async () => {
        const now = await statusOf(gateway);
        assert.equal(now.bundle?.digest, good.bundle?.digest, `${what} was taken`);
        found = now.rejections.find((r) => r.digest === digest)?.full;
        // A blob that is not there says nothing about the bundle; the source is at fault.
        if (now.source.seen === digest && now.source.state === 'unreachable') found ??= `${now.source.lastError}`;
        return found !== undefined;
      });
      if (!reason.test(found ?? '')) told.push(`${what}: ${found}`);
      assert.equal((await ask(gateway.ports.http, '/')).status, 200);
    }
    assert.deepEqual(told, [], 'reasons that say something else');

    // After all of them a good one is taken as ever.
    const digest = await publish(
      layout,
      key,
      1_000,
      'nothing',
      part('cells', { cells: [{ id: 'one', endpoints: [{ address: upstream.address }] }] }),
    );
    await gateway.until('a good one is taken', async () => (await statusOf(gateway)).bundle?.digest === digest);
    assert.equal((await ask(gateway.ports.http, '/')).status, 200);
    await gateway.stop();
  });
});

describe('bundles that a guardrail denies', () => {
  const given = new Given();
  after(() => given.end());

  /** What serves, and what becomes of it. */
  const PROTECTED = { ...ROUTE, waf: { mode: 'block' } };
  const FEW = { id: 'few', key: ['address'], requests: 10, windowMs: 60_000 };
  const RULE = 'SecRule ARGS "@contains evil" "id:1,phase:2,deny"\n';
  const base = (draft: Draft): void => {
    draft.release['floor'] = 5;
    routes(PROTECTED)(draft);
    part('limits', { limits: [FEW] })(draft);
    rules(RULE)(draft);
  };
  const kinds: readonly (readonly [string, (draft: Draft) => void, RegExp])[] = [
    [
      'the WAF goes from block to detect',
      part('waf', { mode: 'detect', rules: ['waf/rules.conf'] }),
      /^guardrail: the WAF goes from block to detect$/,
    ],
    ['a WAF that goes off on a route', routes({ waf: { mode: 'off' } }), /^guardrail: the WAF of route all goes off$/],
    ['a limit that goes', part('limits', { limits: [] }), /^guardrail: limit few goes$/],
    [
      'a limit that is loosened',
      part('limits', { limits: [{ ...FEW, requests: 1_000 }] }),
      /^guardrail: limit few admits more than ten times as much$/,
    ],
    ['a floor that sinks', released({ floor: 4 }), /^guardrail: the floor sinks$/],
  ];

  it(`of ${kinds.length} kinds are refused in its words, and those that it lets pass are taken; without it none is`, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'cnx-guardrail-'));
    given.ends(() => rmSync(directory, { recursive: true, force: true }));
    const module = join(directory, 'guardrail.wasm');
    copyFileSync(GUARDRAIL, module);
    const upstream = await given.upstream();
    const gateway = await given.gateway({
      bundle: plainBundle([upstream.address], {
        release: { seq: 10, floor: 5 },
        routes: { routes: [PROTECTED] },
        limits: { limits: [FEW] },
        waf: { mode: 'block', rules: ['waf/rules.conf'] },
        files: { 'waf/rules.conf': RULE },
      }),
      bootstrap: {
        bundle: { source: `oci:bundles:${CHANNEL}`, pollMs: 5_000, guardrail: { moduleFile: module } },
      },
    });
    const layout = OciLayout.at(join(gateway.directory, 'bundles'));
    const key = createPrivateKey(readFileSync(gateway.key.keyFile));
    const good = await statusOf(gateway);
    const refused = async (i: number, what: string, spoil: (draft: Draft) => void): Promise<string> => {
      const digest = await publish(layout, key, 11 + i, what, (draft) => {
        base(draft);
        spoil(draft);
      });
      let found: string | undefined;
      await gateway.until(`${what} is refused`, async () => {
        const now = await statusOf(gateway);
        assert.equal(now.bundle?.digest, good.bundle?.digest, `${what} was taken`);
        found = now.rejections.find((r) => r.digest === digest)?.full;
        return found !== undefined;
      });
      assert.equal((await ask(gateway.ports.http, '/')).status, 200);
      return found ?? '';
    };
    for (const [i, [what, spoil, reason]] of kinds.entries()) assert.match(await refused(i, what, spoil), reason);
    rmSync(module);
    assert.match(
      await refused(kinds.length, 'anything', () => undefined),
      /^guardrail: the guardrail cannot say yes: .*ENOENT/,
    );
    copyFileSync(GUARDRAIL, module);
    const digest = await publish(layout, key, 100, 'nothing', (draft) => {
      base(draft);
      part('cells', { cells: [{ id: 'one', endpoints: [{ address: upstream.address }] }] })(draft);
      own({ outcome: 'forwarded', route: 'all', cell: 'one', waf: 'pass' })(draft);
    });
    await gateway.until('a good one is taken', async () => (await statusOf(gateway)).bundle?.digest === digest);
    await gateway.stop();
  });
});

interface Now {
  readonly bundle: { readonly digest: string; readonly seq: number } | null;
  readonly source: { readonly state: string; readonly seen: string | null; readonly lastError: string | null };
  readonly rejections: readonly { readonly digest: string; readonly full: string }[];
}

async function statusOf(gateway: TestGateway): Promise<Now> {
  const status = (await gateway.admin('/v1/status')) as Omit<Now, 'rejections'> & {
    readonly rejections: readonly { digest: string; step: string; reason: string }[];
  };
  return {
    ...status,
    rejections: status.rejections.map((r) => ({ digest: r.digest, full: `${r.step}: ${r.reason}` })),
  };
}
