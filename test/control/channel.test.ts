/**
 * A channel index at the tag, against all that follows a source, with a registry that lies: which bundle runs and why, and each attack of docs/trust.md that an index
 * meets. In each of them what served before serves on, and the reason is said.
 */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { assembleChannelIndex, type ChannelIndex } from '../../src/control/channel/document.ts';
import { bucketOf } from '../../src/control/channel/assign.ts';
import { publishChannel } from '../../src/control/channel/publish.ts';
import { digestOf } from '../../src/control/oci/digest.ts';
import { OCI_INDEX, OCI_MANIFEST } from '../../src/control/oci/media-types.ts';
import { SEQ_JUMP_MAX } from '../../src/control/trust/rules.ts';
import { canary, channelIndex, PROMOTER, PROMOTER_B, publishIndex, stable } from './harness/channel.ts';
import { bundle, KEY_A, newKey, NOW_MS, publishSigned, temporaryLayout, trusted } from './harness/sample.ts';
import { suppliedBy, type SupplyOptions } from './harness/supply.ts';

const KEYS = [
  trusted('a', KEY_A),
  trusted('p', PROMOTER, { roles: ['promoter'] }),
  trusted('q', PROMOTER_B, { roles: ['promoter'] }),
];
const [OLD, NEW, NEXT] = [bundle(10, { release: { floor: 5 } }), bundle(11), bundle(12)];

/** Follows index 3: all run 10. */
async function following(t: TestContext, options: SupplyOptions = {}) {
  const world = await suppliedBy(t, { ...options, policy: { keys: KEYS, ...options.policy } });
  const { registry } = world;
  for (const built of [OLD, NEW, NEXT]) registry.publish(built, [KEY_A]);
  const index = publishIndex(registry, channelIndex(3, [stable(OLD)]), [PROMOTER, PROMOTER_B]);
  const supply = await world.start();
  await supply.follow();
  world.serves(supply, 10);
  const refused = async (reason: RegExp): Promise<void> => {
    await supply.pollNow();
    world.serves(supply, 10);
    assert.match(`${world.refusal(supply)} ${supply.source().lastError ?? ''}`, reason);
    assert.equal(supply.channel()?.digest, index, 'what counted before counts on');
  };
  return { ...world, supply, index, refused };
}

