/** `cnx waf tune`: out of a log, the exclusions that would have let the most requests pass. */
import { createReadStream } from 'node:fs';
import type { Account } from '../../admin/account.ts';
import { printable, readAccount } from '../../admin/explain.ts';
import { exclusionOf } from '../../admin/waf-exclusion.ts';
import { command, UsageError } from '../command.ts';
import type { Command } from '../io.ts';

/** Different exclusions that are counted; what comes after is told as not counted. */
export const PROPOSALS_MAX = 10_000;
const LINE_CHARS_MAX = 1024 * 1024;
const TOP = 20;
const EXAMPLES_MAX = 3;

const HELP = `cnx waf tune --log FILE [--route ID] [--top N] [--json]

Reads a gateway's log (- for standard input), counts what the WAF has found in it (refused requests, and those of detect mode), and proposes exclusions, the most
frequent first, each with the request ids of examples. What to exclude is for you to judge: an attack looks like this, too. cnx explain <id> tells more of one.

  --route  of this route only
  --top    so many proposals; ${TOP} unless told
`;

interface Proposal {
  readonly route: string;
  readonly exclude: string;
  readonly message: string;
  requests: number;
  readonly addresses: Set<string>;
  readonly examples: string[];
}

/** Client addresses that are told apart for one proposal. */
const ADDRESSES_MAX = 1_000;

export const run: Command = command({
  name: 'waf tune',
  help: HELP,
  options: {
    log: { type: 'string' },
    route: { type: 'string' },
    top: { type: 'string', default: `${TOP}` },
    json: { type: 'boolean', default: false },
  },
  optionsOnly: true,
  act: async ({ values, io }) => {
    if (values.log === undefined) throw new UsageError('--log FILE is missing');
    const top = Number(values.top);
    if (!Number.isSafeInteger(top) || top < 1) throw new UsageError('--top is a whole number from 1');
    const tuner = new Tuner(values.route);
    for await (const line of linesOf(values.log)) tuner.take(line);
    io.stdout(values.json ? `${JSON.stringify(tuner.rows(top), null, 2)}\n` : tuner.text(top));
    return 0;
  },
});

async function* linesOf(file: string): AsyncGenerator<string> {
  const stream = file === '-' ? process.stdin : createReadStream(file);
  stream.setEncoding('utf8');
  let rest = '';
  for await (const chunk of stream as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    // What is too long is cut so that it cannot grow, and then is no account any more.
    if (rest.length > LINE_CHARS_MAX) rest = '#';
    yield* lines;
  }
  yield rest;
}

class Tuner {
  readonly #route: string | undefined;
  readonly #proposals = new Map<string, Proposal>();
  #requests = 0;
  #uncounted = 0;

  constructor(route: string | undefined) {
    this.#route = route;
  }

  take(line: string): void {
    if (!line.includes('"matches":[{')) return;
    const account = readAccount(line);
    if (account === null || account.waf.matches.length === 0) return;
    if (this.#route !== undefined && account.route !== this.#route) return;
    this.#requests++;
    const seen = new Set<string>();
    for (const match of account.waf.matches) {
      const exclude = exclusionOf(match);
      if (exclude === null || seen.has(exclude)) continue;
      seen.add(exclude);
      this.#count(account, exclude, match.message);
    }
  }

  #count(account: Account, exclude: string, message: string): void {
    const route = account.route ?? '';
    const key = `${route}\n${exclude}`;
    let proposal = this.#proposals.get(key);
    if (proposal === undefined) {
      if (this.#proposals.size >= PROPOSALS_MAX) {
        this.#uncounted++;
        return;
      }
      proposal = { route, exclude, message, requests: 0, addresses: new Set(), examples: [] };
      this.#proposals.set(key, proposal);
    }
    proposal.requests++;
    if (proposal.addresses.size < ADDRESSES_MAX) proposal.addresses.add(account.clientAddress);
    if (proposal.examples.length < EXAMPLES_MAX) proposal.examples.push(account.id);
  }

  /** Many clients that stumble over the same rule are more likely to be right than one that does so often. */
  #sorted(top: number): Proposal[] {
    return [...this.#proposals.values()]
      .toSorted((a, b) => b.addresses.size - a.addresses.size || b.requests - a.requests)
      .slice(0, top);
  }

  rows(top: number): object[] {
    return this.#sorted(top).map((p) => ({ ...p, addresses: p.addresses.size }));
  }

  text(top: number): string {
    const lines = [`${this.#requests} request(s) in which the WAF found something`];
    for (const p of this.#sorted(top)) {
      lines.push(
        '',
        `route ${p.route}: ${p.requests} request(s) from ${p.addresses.size} address(es)${p.message === '' ? '' : `, ${p.message}`}`,
        `  - ${p.exclude}`,
        `  like ${p.examples.join(', ')}`,
      );
    }
    if (this.#uncounted > 0)
      lines.push('', `${this.#uncounted} match(es) not counted: more than ${PROPOSALS_MAX} kinds`);
    return `${lines.map(printable).join('\n')}\n`;
  }
}
