import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Digest, digestOf } from '../../src/control/oci/digest.ts';
import { Rejection } from '../../src/control/oci/rejection.ts';
import { prepareTrust, type TrustedKey, TrustPolicyError } from '../../src/control/trust/policy.ts';
import {
  EMPTY_SEQUENCE,
  judgeAudience,
  judgeOrder,
  SEQ_JUMP_MAX,
  type SequenceState,
} from '../../src/control/trust/rules.ts';
import { spkiBase64 } from '../../src/cli/keygen.ts';
import { GATEWAY, KEY_A, KEY_B, newKey, policy, release, trusted } from './harness/sample.ts';

const digest = (seq: number, mark = ''): Digest => digestOf(new TextEncoder().encode(`${seq}${mark}`));

describe('a trust policy', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const p384 = generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).privateKey;
  for (const [what, more, message] of [
    ['no keys', { keys: [] }, /keys must be a list of 1 to 32/],
    [
      'a key of another type than it says',
      { keys: [trusted('a', KEY_A, { alg: 'ecdsa-p256' })] },
      /keys\[0\]\.spki is ed25519, but alg says ecdsa-p256/,
    ],
    ['another curve', { keys: [trusted('a', p384, { alg: 'ecdsa-p256' })] }, /keys\[0\]\.spki is a ec key/],
    ['RSA', { keys: [trusted('a', rsa)] }, /is a rsa key/],
    ['PEM instead of base64', { keys: [trusted('a', KEY_A, { spki: '-----BEGIN PUBLIC KEY-----' })] }, /is not base64/],
    [
      'base64 of something else',
      { keys: [trusted('a', KEY_A, { spki: 'AAAA' })] },
      /is not a DER SubjectPublicKeyInfo/,
    ],
    [
      'the same key under two names',
      { keys: [trusted('a', KEY_A), trusted('b', KEY_A)] },
      /keys\[1\] has the same public key as keys\[0\]/,
    ],
    [
      'one name for two keys',
      { keys: [trusted('a', KEY_A), trusted('a', KEY_B)] },
      /keys\[1\] has the same id as keys\[0\]/,
    ],
    ['a threshold that cannot be reached', { threshold: 3 }, /threshold is 3, but only 2 keys/],
    [
      'a threshold that revoked keys would have to reach',
      { threshold: 2, keys: [trusted('a', KEY_A), trusted('b', KEY_B, { status: 'revoked' })] },
      /only 1 keys/,
    ],
    [
      'a threshold that other roles would have to reach',
      { keys: [trusted('a', KEY_A, { roles: ['promoter'] })] },
      /only 0 keys/,
    ],
    ['a threshold of nothing', { threshold: 0 }, /threshold must be a whole number from 1/],
    ['a time that is none', { keys: [trusted('a', KEY_A, { notAfter: 'soon' })] }, /keys\[0\]\.notAfter/],
    ['no product', { product: '' }, /product must be a name/],
    ['a negative epoch', { epoch: -1 }, /epoch must be a whole number/],
  ] as const) {
    it(`is refused with ${what}`, () => {
      assert.throws(
        () =>
          prepareTrust(policy({ ...more, ...('keys' in more ? { keys: more.keys as readonly TrustedKey[] } : {}) })),
        (error: Error) => error instanceof TrustPolicyError && message.test(error.message),
      );
    });
  }

  it('reads the base64 that keygen prints', () => {
    const key = newKey('ecdsa-p256');
    assert.equal(prepareTrust(policy({ keys: [trusted('x', key)] })).keys[0]?.id, 'x');
    assert.match(spkiBase64(key), /^MFkw/);
  });
});

