/** `cnx health`: probes a running gateway; for container health checks, since a distroless image has no curl. */
import { ask, isOk } from '../admin/client.ts';
import { command, HelpWanted } from './command.ts';
import type { Command } from './io.ts';
import { listenerUrl, PROBES_URL } from './listener-url.ts';

const HELP = `usage: cnx health [--url URL] [--live] [--timeout-ms N]

Asks the probe listener of a running gateway. Exit code 0: ready; 1: not ready or no answer; 2: wrong usage.

  --url URL       probe listener (default http://127.0.0.1:9901)
  --live          ask whether it is alive (/healthz) rather than ready for traffic (/readyz)
  --timeout-ms N  longest wait for the answer (default 2000)
`;

const TIMEOUT_MS_MAX = 60_000;

export const run: Command = command({
  name: 'health',
  help: HELP,
  options: {
    url: { type: 'string', default: PROBES_URL },
    live: { type: 'boolean', default: false },
    'timeout-ms': { type: 'string', default: '2000' },
  },
  bare: true,
  act: async ({ values, positionals, io }) => {
    const timeoutMs = Number(values['timeout-ms']);
    if (positionals.length > 0 || !Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > TIMEOUT_MS_MAX)
      throw new HelpWanted();
    const url = listenerUrl('--url', values.url, values.live ? 'healthz' : 'readyz');
    try {
      const heard = await ask(url, null, timeoutMs);
      (isOk(heard.status) ? io.stdout : io.stderr)(heard.body);
      return isOk(heard.status) ? 0 : 1;
    } catch (error) {
      io.stderr(`${error instanceof Error ? error.message : String(error)}\n`);
      return 1;
    }
  },
});
