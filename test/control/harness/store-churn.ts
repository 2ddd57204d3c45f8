/** Activates two bundles in turn until it is killed: `store-churn.ts <source> <state> <policy> <digest> <digest>`. Says a line when it has begun. */
import { readFileSync } from 'node:fs';
import { parseDigest } from '../../../src/control/oci/digest.ts';
import { OciLayout } from '../../../src/control/oci/layout.ts';
import { sequenceOf } from '../../../src/control/store/state.ts';
import { BundleStore } from '../../../src/control/store/store.ts';
import { prepareTrust, type TrustPolicy } from '../../../src/control/trust/policy.ts';
import { verifyBundle } from '../../../src/control/trust/verify.ts';
import { GATEWAY, NOW_MS } from './sample.ts';

const [source = '', state = '', policyFile = '', ...digests] = process.argv.slice(2);
const layout = OciLayout.at(source);
const store = await BundleStore.open(state);
const trust = prepareTrust(JSON.parse(readFileSync(policyFile, 'utf8')) as TrustPolicy);
const options = { trust, gateway: GATEWAY, nowMs: NOW_MS, purpose: 'candidate' } as const;
for (let i = 0; ; i += 1) {
  const digest = parseDigest(digests[i % digests.length]);
  if (digest === undefined) throw new Error('not a digest');
  const bundle = await verifyBundle(layout, digest, { ...options, sequence: sequenceOf(store.state), cache: store });
  await store.activated(bundle, 1, NOW_MS);
  if (i === 0) process.stdout.write('begun\n');
}