describe('a channel index', () => {
  it('assigns bundles by label and by share, and the gateway says why it runs what it runs', async (t) => {
    const gateway = { id: 'edge-1', labels: { region: 'eu' } };
    const { registry, supply, serves, events } = await following(t, { gateway, policy: { labels: { ring: 'first' } } });
    assert.equal(supply.channel()?.why, 'stable, for there is no canary');
    assert.equal(supply.source().seen, OLD.digest, 'what it means for this gateway');

    publishIndex(registry, channelIndex(4, [canary(NEW, null, { region: 'us' }), stable(OLD)]));
    await supply.pollNow();
    serves(supply, 10);
    assert.match(supply.channel()?.why ?? '', /^stable, for region=us is not for a gateway with region=eu/);

    publishIndex(registry, channelIndex(5, [canary(NEW, null, { region: 'eu', ring: 'first' }), stable(OLD)]));
    await supply.pollNow();
    serves(supply, 11);
    const { role, rule, bundle: assigned, seq, signers } = supply.channel() ?? assert.fail();
    assert.deepEqual([role, rule, assigned, seq, signers], ['canary', 'region=eu,ring=first', NEW.digest, 5, ['p']]);
    assert.ok(events.some(({ message, fields }) => message === 'channel index taken' && fields['seq'] === 5));

    // By its place among gateways, and not before.
    const place = bucketOf(NEXT.digest, 'edge-1') / 100;
    publishIndex(registry, channelIndex(6, [canary(NEXT, Math.floor(place)), stable(NEW)]));
    await supply.pollNow();
    serves(supply, 11);
    publishIndex(registry, channelIndex(7, [canary(NEXT, Math.ceil(place + 0.01)), stable(NEW)]));
    await supply.pollNow();
    serves(supply, 12);
    assert.equal(supply.channel()?.bucket, place);
  });

  it('names nothing that looks as if it were not taken while that is on its way, and not one moment after it serves', async (t) => {
    const seen: (string | null)[] = [];
    const on: { supply?: { source(): { readonly seen: string | null } } } = {};
    const look = (): void => void (on.supply !== undefined && seen.push(on.supply.source().seen));
    const { registry, supply, serves } = await following(t, { serve: async () => look(), told: look });
    on.supply = supply;
    publishIndex(registry, channelIndex(4, [stable(NEW)]));
    await supply.pollNow();
    serves(supply, 11);
    const [activated, before] = [seen.indexOf(NEW.digest), seen.indexOf(OLD.digest)];
    assert.ok(before >= 0 && activated > before, String(seen));
    assert.deepEqual(new Set(seen), new Set([OLD.digest, NEW.digest]));
    assert.ok(
      seen.slice(activated).every((digest) => digest === NEW.digest),
      String(seen),
    );

    // What is refused is said.
    const unknown = bundle(13);
    registry.publish(unknown);
    publishIndex(registry, channelIndex(5, [stable(unknown)]));
    await supply.pollNow();
    assert.notEqual(supply.source().seen, NEW.digest);
  });

  it('goes back by a newer index, at once and as an endorsed act, as far as the floor allows', async (t) => {
    const { registry, supply, serves, refusal } = await following(t, { policy: { rollback: 'endorsed' } });
    publishIndex(registry, channelIndex(4, [stable(NEW)]));
    await supply.pollNow();
    serves(supply, 11);
    publishIndex(registry, channelIndex(5, [stable(OLD)]));
    await supply.pollNow();
    serves(supply, 10);
    assert.equal(supply.active()?.direction, 'rollback');
    const vulnerable = bundle(4);
    registry.publish(vulnerable, [KEY_A]);
    publishIndex(registry, channelIndex(6, [stable(vulnerable)]));
    await supply.pollNow();
    serves(supply, 10);
    assert.match(refusal(supply), /^below_floor/);
  });

  it('is remembered over a restart, and costs one HEAD while nothing changes', async (t) => {
    const { registry, supply, start, serves, index } = await following(t);
    await supply.close();
    registry.hook = (_, answer) => {
      answer.writeHead(503).end();
      return true;
    };
    const again = await start();
    await again.follow();
    serves(again, 10);
    assert.deepEqual([again.channel()?.digest, again.channel()?.why], [index, 'stable, for there is no canary']);
    registry.hook = undefined;
    await again.pollNow();
    registry.requests.length = 0;
    for (let i = 0; i < 5; i += 1) await again.pollNow();
    assert.deepEqual(
      registry.requests.map((item) => item.method),
      Array.from({ length: 5 }, () => 'HEAD'),
    );
  });

  it('may be followed by bundles at the tag, unless the trust policy wants an index', async (t) => {
    const { registry, supply, serves, retrust, refusal } = await following(t);
    registry.tags.set('prod', NEW.digest);
    await supply.pollNow();
    serves(supply, 11);
    assert.equal(supply.channel(), null);
    await retrust(supply, { keys: KEYS, channelIndex: 'required' });
    registry.tags.set('prod', NEXT.digest);
    await supply.pollNow();
    serves(supply, 11);
    assert.match(refusal(supply), /^index_required/);
    // What counted before is not forgotten meanwhile.
    publishIndex(registry, channelIndex(2, [stable(NEXT)]));
    await supply.pollNow();
    serves(supply, 11);
    assert.match(refusal(supply), /^rollback_not_endorsed/);
    publishIndex(registry, channelIndex(4, [stable(NEXT)]));
    await supply.pollNow();
    serves(supply, 12);
  });
});

describe('a seed with a channel index', () => {
  it('starts a gateway with the bundle that it assigns, also beyond its end, and is verified', async (t) => {
    const image = await temporaryLayout(t);
    for (const built of [OLD, NEW]) await publishSigned(image, built, [KEY_A], `r${built.digest.slice(7, 12)}`);
    const index = channelIndex(3, [canary(NEW, null, { region: 'eu' }), stable(OLD)], { expiresMs: NOW_MS - 1 });
    await publishChannel(image, index, [PROMOTER], 'latest');
    const seed = `oci:${image.directory}`;
    const gateway = { id: 'edge-1', labels: { region: 'eu' } };
    const { start, serves } = await suppliedBy(t, { seed, gateway, policy: { keys: KEYS } });
    serves(await start(), 11);
    const other = await suppliedBy(t, {
      seed,
      gateway,
      policy: { keys: [KEYS[0] ?? assert.fail(), KEYS[2] ?? assert.fail()] },
    });
    assert.equal((await other.start()).active(), null, 'of a promoter that is not trusted');
  });
});

