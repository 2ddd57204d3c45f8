/** Runs every fuzz target for a moment with a fixed seed; longer, with another seed each time, for `CNX_FUZZ_SECONDS` each. */
import { randomInt } from 'node:crypto';
import { describe, it } from 'node:test';
import { dictionaryWords, Inputs } from './inputs.ts';
import { TARGETS } from './targets.ts';

const SEED = 20_261_121;
const RUNS = 3_000;
/** A config is read by nine schemas, so fewer. */
const RUNS_OF_CONFIG = 300;
const seconds = Number(process.env['CNX_FUZZ_SECONDS'] ?? 0);

describe('fuzz', () => {
  for (const [name, target] of Object.entries(TARGETS)) {
    it(`${name}: whatever comes, what is promised holds`, () => {
      const seed = seconds > 0 ? randomInt(2 ** 31) : SEED;
      const inputs = new Inputs(seed, [...target.words, ...dictionaryWords(target.dictionaries)], target.plain);
      const until = Date.now() + seconds * 1_000;
      const runs = name === 'config' ? RUNS_OF_CONFIG : RUNS;
      for (let i = 0; i < runs || Date.now() < until; i++) {
        const text = inputs.next();
        try {
          target.run(text);
        } catch (error) {
          throw new Error(`seed ${seed}, input ${i}: ${JSON.stringify(text)}`, { cause: error });
        }
      }
    });
  }
});
