import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { dockerCredentials } from './docker-config.ts';

const directory = mkdtempSync(join(tmpdir(), 'cnx-docker-'));
after(() => rmSync(directory, { recursive: true }));
const file = join(directory, 'config.json');
const auth = (text: string) => ({ auth: Buffer.from(text).toString('base64') });
const asked = async (config: unknown, host = 'registry.example', repository = 'team/edge/config') => {
  writeFileSync(file, typeof config === 'string' ? config : JSON.stringify(config));
  return dockerCredentials(file, host, repository);
};

describe("Docker's config.json", () => {
  for (const [what, config, expected] of [
    ['a host', { 'registry.example': auth('u:p') }, 'u:p'],
    ['a host as Docker once wrote it', { 'https://registry.example/v1/': auth('u:p') }, 'u:p'],
    ['a password with colons', { 'registry.example': auth('u:p:q') }, 'u:p:q'],
    ['name and password apart', { 'registry.example': { username: 'u', password: 'p' } }, 'u:p'],
    [
      'a repository before its host',
      { 'registry.example': auth('host:x'), 'registry.example/team/edge': auth('team:y') },
      'team:y',
    ],
    ['another host', { 'other.example': auth('u:p') }, undefined],
    ['a host that ends alike', { 'evil-registry.example': auth('u:p') }, undefined],
    ['another repository', { 'registry.example/team/other': auth('u:p') }, undefined],
    ['an empty entry, left by a helper', { 'registry.example': {} }, undefined],
    ['nothing', {}, undefined],
  ] as const) {
    it(`with ${what} gives ${expected ?? 'nothing'}`, async () => {
      const found = await asked({ auths: config });
      assert.equal(found === undefined ? undefined : `${found.username}:${found.password}`, expected);
    });
  }

  it('of Docker Hub has a name of its own', async () => {
    const found = await asked({ auths: { 'https://index.docker.io/v1/': auth('u:p') } }, 'registry-1.docker.io');
    assert.equal(found?.username, 'u');
  });

  it('that is not there gives nothing, one that cannot be used an error with its name', async () => {
    assert.equal(await dockerCredentials(join(directory, 'absent'), 'registry.example', 'a'), undefined);
    for (const [config, message] of [
      ['{', /config\.json: /],
      ['{"auths":{},"auths":{}}', /twice/],
      [{ auths: { 'registry.example': { identitytoken: 'x' } } }, /identity tokens are not used/],
      [{ auths: { 'registry.example': auth('nocolon') } }, /no user name with a password/],
      [{ credHelpers: { 'registry.example': 'ecr-login' } }, /"ecr-login", which is not run/],
    ] as const)
      await assert.rejects(asked(config), { code: 'unauthorized', message });
  });

  it('is read anew each time', async () => {
    assert.equal((await asked({ auths: { 'registry.example': auth('u:old') } }))?.password, 'old');
    assert.equal((await asked({ auths: { 'registry.example': auth('u:new') } }))?.password, 'new');
  });
});
