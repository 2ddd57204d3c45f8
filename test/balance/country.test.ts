/** Cells by the client's country: a real gateway, a database that is replaced while it serves. */
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { plainBundle } from '../harness/bundle.ts';
import { mmdbOf } from '../harness/mmdb.ts';
import { ask } from '../e2e/client.ts';
import { Given } from '../e2e/given.ts';

describe('cells by country', () => {
  const given = new Given();
  after(() => given.end());

  it('a client goes to the cell of its country, another one by the weights; a new database counts, a bad one does not', async () => {
    const [home, europe] = [await given.upstream({ name: 'home' }), await given.upstream({ name: 'europe' })];
    const directory = mkdtempSync(join(tmpdir(), 'cnx-countries-'));
    given.ends(() => rmSync(directory, { recursive: true, force: true }));
    const file = join(directory, 'countries.mmdb');
    const replace = (bytes: Uint8Array): void => {
      writeFileSync(`${file}.new`, bytes);
      renameSync(`${file}.new`, file);
    };
    replace(mmdbOf({ '203.0.113.0/24': 'DE', '2001:db8::/32': 'AT' }));
    const gateway = await given.gateway({
      bundle: plainBundle([], {
        routes: {
          routes: [
            {
              id: 'all',
              match: { path: { prefix: '/' } },
              access: 'public',
              reason: 'everything, for a test',
              split: {
                cells: [
                  { cell: 'home', weight: 1 },
                  { cell: 'europe', when: [{ country: ['DE', 'AT'] }] },
                ],
              },
            },
          ],
        },
        cells: {
          cells: [
            { id: 'home', endpoints: [{ address: home.address }] },
            { id: 'europe', endpoints: [{ address: europe.address }] },
          ],
        },
      }),
      bootstrap: { countryFile: file, lanes: 2 },
      listener: { forwardedFrom: ['127.0.0.1/32'] },
    });
    const from = async (address: string): Promise<string> =>
      (await ask(gateway.ports.http, '/', { headers: { 'x-forwarded-for': address } })).body;
    assert.equal(await from('203.0.113.7'), 'europe');
    assert.equal(await from('2001:db8::7'), 'europe');
    assert.equal(await from('198.51.100.7'), 'home');
    replace(Buffer.from('nothing of the kind'));
    await gateway.untilPrinted(/country database refused/);
    assert.equal(await from('203.0.113.7'), 'europe');
    rmSync(file);
    await gateway.untilPrinted(/country database refused.*ENOENT/);
    assert.equal(await from('203.0.113.7'), 'europe', 'the file is gone, what was read of it counts');
    replace(mmdbOf({ '198.51.100.0/24': 'DE' }));
    await gateway.until('the new one counts', async () => (await from('198.51.100.7')) === 'europe');
    await gateway.until('in all lanes', async () => (await from('203.0.113.7')) === 'home');
    await gateway.stop();
  });
});
