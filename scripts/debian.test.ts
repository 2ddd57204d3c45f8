import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { installCommand, missingTools, needDebian } from './debian.ts';

describe('tools of the machine', () => {
  it('are told apart: there, or missing', () => {
    assert.deepEqual(missingTools(['sh', 'no-such-tool-of-cnx', 'ls']), ['no-such-tool-of-cnx']);
  });
  it('are asked for by the packages that hold them, each once', () => {
    assert.match(installCommand(['htpasswd', 'skopeo', 'htpasswd']), /^apt-get install .* apache2-utils skopeo$/);
  });
  it('that are all there cost nothing', () => {
    needDebian(['sh', 'ls']);
  });
});
