/** The trust policy file, changed while a gateway runs. */
import assert from 'node:assert/strict';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { readTrustFile, TrustFile } from '../../src/control/trust/file.ts';
import type { Trust } from '../../src/control/trust/policy.ts';
import { KEY_A, KEY_B, newKey, policy, temporaryDirectory, trusted } from './harness/sample.ts';

async function world(t: TestContext) {
  const file = join(await temporaryDirectory(t), 'trust.yaml');
  const write = (value: unknown): void => {
    writeFileSync(`${file}.new`, typeof value === 'string' ? value : JSON.stringify(value));
    renameSync(`${file}.new`, file);
  };
  write(policy());
  const taken: Trust[] = [];
  const refused: string[] = [];
  const followed = new TrustFile({
    file,
    trust: await readTrustFile(file),
    take: async (trust) => void taken.push(trust),
    refused: (reason) => refused.push(reason),
  });
  /** A change counts when two looks in a row saw the same. */
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 3; i += 1) await followed.look();
  };
  await settle();
  return { file, write, taken, refused, followed, settle };
}

describe('the trust policy file', () => {
  it('is not taken with a day that there is not, which would be another', async (t) => {
    const { file, write } = await world(t);
    write(policy({ keys: [trusted('a', KEY_A, { notAfter: '2027-02-31' })] }));
    await assert.rejects(
      readTrustFile(file),
      /trust\.yaml:1:\d+: \/keys\/0\/notAfter: "2027-02-31" is a day that the calendar has not/,
    );
  });

  it('is not taken again while it says the same, however often it is written', async (t) => {
    const { write, taken, refused, settle } = await world(t);
    write(policy());
    await settle();
    assert.deepEqual([taken.length, refused.length], [0, 0]);
  });

  it('is taken when it has changed and come to rest: keys added, revoked, removed, a raised epoch', async (t) => {
    const { write, taken, followed, settle } = await world(t);
    const third = newKey();
    for (const [i, next] of [
      policy({ keys: [trusted('a', KEY_A), trusted('b', KEY_B), trusted('c', third)] }),
      policy({ keys: [trusted('a', KEY_A, { status: 'revoked' }), trusted('c', third)] }),
      policy({ keys: [trusted('c', third)], epoch: 2 }),
      policy({ keys: [trusted('c', third)], epoch: 2, rollback: 'endorsed' }),
    ].entries()) {
      write(next);
      await followed.look();
      assert.equal(taken.length, i, 'not at the first sight');
      await settle();
      assert.equal(taken.length, i + 1);
    }
    assert.deepEqual(
      taken.map(({ policy: p, keys }) => [p.epoch, keys.map((key) => key.id).join(), p.rollback]),
      [
        [1, 'a,b,c', 'tag'],
        [1, 'a,c', 'tag'],
        [2, 'c', 'tag'],
        [2, 'c', 'endorsed'],
      ],
    );
  });

  for (const [what, next, message] of [
    ['no YAML', '{', /trust\.yaml:1/],
    ['no keys', policy({ keys: [] }), /keys: 0 items/],
    ['an unknown field', { ...policy(), chanel: 'x' }, /unknown key "chanel"/],
    [
      'only revoked keys',
      policy({ keys: [trusted('a', KEY_A, { status: 'revoked' })] }),
      /only 0 keys that are not revoked/,
    ],
    [
      'a key of another kind than it says',
      policy({ keys: [{ ...trusted('a', KEY_A), alg: 'ecdsa-p256' }] }),
      /is ed25519, but alg says/,
    ],
    ['a lower epoch', policy({ epoch: 0 }), /epoch is 0, but 1 counts already/],
    [
      'a threshold of promoters that cannot be reached',
      policy({ promoterThreshold: 2, keys: [trusted('a', KEY_A, { roles: ['builder', 'promoter'] })] }),
      /only 1 keys that are not revoked have the role promoter/,
    ],
    ['a revoked bundle that is no digest', { ...policy(), revokedBundles: ['sha256:1'] }, /revokedBundles/],
  ] as const) {
    it(`is refused with ${what}; the former one counts on until it is mended`, async (t) => {
      const { write, taken, refused, followed, settle } = await world(t);
      write(next);
      await settle();
      assert.deepEqual([taken.length, refused.length], [0, 1], 'said once');
      assert.match(refused[0] ?? '', message);
      assert.match(followed.refusal ?? '', message);
      write(policy({ minSeq: 3 }));
      await settle();
      assert.deepEqual([taken.length, followed.refusal], [1, null]);
    });
  }

  it('may be gone for a while', async (t) => {
    const { file, write, taken, followed, settle } = await world(t);
    rmSync(file);
    await settle();
    assert.match(followed.refusal ?? '', /ENOENT/);
    write(policy());
    await settle();
    assert.deepEqual([taken.length, followed.refusal], [0, null]);
    await followed.stop();
  });
});
