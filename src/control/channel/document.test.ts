import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { digestOf } from '../oci/digest.ts';
import { canonicalJsonBytes } from '../oci/json.ts';
import { assign, bucketOf } from './assign.ts';
import {
  assembleChannelIndex,
  BUCKETS,
  type ChannelIndex,
  type ChannelRule,
  parseChannelIndex,
  percentOf,
  selectorOf,
  selectorText,
} from './document.ts';

const digest = (text: string) => digestOf(new TextEncoder().encode(text));
const entry = (text: string, rule: ChannelRule) => ({ digest: digest(text), size: 100, rule });
const stable = entry('stable', { role: 'stable' });
const canary = (percent: number | null, selector: Record<string, string> = {}, text = 'canary') =>
  entry(text, { role: 'canary', percent, selector });

function index(more: Partial<ChannelIndex> = {}): ChannelIndex {
  const { entries = [stable] } = more;
  return {
    product: 'edge',
    channel: 'prod',
    seq: 7,
    epoch: 1,
    madeMs: Date.parse('2026-11-21T00:00:00Z'),
    expiresMs: Date.parse('2026-12-21T00:00:00Z'),
    ...more,
    entries,
  };
}

describe('a channel index', () => {
  it('is read as it was written', () => {
    for (const one of [
      index(),
      index({ entries: [canary(10), stable] }),
      index({ entries: [canary(null, { region: 'eu', ring: 'x' }), canary(0.25), stable] }),
      index({ former: digest('before') }),
      index({ rolledBack: { digest: digest('bad'), reason: 'it failed' } }),
    ]) {
      const { bytes, descriptor } = assembleChannelIndex(one);
      const read = parseChannelIndex(bytes);
      assert.equal(JSON.stringify(assembleChannelIndex(read).descriptor), JSON.stringify(descriptor));
      assert.deepEqual({ ...read, entries: [] }, { ...one, entries: [] });
      assert.deepEqual(
        read.entries.map((e) => ({ ...e.rule, ...('selector' in e.rule ? { selector: { ...e.rule.selector } } : {}) })),
        one.entries.map((e) => e.rule),
      );
    }
  });

  type Written = {
    manifests: { annotations: Record<string, string>; [name: string]: unknown }[];
    [name: string]: unknown;
  };
  const at = (written: Written, i: number) => written.manifests[i] ?? assert.fail();
  const of = (written: Written) => written['annotations'] as Record<string, string>;
  for (const [what, change, reason] of [
    ['no stable', (w) => void w.manifests.pop(), /one manifest of the role stable/],
    ['two stable', (w) => void w.manifests.push(at(w, 1)), /one manifest of the role stable/],
    ['stable before a canary', (w) => void w.manifests.reverse(), /one manifest of the role stable/],
    ['another role', (w) => void (at(w, 0).annotations['cloudnexus.edge.role'] = 'shadow'), /stable or canary/],
    ['no role', (w) => void delete at(w, 0).annotations['cloudnexus.edge.role'], /cloudnexus.edge.role/],
    ['a rule that nobody knows', (w) => void (at(w, 0).annotations['cloudnexus.edge.unless'] = 'x'), /not known here/],
    ['a word that nobody knows', (w) => void (of(w)['cloudnexus.edge.until'] = 'x'), /not known here/],
    [
      'a canary for nobody in particular',
      (w) => void delete at(w, 0).annotations['cloudnexus.edge.weight'],
      /a weight, a selector/,
    ],
    ['a share for stable', (w) => void (at(w, 1).annotations['cloudnexus.edge.weight'] = '5'), /without weight/],
    ['more than all', (w) => void (at(w, 0).annotations['cloudnexus.edge.weight'] = '101'), /percent/],
    ['a share in another spelling', (w) => void (at(w, 0).annotations['cloudnexus.edge.weight'] = '1e1'), /percent/],
    [
      'a selector without a value',
      (w) => void (at(w, 0).annotations['cloudnexus.edge.selector'] = 'region'),
      /label=value/,
    ],
    ['a label twice', (w) => void (at(w, 0).annotations['cloudnexus.edge.selector'] = 'a=1,a=2'), /label=value/],
    ['something that is no manifest', (w) => void (at(w, 0)['mediaType'] = 'application/wasm'), /mediaType/],
    ['a manifest of a gigabyte', (w) => void (at(w, 0)['size'] = 2 ** 30), /size/],
    ['no number', (w) => void delete of(w)['cloudnexus.edge.seq'], /cloudnexus.edge.seq/],
    ['a number in another spelling', (w) => void (of(w)['cloudnexus.edge.seq'] = '07'), /a whole number/],
    ['a number that no double holds', (w) => void (of(w)['cloudnexus.edge.seq'] = '9007199254740993'), /whole number/],
    ['no end', (w) => void delete of(w)['cloudnexus.edge.expires'], /cloudnexus.edge.expires/],
    ['an end that is no time', (w) => void (of(w)['cloudnexus.edge.expires'] = 'never'), /UTC time/],
    ['a subject', (w) => void (w['subject'] = { mediaType: 'a/b', digest: digest('x'), size: 1 }), /subject/],
    ['another artifactType', (w) => void (w['artifactType'] = 'a/b'), /artifactType/],
    [
      'a hundred bundles',
      (w) => void w.manifests.unshift(...Array.from({ length: 100 }, () => structuredClone(at(w, 0)))),
      /at most 16/,
    ],
  ] as [string, (written: Written) => void, RegExp][]) {
    it(`with ${what} is refused`, () => {
      const { bytes } = assembleChannelIndex(index({ entries: [canary(10), stable] }));
      const written = JSON.parse(Buffer.from(bytes).toString()) as Written;
      change(written);
      assert.throws(() => parseChannelIndex(canonicalJsonBytes(written)), { name: 'Rejection', message: reason });
    });
  }

  it('with anything in its places is refused with a reason, or means what is written again from it', () => {
    const place = fc.constantFrom(
      'role',
      'weight',
      'selector',
      'seq',
      'epoch',
      'expires',
      'product',
      'former',
      'rolled-back',
    );
    const value = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom('stable', 'canary', '10', '0.1', 'a=b', 'a=b,c=d', '9007199254740991', '2027-01-01T00:00:00Z'),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(2), place, value), { maxLength: 4 }), (changes) => {
        const { bytes } = assembleChannelIndex(index({ entries: [canary(10), stable] }));
        const written = JSON.parse(Buffer.from(bytes).toString()) as Written;
        for (const [where, name, text] of changes)
          (where === 2 ? of(written) : at(written, where).annotations)[`cloudnexus.edge.${name}`] = text.toWellFormed();
        let read: ChannelIndex;
        try {
          read = parseChannelIndex(canonicalJsonBytes(written));
        } catch (error) {
          assert.equal((error as Error).name, 'Rejection');
          return;
        }
        assert.deepEqual(parseChannelIndex(assembleChannelIndex(read).bytes), read);
        assert.ok(['stable', 'canary'].includes(assign(read, { id: 'edge-1', labels: {} }).role));
      }),
    );
  });

  it('has one spelling for shares and selectors', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const percent = percentOf(text);
        if (percent !== undefined) assert.ok(percent >= 0 && percent <= 100);
        const selector = selectorOf(text);
        if (selector !== undefined) assert.equal(selectorText(selector), text);
      }),
    );
    assert.deepEqual(['0', '0.5', '10', '100', '100.01', '.5', '1.', '1.234', '-1', '', '01'].map(percentOf), [
      0,
      0.5,
      10,
      100,
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    assert.equal(selectorOf('__proto__=x'), undefined);
  });
});