describe('the order of releases', () => {
  const state: SequenceState = {
    epoch: 1,
    highestSeq: 10,
    highestDigest: digest(10),
    floor: 5,
    known: [9, 8].map((seq) => ({ seq, digest: digest(seq) })),
    active: digest(9),
  };
  for (const [what, seq, mark, mode, more, expected] of [
    ['a newer release', 11, '', 'tag', {}, 'new'],
    ['a newer release after a gap', 500, '', 'tag', {}, 'new'],
    ['what is active', 9, '', 'tag', {}, 'same'],
    ['the highest again after a rollback', 10, '', 'tag', {}, 'rollback'],
    ['an older release that the tag points to again', 7, '', 'tag', {}, 'rollback'],
    ['a release at the floor', 5, '', 'tag', {}, 'rollback'],
    ['a release below the floor', 4, '', 'tag', {}, 'below_floor'],
    ['a release below the policy minimum', 7, '', 'tag', { minSeq: 8 }, 'below_floor'],
    ['another bundle with the highest sequence', 10, 'x', 'tag', {}, 'equivocation'],
    ['another bundle with a kept sequence', 8, 'x', 'tag', {}, 'equivocation'],
    ['a step over the limit', 11 + SEQ_JUMP_MAX, '', 'tag', {}, 'seq_jump'],
    ['a step at the limit', 10 + SEQ_JUMP_MAX, '', 'tag', {}, 'new'],
    ['a clock for a counter', Number.MAX_SAFE_INTEGER, '', 'tag', {}, 'seq_jump'],
    ['a newer release', 11, '', 'endorsed', {}, 'new'],
    ['an older release', 7, '', 'endorsed', {}, 'rollback_not_endorsed'],
    ['what is active', 9, '', 'endorsed', {}, 'same'],
    ['the highest again', 10, '', 'endorsed', {}, 'rollback'],
    ['another bundle with the highest sequence', 10, 'x', 'endorsed', {}, 'equivocation'],
    ['an older release below the floor', 4, '', 'endorsed', {}, 'below_floor'],
    ['a low release after the epoch was raised', 1, '', 'tag', { epoch: 2 }, 'new'],
    ['a low release after the epoch was raised', 1, '', 'endorsed', { epoch: 2 }, 'new'],
    ['any release under an older policy', 11, '', 'tag', { epoch: 0 }, 'epoch_regressed'],
  ] as const) {
    it(`${mode}: ${what} is ${expected}`, () => {
      const judge = () => judgeOrder({ seq, floor: 0 }, digest(seq, mark), policy({ rollback: mode, ...more }), state);
      if (expected === 'new' || expected === 'same' || expected === 'rollback') assert.equal(judge(), expected);
      else assert.throws(judge, { code: expected });
    });
  }

  it('is open to anything on a new gateway, within a step above the minimum', () => {
    assert.equal(judgeOrder({ seq: 1, floor: 0 }, digest(1), policy(), EMPTY_SEQUENCE), 'new');
    assert.throws(() => judgeOrder({ seq: SEQ_JUMP_MAX + 1, floor: 0 }, digest(1), policy(), EMPTY_SEQUENCE), {
      code: 'seq_jump',
    });
    assert.equal(
      judgeOrder({ seq: SEQ_JUMP_MAX + 1, floor: 0 }, digest(1), policy({ minSeq: 100 }), EMPTY_SEQUENCE),
      'new',
    );
  });

  it('lets a kept bundle serve again at boot where a candidate would need to be endorsed, never below the floor', () => {
    const endorsed = policy({ rollback: 'endorsed' });
    assert.equal(judgeOrder({ seq: 8, floor: 0 }, digest(8), endorsed, state, 'kept'), 'rollback');
    assert.throws(() => judgeOrder({ seq: 4, floor: 0 }, digest(4), endorsed, state, 'kept'), { code: 'below_floor' });
  });

  it('never activates below the floor or twice one number, whatever has happened before', () => {
    const arbitrary = fc.record({
      highestSeq: fc.nat(40),
      floor: fc.nat(40),
      kept: fc.uniqueArray(fc.nat(40), { maxLength: 6 }),
      seq: fc.nat(60),
      mark: fc.constantFrom('', 'x'),
      mode: fc.constantFrom('tag' as const, 'endorsed' as const),
    });
    fc.assert(
      fc.property(arbitrary, ({ highestSeq, floor, kept, seq, mark, mode }) => {
        const remembered: SequenceState = {
          epoch: 1,
          highestSeq,
          highestDigest: digest(highestSeq),
          floor,
          known: kept.map((item) => ({ seq: item, digest: digest(item) })),
          active: undefined,
        };
        try {
          judgeOrder({ seq, floor: 0 }, digest(seq, mark), policy({ rollback: mode }), remembered);
        } catch (error) {
          assert.ok(error instanceof Rejection);
          return;
        }
        assert.ok(seq >= floor);
        if (mark !== '') assert.ok(seq !== highestSeq && !kept.includes(seq));
        if (mode === 'endorsed') assert.ok(seq >= highestSeq);
      }),
    );
  });
});

describe('the audience', () => {
  for (const [what, more, own, expected] of [
    ['a channel among several', { audience: { channels: ['dev', 'prod'] } }, {}, undefined],
    ['another product', { product: 'other' }, {}, 'audience_mismatch'],
    ['another channel', { audience: { channels: ['dev'] } }, {}, 'audience_mismatch'],
    [
      'our label',
      { audience: { channels: ['prod'], selector: { region: 'eu' } } },
      { labels: { region: 'eu' } },
      undefined,
    ],
    [
      'another label',
      { audience: { channels: ['prod'], selector: { region: 'us' } } },
      { labels: { region: 'eu' } },
      'audience_mismatch',
    ],
    [
      'a label that we do not have',
      { audience: { channels: ['prod'], selector: { region: 'eu' } } },
      {},
      'audience_mismatch',
    ],
    [
      'a label that every object has',
      { audience: { channels: ['prod'], selector: { toString: 'x' } } },
      { labels: {} },
      'audience_mismatch',
    ],
    ['this version', { minGateway: '1.2.3' }, {}, undefined],
    ['an older version', { minGateway: '1.2.2' }, {}, undefined],
    ['a newer patch', { minGateway: '1.2.4' }, {}, 'gateway_too_old'],
    ['a newer minor version', { minGateway: '1.10.0' }, {}, 'gateway_too_old'],
    ['what we have', { requires: ['waf.v1'] }, {}, undefined],
    ['what we do not have', { requires: ['waf.v1', 'waf.v9'] }, {}, 'unsupported_feature'],
  ] as const) {
    it(`${expected === undefined ? 'takes' : 'refuses'} a bundle for ${what}`, () => {
      const judge = () => judgeAudience(release(1, more), policy(own), GATEWAY);
      if (expected === undefined) judge();
      else assert.throws(judge, { code: expected });
    });
  }
});
