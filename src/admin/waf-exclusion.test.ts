import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exclusionOf } from './waf-exclusion.ts';

test('a WAF expression is left out whole, a rule by what it matched on', () => {
  assert.equal(exclusionOf({ rule: 90_123_456, variable: 'REQUEST_FILENAME', decides: true }), '{ rule: 90123456 }');
  assert.equal(exclusionOf({ rule: 90_000_000, variable: '' }), '{ rule: 90000000 }');
  // Not the rule that judges the sum of their scores.
  assert.equal(exclusionOf({ rule: 90_999_999, variable: 'TX:anomaly_score', decides: true }), null);
  assert.equal(exclusionOf({ rule: 942_100, variable: 'ARGS:q' }), "{ rule: 942100, target: 'ARGS:q' }");
});