describe('which bundle a gateway runs', () => {
  const of = (entries: ChannelIndex['entries'], id: string, labels: Record<string, string> = {}) =>
    assign(index({ entries }), { id, labels });

  it('is the same whenever it is asked, and whoever has a canary keeps it as its share grows', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.integer({ min: 0, max: 100 }), fc.nat(100), (id, a, b) => {
        const [small, large] = [Math.min(a, b), Math.max(a, b)];
        const first = of([canary(small), stable], id);
        assert.deepEqual(first, of([canary(small), stable], id));
        if (first.role === 'canary') assert.equal(of([canary(large), stable], id).role, 'canary');
      }),
    );
  });

  it('follows the share: nobody at 0, all at 100, and about that many in between', () => {
    const ids = Array.from({ length: 20_000 }, (_, i) => `edge-${i}`);
    const having = (percent: number) => ids.filter((id) => of([canary(percent), stable], id).role === 'canary').length;
    assert.equal(having(0), 0);
    assert.equal(having(100), ids.length);
    // Five standard deviations.
    for (const percent of [1, 10, 50]) {
      const p = percent / 100;
      const sigma = Math.sqrt(ids.length * p * (1 - p));
      assert.ok(Math.abs(having(percent) - ids.length * p) < 5 * sigma, `${percent} %: ${having(percent)}`);
    }
  });

  it('begins with other gateways for another bundle', () => {
    const ids = Array.from({ length: 1_000 }, (_, i) => `edge-${i}`);
    const first = (text: string) =>
      new Set(ids.filter((id) => of([canary(10, {}, text), stable], id).role === 'canary'));
    const [one, other] = [first('one'), first('other')];
    const both = [...one].filter((id) => other.has(id));
    assert.ok(both.length < one.size / 2, `${both.length} of ${one.size}`);
    assert.ok(ids.every((id) => bucketOf(digest('x'), id) < BUCKETS));
  });

  it('is that of the first rule that holds, and the reason says which', () => {
    const entries = [canary(null, { ring: 'first' }), canary(null, { gateway: 'edge-7' }, 'own'), canary(0), stable];
    assert.match(of(entries, 'edge-1', { ring: 'first' }).why, /^canary, by ring=first$/);
    const own = of(entries, 'edge-7');
    assert.equal(own.entry.digest, digest('own'));
    assert.match(own.why, /^canary, by gateway=edge-7$/);
    const other = of(entries, 'edge-1', { ring: 'last' });
    assert.equal(other.role, 'stable');
    assert.match(
      other.why,
      /^stable, for ring=first is not for a gateway with ring=last; gateway=edge-7 .*edge-1 is at \d+\.\d\d, beyond 0 %$/,
    );
    assert.match(of(entries, 'edge-1').why, /no label ring/);
    assert.equal(of([stable], 'edge-1').why, 'stable, for there is no canary');
    assert.match(
      of([canary(100, { ring: 'first' }), stable], 'x', { ring: 'first' }).why,
      /by 100 % of ring=first: x is at/,
    );
    // Names that every object has are no labels.
    assert.equal(of([canary(null, { constructor: 'x' }), stable], 'x').role, 'stable');
  });
});