describe('an arbitrary channel index', () => {
  it('without a signature, or with one of somebody else, is not taken', async (t) => {
    const { registry, refused, supply } = await following(t);
    publishIndex(registry, channelIndex(4, [stable(NEW)]), []);
    await refused(/unsigned/);
    assert.equal(supply.source().state, 'pending_signature');
    publishIndex(registry, channelIndex(5, [stable(NEW)]), [newKey()]);
    await refused(/wrong_key/);
  });

  it('signed by a builder is not taken: roles are apart', async (t) => {
    const { registry, refused } = await following(t);
    publishIndex(registry, channelIndex(4, [stable(NEW)]), [KEY_A]);
    await refused(/wrong_key/);
  });

  it('is not taken where no promoter is trusted', async (t) => {
    const { registry, supply, serves, retrust, refusal } = await following(t);
    await retrust(supply, { keys: [trusted('a', KEY_A)] });
    publishIndex(registry, channelIndex(4, [stable(NEW)]));
    await supply.pollNow();
    serves(supply, 10);
    assert.match(refusal(supply), /^wrong_artifact_type: .*no key of the role promoter/);
  });

  it('that names a bundle of nobody we trust, though a promoter signed it, brings nothing in', async (t) => {
    const { registry, supply, serves, refusal } = await following(t);
    const evil = bundle(11, { mark: 'evil' });
    registry.publish(evil, [newKey()]);
    publishIndex(registry, channelIndex(4, [stable(evil)]));
    await supply.pollNow();
    serves(supply, 10);
    assert.match(refusal(supply) + supply.source().lastError, /wrong_key|not trusted/);
    // Nor by a promoter who is no builder.
    const own = bundle(13);
    registry.publish(own, [PROMOTER]);
    publishIndex(registry, channelIndex(5, [stable(own)]));
    await supply.pollNow();
    serves(supply, 10);
  });
});

describe('a stolen promoter key', () => {
  it('is not enough where two are needed: keys are counted, not signatures', async (t) => {
    const { registry, refused, supply, serves } = await following(t, { policy: { promoterThreshold: 2 } });
    publishIndex(registry, channelIndex(4, [stable(NEW)]), [PROMOTER, PROMOTER]);
    await refused(/below_threshold|signed by 1 of 2/);
    publishIndex(registry, channelIndex(4, [stable(NEW)]), [PROMOTER, PROMOTER_B]);
    await supply.pollNow();
    serves(supply, 11);
  });

  it('that was revoked moves nothing', async (t) => {
    const { registry, refused, retrust, supply } = await following(t);
    await retrust(supply, {
      keys: [...KEYS.slice(0, 1), trusted('p', PROMOTER, { roles: ['promoter'], status: 'revoked' }), ...KEYS.slice(2)],
    });
    publishIndex(registry, channelIndex(4, [stable(NEW)]));
    await refused(/revoked_key|revoked/);
  });

  it('locks nobody out: a raised epoch without it begins anew, and older indexes do not count in it', async (t) => {
    const { registry, supply, serves, retrust, refusal } = await following(t);
    publishIndex(registry, channelIndex(SEQ_JUMP_MAX, [stable(NEW)]));
    await supply.pollNow();
    serves(supply, 11);
    await retrust(supply, { epoch: 2, keys: [...KEYS.slice(0, 1), ...KEYS.slice(2)] });
    publishIndex(registry, channelIndex(4, [stable(NEXT)]), [PROMOTER_B]);
    await supply.pollNow();
    serves(supply, 11);
    assert.match(refusal(supply), /^epoch_regressed/);
    publishIndex(registry, channelIndex(1, [stable(NEXT)], { epoch: 2 }), [PROMOTER_B]);
    await supply.pollNow();
    serves(supply, 12);
  });
});

describe('a wrong channel index', () => {
  for (const [what, more] of [
    ['another product', { product: 'other' }],
    ['staging', { channel: 'staging' }],
  ] as [string, Partial<ChannelIndex>][])
    it(`that was rightly signed for ${what} is not taken`, async (t) => {
      const { registry, refused } = await following(t);
      publishIndex(registry, channelIndex(4, [stable(NEW)], more));
      await refused(/^audience_mismatch/);
    });

  it('does not get a bundle of another channel in', async (t) => {
    const { registry, supply, serves, refusal } = await following(t);
    const staging = bundle(11, { release: { audience: { channels: ['staging'] } } });
    registry.publish(staging, [KEY_A]);
    publishIndex(registry, channelIndex(4, [stable(staging)]));
    await supply.pollNow();
    serves(supply, 10);
    assert.match(refusal(supply), /^audience_mismatch/);
  });
});

describe('a replayed channel index', () => {
  it('is not taken: an index only goes forward, also over a restart', async (t) => {
    const { registry, supply, serves, refusal, start } = await following(t);
    publishIndex(registry, channelIndex(5, [stable(NEW)]));
    await supply.pollNow();
    serves(supply, 11);
    publishIndex(registry, channelIndex(4, [stable(OLD)]));
    await supply.pollNow();
    serves(supply, 11);
    assert.match(refusal(supply), /^rollback_not_endorsed/);
    await supply.close();
    const again = await start();
    await again.follow();
    serves(again, 11);
    assert.match(refusal(again), /^rollback_not_endorsed/);
  });

  it('counts as seen even when its bundle was not taken', async (t) => {
    const { registry, supply, serves, refusal } = await following(t);
    const staging = bundle(13, { release: { audience: { channels: ['staging'] } } });
    registry.publish(staging, [KEY_A]);
    publishIndex(registry, channelIndex(5, [stable(staging)]));
    await supply.pollNow();
    publishIndex(registry, channelIndex(4, [stable(NEW)]));
    await supply.pollNow();
    serves(supply, 10);
    assert.match(refusal(supply), /^rollback_not_endorsed/);
  });

  it('with the number of another is told', async (t) => {
    const { registry, refused } = await following(t);
    publishIndex(registry, channelIndex(3, [stable(NEW)]));
    await refused(/^equivocation/);
  });

  it('by a jump of the counter is not taken', async (t) => {
    const { registry, refused } = await following(t);
    publishIndex(registry, channelIndex(3 + SEQ_JUMP_MAX + 1, [stable(NEW)]));
    await refused(/^seq_jump/);
  });
});

