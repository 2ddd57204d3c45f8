import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError } from '../config/document.ts';
import { Rejection } from '../control/oci/rejection.ts';
import { command, HelpWanted, onlyPositional, UsageError } from './command.ts';

class Own extends Error {
  override readonly name = 'Own';
}

const HELP = 'how it is used\n';

/** Runs a command that does this, and gives its exit code with what it printed. */
async function ran(args: string[], act: () => number = () => 0, more: { readonly bare?: true } = {}) {
  const said = { out: '', err: '' };
  const options = { json: { type: 'boolean', default: false }, 'token-file': { type: 'string' } } as const;
  const parts = { name: 'try it', help: HELP, options, failures: [Own], ...more };
  const run = command({
    ...parts,
    act: async ({ values, positionals, io }) => {
      io.stdout(`${values.json} ${values['token-file']} ${positionals.join('+')}\n`);
      return act();
    },
  });
  const io = { stdout: (text: string) => (said.out += text), stderr: (text: string) => (said.err += text), env: {} };
  return { code: await run(args, io), ...said };
}

const thrown = (error: Error) => () => {
  throw error;
};

describe('a command', () => {
  it('gets its options and arguments, and gives its exit code', async () => {
    assert.deepEqual(await ran(['a', '--json', 'b', '--token-file=t'], () => 3), {
      code: 3,
      out: 'true t a+b\n',
      err: '',
    });
  });

  it('prints its help when it is asked, whatever else is there', async () => {
    for (const args of [['--help'], ['-h'], ['a', '--json', '-h']])
      assert.deepEqual(await ran(args), { code: 0, out: HELP, err: '' });
  });

  it('ends with 2 and the mend when it is used wrongly', async () => {
    assert.deepEqual((await ran([], thrown(new UsageError('--out is missing')))).err.split('\n'), [
      'cnx try it: --out is missing',
      'cnx try it --help tells more',
      '',
    ]);
    const { code, err } = await ran(['--jsno']);
    assert.equal(code, 2);
    assert.match(err, /^cnx try it: Unknown option '--jsno'.*Did you mean --json\?\n/);
    assert.doesNotMatch((await ran(['--nothing-of-the-kind'])).err, /Did you mean/);
    assert.deepEqual(await ran(['a'], thrown(new HelpWanted())), { code: 2, out: 'false undefined a\n', err: HELP });
  });

  it('ends with 1 and the reason when it cannot go on', async () => {
    for (const [error, text] of [
      [new Rejection('unsigned', 'nobody has signed it'), 'unsigned: nobody has signed it'],
      [new Own('its own fault'), 'its own fault'],
      [Object.assign(new Error('ENOENT: no such file'), { syscall: 'open' }), 'ENOENT: no such file'],
    ] as const) {
      const { code, err } = await ran([], thrown(error));
      assert.deepEqual([code, err], [1, `cnx try it: ${text}\n`]);
    }
  });

  it('hides no bug, and leaves what it throws to main.ts where that tells it better', async () => {
    await assert.rejects(ran([], thrown(new RangeError('a bug'))), RangeError);
    const problems = new ConfigError([]);
    await assert.rejects(ran([], thrown(problems), { bare: true }), problems);
    await assert.rejects(ran(['--jsno'], undefined, { bare: true }), { code: 'ERR_PARSE_ARGS_UNKNOWN_OPTION' });
    assert.equal((await ran([], thrown(new HelpWanted()), { bare: true })).code, 2);
  });

  it('with one argument says when there is none, and when there are two', () => {
    assert.equal(onlyPositional(['a'], '<ref>'), 'a');
    assert.throws(() => onlyPositional([], '<ref>'), /<ref> is missing/);
    assert.throws(() => onlyPositional(['a', 'b'], '<ref>'), /"b" is one argument too many/);
  });
});
