/** Both sides of the shared memory read and write the same places. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { present } from '../../../base/assert.ts';
import { CLIENT_CLAIMS } from '../claims.ts';
import { FailReason } from '../transport.ts';
import * as layout from './layout.ts';

const source = readFileSync(new URL('../../../../native/transport/src/layout.rs', import.meta.url), 'utf8');

/** What follows an opening line up to the brace that closes it at the margin. */
function block(opening: RegExp): string {
  const found = present(opening.exec(source), String(opening));
  const rest = source.slice(found.index + found[0].length);
  return rest.slice(0, rest.search(/\n[}\]]/));
}

/** `pub const NAME: type = expression;` with what constants before it say. */
function constants(text: string): Map<string, number> {
  const known = new Map<string, number>();
  for (const [, name = '', expression = ''] of text.matchAll(/pub const (\w+): (?:usize|i32|u8) = ([^;]+);/g)) {
    const terms = expression.replace(/\w+/g, (word) => String(known.get(word) ?? word)).split(/\s+([-+*]|<<)\s+/);
    const value = terms.reduce((sum, term, i) => {
      if (i % 2 === 0) return i === 0 ? Number(term) : sum;
      const next = Number(terms[i + 1]);
      return term === '+' ? sum + next : term === '-' ? sum - next : term === '*' ? sum * next : sum << next;
    }, 0);
    assert.ok(Number.isInteger(value), `${name} = ${expression}`);
    known.set(name, value);
  }
  return known;
}

const sameEntries = (ours: Readonly<Record<string, number>>, theirs: ReadonlyMap<string, number>): void =>
  assert.deepEqual(new Map(Object.entries(ours)), theirs);

describe('what a client may not say', () => {
  it('is the same list on both sides', () => {
    const fields = readFileSync(new URL('../../../../native/transport/src/engine/fields.rs', import.meta.url), 'utf8');
    const list = /const CLIENT_CLAIMS: [^=]+= \[([^\]]+)\]/.exec(fields)?.[1] ?? '';
    assert.deepEqual(
      [...list.matchAll(/"([^"]+)"/g)].map(([, name]) => name),
      [...CLIENT_CLAIMS],
    );
  });
});

describe('the shared memory', () => {
  it('has the same sizes and places on both sides', () => {
    const theirs = constants(source);
    for (const [name, value] of Object.entries(layout)) {
      if (typeof value === 'number') assert.equal(value, theirs.get(name), name);
    }
  });

  it('has the same words, flags, edits, verdicts and events', () => {
    sameEntries(layout.Word, constants(block(/pub mod word \{/)));
    sameEntries(layout.Answer, constants(block(/pub mod answer \{/)));
    sameEntries(layout.Flag, constants(block(/pub mod flag \{/)));
    sameEntries(layout.Edit, constants(block(/pub mod edit \{/)));
    sameEntries(layout.Decided, constants(block(/pub mod verdict \{/)));
    sameEntries(layout.Event, constants(block(/pub mod event \{/)));
  });

  it('has the same faults and reasons in the same order', () => {
    const variants = (opening: RegExp): string[] =>
      [...block(opening).matchAll(/^ {4}(\w+) = (\d+),/gm)].map(([, name, n]) => `${name} ${n}`);
    const camel = (code: string): string => code.replace(/(?:^|_)(\w)/g, (_, c: string) => c.toUpperCase());
    assert.deepEqual(
      layout.FAULTS.flatMap((code, i) => (code === null ? [] : [`${camel(code).replace('Method', '')} ${i}`])),
      variants(/pub enum Fault \{/),
    );
    assert.deepEqual(
      Object.entries(FailReason).map(([name, n]) => `${name} ${n}`),
      variants(/pub enum FailReason \{/),
    );
  });

  it('has the same known names', () => {
    const names = [...block(/pub const KNOWN_NAMES[^=]*= \[/).matchAll(/"([^"]+)"/g)].map(([, name]) => name);
    assert.deepEqual([...layout.KNOWN_NAMES], names);
    assert.ok(layout.KNOWN_NAMES.length < 32, 'ids fit into 5 bits');
  });
});