describe('a freeze of a channel', () => {
  it('is told when the index has ended; traffic goes on, and a newer one ends it', async (t) => {
    const { registry, supply, clock, serves, start } = await following(t);
    publishIndex(registry, channelIndex(4, [stable(NEW)], { expiresMs: NOW_MS + 3_600_000 }));
    await supply.pollNow();
    serves(supply, 11);
    clock.nowMs += 3_600_001;
    await supply.pollNow();
    assert.match(supply.source().staleReason ?? '', /the channel index.* ended/);
    assert.equal(supply.source().state, 'current');
    await supply.close();
    const again = await start();
    await again.follow();
    serves(again, 11);
    assert.equal(again.source().stale, true, 'what counted is not forgotten, only old');
    publishIndex(registry, channelIndex(5, [stable(NEW)], { expiresMs: clock.nowMs + 3_600_000 }));
    await again.pollNow();
    assert.equal(again.source().stale, false);
  });

  it('is told when the index has ended, also where the tag names a bundle that is not taken', async (t) => {
    const { registry, supply, refused, clock } = await following(t);
    registry.publish(bundle(13), [newKey()]);
    registry.tags.set('prod', bundle(13).digest);
    await refused(/key_not_trusted|untrusted|no signature|signature/);
    assert.equal(supply.channel()?.seq, 3, 'who is not trusted ends nothing');
    clock.nowMs += 31 * 86_400_000;
    await supply.pollNow();
    assert.match(supply.source().staleReason ?? '', /the channel index, or the keys that signed it, ended/);
  });

  it('gets no ended index into a gateway that has not seen it', async (t) => {
    const { registry, refused } = await following(t);
    publishIndex(registry, channelIndex(4, [stable(NEW)], { expiresMs: NOW_MS - 1 }));
    await refused(/^expired/);
  });
});

describe('bytes of a channel index', () => {
  it('that were altered are not what was signed', async (t) => {
    const { registry, refused, index } = await following(t);
    const { bytes, descriptor } = assembleChannelIndex(channelIndex(4, [stable(NEW)]));
    const other = Buffer.from(Buffer.from(bytes).toString().replace(NEW.digest, NEXT.digest));
    // Under the right digest, and under its own with the signature of the right one.
    const right = publishIndex(registry, channelIndex(4, [stable(NEW)]));
    registry.manifests.set(right, { bytes: other, type: OCI_INDEX });
    await refused(/digest_mismatch|holds|other bytes|sha256/);
    const digest = digestOf(other);
    registry.manifests.set(digest, { bytes: other, type: OCI_INDEX });
    registry.referrers.set(digest, registry.referrers.get(descriptor.digest) ?? []);
    registry.tags.set('prod', digest);
    await refused(/unsigned|subject/);
    assert.notEqual(index, digest);
  });

  it('that two readers would read as two things are refused', async (t) => {
    const { registry, refused } = await following(t);
    const { bytes } = assembleChannelIndex(channelIndex(4, [stable(NEW)]));
    const text = Buffer.from(bytes).toString();
    for (const [other, type, reason] of [
      [text.replace('{', '{"layers":[],'), OCI_INDEX, /ambiguous_manifest/],
      [text.replace('"schemaVersion":2', '"schemaVersion":2,"schemaVersion":2'), OCI_INDEX, /malformed_json/],
      [text, OCI_MANIFEST, /media_type_mismatch/],
    ] as const) {
      const altered = Buffer.from(other);
      const digest = digestOf(altered);
      registry.manifests.set(digest, { bytes: altered, type });
      registry.tags.set('prod', digest);
      await refused(reason);
    }
  });

  it('that name a bundle of another size are refused', async (t) => {
    const { registry, supply, serves, refusal } = await following(t);
    publishIndex(registry, channelIndex(4, [{ ...stable(NEW), size: 5 }]));
    await supply.pollNow();
    serves(supply, 10);
    assert.match(refusal(supply), /^malformed_manifest: .*5 bytes/);
  });
});
