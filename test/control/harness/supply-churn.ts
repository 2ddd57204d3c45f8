/** Follows a registry without pause until it is killed: `supply-churn.ts <host> <state> <trust file>`. Says a line when the first bundle serves. */
import { BundleSupply } from '../../../src/control/supply.ts';
import { readTrustFile } from '../../../src/control/trust/file.ts';

const [host = '', stateDir = '', trustFile = ''] = process.argv.slice(2);
let revision = 0;
const supply = new BundleSupply({
  gateway: { id: 'edge-1', labels: {} },
  bundle: { source: `${host}/edge/config:prod`, mirrors: [], pollMs: 30_000, silentAfterMs: 600_000 },
  stateDir,
  trustFile,
  trust: await readTrustFile(trustFile),
  registries: [{}],
  serve: async () => ++revision,
  event: () => undefined,
  now: Date.now,
});
await supply.open();
await supply.boot();
await supply.follow();
process.stdout.write('begun\n');
for (;;) await supply.pollNow();
