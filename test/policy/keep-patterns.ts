/** Keeps more than 100 compiled patterns in a module, as nobody should: prints `fine` when every answer was right. Run by patterns.test.ts. */
import { Prng } from '../../src/base/prng.ts';
import { Outcome } from '../../src/policy/outcome.ts';
import { asking } from './fixtures.ts';

const PATTERNS = 130;
const EVALUATIONS = 3_000;

for (let seed = 1; seed <= 8; seed++) {
  const chance = new Prng(seed);
  const { ask } = asking('given-patterns', { literalPatterns: true });
  for (let i = 0; i < EVALUATIONS; i++) {
    const first = chance.uint32() % PATTERNS;
    const patterns = [0, 1, 2].map((n) => `^a{0,3}${(first + n) % PATTERNS}$`);
    const target = (first + (chance.uint32() % 6)) % PATTERNS;
    const expected = [0, 1, 2].some((n) => (first + n) % PATTERNS === target) ? Outcome.Allow : Outcome.Deny;
    const outcome = ask('given/allow', { patterns, path: `a${target}` });
    if (outcome !== expected) {
      console.log(`seed ${seed}, evaluation ${i}: ${outcome}, expected ${expected}`);
      process.exit(1);
    }
  }
}
console.log('fine');
