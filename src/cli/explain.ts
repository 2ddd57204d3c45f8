/** `cnx explain`: why was this request answered as it was? Out of a running gateway, or out of its log. */
import { createReadStream } from 'node:fs';
import { parseRequestId, whyUnread } from '../admin/account.ts';
import { ask, type Heard, isOk } from '../admin/client.ts';
import { explainText, explanationOf, readAccount } from '../admin/explain.ts';
import type { Account } from '../admin/account.ts';
import { command, HelpWanted } from './command.ts';
import { tokenOf } from './file.ts';
import type { Command } from './io.ts';
import { ADMIN_URL, listenerUrl } from './listener-url.ts';

const HELP = `usage: cnx explain <request id> [--admin URL] [--token-file FILE] [--json]
       cnx explain --log FILE <request id> [--json]

Tells each stage in order, what it decided, why, and how long it took. The request id stands in every refusal and in the X-Request-Id of every answer.

  --admin URL        admin listener of the gateway (default http://127.0.0.1:9902)
  --token-file FILE  bearer token of the admin listener
  --log FILE         read the JSON log instead; refused requests are always in it, but for those that were turned
                     away unread under overload, whose ids have an s before their number. - is standard input
  --json             the explanation as JSON

Exit code 0: told; 1: no record of this request; 2: wrong usage.
`;

/** Longest line of a log that is looked at; longer ones are none of ours. */
const LINE_CHARS_MAX = 1024 * 1024;

export const run: Command = command({
  name: 'explain',
  help: HELP,
  options: {
    admin: { type: 'string', default: ADMIN_URL },
    'token-file': { type: 'string' },
    log: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
  bare: true,
  act: async ({ values, positionals, io }) => {
    const [id, ...more] = positionals;
    if (id === undefined || more.length > 0) throw new HelpWanted();
    const unread = whyUnread(id);
    if (unread !== null) {
      io.stderr(`${unread}\n`);
      return 1;
    }
    if (parseRequestId(id) === null) {
      io.stderr(`"${id}" is no request id; one looks like 3f2a1b-00-0000002a\n`);
      return 2;
    }
    const account =
      values.log === undefined
        ? await fromGateway(values.admin, values['token-file'], id)
        : await fromLog(values.log, id);
    if (typeof account === 'string') {
      io.stderr(`${account}\n`);
      return 1;
    }
    io.stdout(values.json ? `${JSON.stringify(explanationOf(account), null, 2)}\n` : explainText(account));
    return 0;
  },
});

/** The account, or why there is none. */
async function fromGateway(admin: string, tokenFile: string | undefined, id: string): Promise<Account | string> {
  const token = await tokenOf(tokenFile);
  const heard = await ask(listenerUrl('--admin', admin, `v1/explain/${id}`), token);
  const account = isOk(heard.status) ? readAccount(heard.body) : null;
  return account ?? errorOf(heard.body, heard.status);
}

/** What an answer of the admin listener says went wrong. */
export function errorOf(body: string, status: number): string {
  try {
    const { error } = JSON.parse(body) as { error?: unknown };
    if (typeof error === 'string') return error;
  } catch {
    // Not our JSON: something else listens there, which the text below says.
  }
  return notOurs(status);
}

/** What a gateway's admin listener has answered, by the version of this command. Throws where something else listens there. */
export function answerOf({ body, status }: Heard): unknown {
  try {
    return JSON.parse(body);
  } catch (error) {
    throw new Error(notOurs(status), { cause: error });
  }
}

function notOurs(status: number): string {
  return `the answer (status ${status}) is not one of a gateway's admin listener`;
}

async function fromLog(file: string, id: string): Promise<Account | string> {
  const stream = file === '-' ? process.stdin : createReadStream(file);
  stream.setEncoding('utf8');
  let rest = '';
  let found: Account | null = null;
  const look = (line: string): void => {
    if (!line.includes(id) || line.length > LINE_CHARS_MAX) return;
    const account = readAccount(line);
    if (account?.id === id) found = account;
  };
  for await (const chunk of stream as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    // What is too long is cut so that it cannot grow, and then is no account any more.
    if (rest.length > LINE_CHARS_MAX) rest = '#';
    for (const line of lines) look(line);
    if (found !== null) return found;
  }
  look(rest);
  return (
    found ??
    `no line of ${file} is about ${id}; answered requests are there only as far as they are sampled (accessLogSample)`
  );
}
