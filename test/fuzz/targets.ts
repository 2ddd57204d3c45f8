/** Fuzz targets: functions of a text that throw when something that must hold does not. */
import assert from 'node:assert/strict';
import { readBootstrap } from '../../src/config/bootstrap-file.ts';
import { type Part, PART_NAMES, PARTS, readBundle } from '../../src/config/bundle.ts';
import { ConfigError, Document, type Problem, PROBLEMS_MAX } from '../../src/config/document.ts';
import { ReleaseConfig } from '../../src/config/release.ts';
import { TrustConfig } from '../../src/config/trust.ts';
import { validate } from '../../src/config/validate.ts';
import {
  clientBehind,
  FORWARDED_HOPS_MAX,
  formatAddress,
  Networks,
  parseAddress,
} from '../../src/data/normalize/address.ts';
import { HOST_BYTES_MAX, readHost } from '../../src/data/normalize/host.ts';
import {
  checkQuery,
  PATH_BYTES_MAX,
  PATH_SEGMENTS_MAX,
  QUERY_BYTES_MAX,
  readPath,
  TARGET_FAULT_TEXT,
  TargetFault,
} from '../../src/data/normalize/target.ts';
import { present } from '../../src/base/assert.ts';

export interface Target {
  /** Dictionaries to take words from, by a part of their names. */
  readonly dictionaries: readonly string[];
  /** Words that the parser itself knows. */
  readonly words: readonly string[];
  /** Words that mostly make something valid. */
  readonly plain: readonly string[];
  /** Throws when the text breaks a promise. */
  run(text: string): void;
}

/** What is accepted is canonical: read again it is itself, and no segment leads up or hides a separator. */
function target(text: string): void {
  const into = { path: '', encoded: '' };
  const fault = readPath(text, into);
  assert.ok(TARGET_FAULT_TEXT[fault] !== undefined);
  if (fault === TargetFault.None) {
    assert.ok(text.length <= PATH_BYTES_MAX);
    assert.ok(into.path === '*' || into.path.startsWith('/'));
    const segments = into.path.slice(1).split('/');
    assert.ok(segments.length <= PATH_SEGMENTS_MAX);
    assert.ok(!segments.includes('..') && !segments.includes('.'), into.path);
    assert.match(into.encoded, /^[\x21-\x7e]*$/, 'fit to be sent');
    assert.ok(!/[?#\\]/.test(into.encoded), into.encoded);
    const again = { path: '', encoded: '' };
    assert.equal(readPath(into.encoded, again), TargetFault.None);
    assert.deepEqual(again, into);
  }
  if (checkQuery(text) === TargetFault.None) {
    assert.ok(text.length <= QUERY_BYTES_MAX);
    // eslint-disable-next-line no-control-regex -- control bytes are what must not be there
    assert.ok(!/[\x00-\x20\x7f]/.test(text), text);
  }
}

function host(text: string): void {
  const read = readHost(text);
  if (read === null) return;
  assert.ok(text.length <= HOST_BYTES_MAX);
  assert.match(read, /^[a-z0-9._-]+$|^\[[0-9a-f:.]+\]$/);
  assert.equal(readHost(read), read);
}

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const ALL = new Networks(['0.0.0.0/0', '::/0']);
const NONE = new Networks([]);

function address(text: string): void {
  const parsed = parseAddress(text);
  if (parsed !== null) {
    assert.ok(parsed.length === 4 || parsed.length === 16);
    const canonical = formatAddress(parsed);
    const again = present(parseAddress(canonical), 'the canonical form');
    assert.equal(formatAddress(again), canonical);
  }
  // Whatever stands in the field: an address comes out, and without trust it is the peer's.
  const lists = Array.from({ length: FORWARDED_HOPS_MAX }, () => text);
  assert.ok([4, 16].includes(clientBehind(LOOPBACK, lists, ALL).length));
  assert.equal(clientBehind(LOOPBACK, lists, NONE), LOOPBACK);
  const network = new Networks([text]);
  assert.ok(network.size <= 1);
  network.has(LOOPBACK);
}

/** A document ends as a value or as problems with places, never otherwise. */
function config(text: string): void {
  const placed = (problems: readonly Problem[]): void => {
    assert.ok(problems.length > 0 && problems.length <= 2 * (PROBLEMS_MAX + 1) + PART_NAMES.length);
    for (const p of problems) assert.ok(p.file !== '' && p.message !== '' && p.line >= 0 && p.column >= 0);
  };
  const doc = new Document('a.yaml', text);
  if (doc.problems.length > 0) placed(doc.problems);
  for (const schema of [...PART_NAMES.map((part) => PARTS[part].schema), ReleaseConfig, TrustConfig]) {
    const result = validate(schema, doc);
    if (!result.ok) placed(result.problems);
  }
  const bundle = readBundle(
    new Map<Part, Document>([
      ['routes', doc],
      ['cells', doc],
    ]),
  );
  if (!bundle.ok) placed(bundle.problems);
  try {
    readBootstrap('gateway.yaml', text);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    placed(error.problems);
  }
}

export const TARGETS: Readonly<Record<string, Target>> = {
  target: {
    dictionaries: ['http', 'url'],
    words: [
      '/',
      '//',
      '/.',
      '/..',
      '/%2e%2e',
      '%2f',
      '%5c',
      '%00',
      '%',
      '%%',
      '%zz',
      '\\',
      ';',
      '?',
      '#',
      '*',
      'a',
      '%c3%a9',
      '\xc3\xa9',
      '%c0%af',
      '%u002f',
      ' ',
      '\t',
      '\u0000',
      '~',
      '%7e',
      '%25%32%65',
    ],
    plain: [
      '/',
      '/a',
      '/api/v1',
      '/..',
      '/.',
      '/%2E%2e',
      '//',
      '/%C3%A9',
      '/%7e',
      '/x%20y',
      '/a.b',
      '/...',
      '/%2b+',
      '/(a)',
    ],
    run: target,
  },
  host: {
    dictionaries: ['http', 'url'],
    words: [
      'shop',
      '.',
      '..',
      'example',
      ':',
      ':443',
      ':99999',
      '[',
      ']',
      '::1',
      '127.0.0.1',
      '0x7f',
      '_',
      '-',
      '%41',
      '@',
      ' ',
      'A',
      'xn--',
      '\xe9',
    ],
    plain: ['shop', '.example', '.com', 'a-b', ':443', 'X', '.', 'xn--a', '[::1]', '127.0.0.1', ':8080'],
    run: host,
  },
  address: {
    dictionaries: ['http', 'url'],
    words: [
      '1',
      '255',
      '256',
      '01',
      '.',
      ':',
      '::',
      'ffff',
      '::ffff:',
      '/',
      '/8',
      '/129',
      ',',
      ', ',
      '[',
      ']',
      '%eth0',
      ' ',
      '0x1',
      '127.0.0.1',
      '2001:db8::1',
    ],
    plain: [
      '127.0.0.1',
      '::1',
      '2001:db8::1',
      '::ffff:10.0.0.1',
      ', 10.1.2.3',
      ', ::2',
      '/8',
      '::',
      '10.0.0.',
      '255',
      ':1',
      ':2:3',
    ],
    run: address,
  },
  config: {
    dictionaries: ['json'],
    words: [
      'routes',
      'cells',
      'id',
      'match',
      'path',
      'prefix',
      'endpoints',
      'address',
      'listeners',
      'secrets',
      'public',
      ': ',
      ':',
      '- ',
      '\n',
      '\n  ',
      '\n    ',
      '\n\t',
      '{',
      '}',
      '[',
      ']',
      ',',
      ', ',
      '"',
      "'",
      '&a ',
      '*a',
      '!',
      '!!map ',
      '|\n',
      '>-\n',
      '#',
      '? ',
      '%YAML 1.2\n',
      '---\n',
      '...\n',
      '<<: *a',
      '.nan',
      '.inf',
      '~',
      'null',
      '0x1f',
      '1e999',
      '__proto__',
      'constructor',
      '\\',
      '\\u0000',
      '\\ud800',
      '\r\n',
      '\xef\xbb\xbf',
    ],
    plain: [
      'routes:\n',
      '- id: a\n',
      '  match: {path: {prefix: /}}\n',
      '  access: public\n',
      '  reason: for a test\n',
      'cells:\n',
      '- {id: one, endpoints: [{address: "a:1"}]}\n',
      'pins: {a: one}\n',
      'mode: block\n',
      'limits: [a]\n',
      'listeners: [{id: a, port: 1}]\n',
      'bundle: {source: "oci:a"}\n',
      'trustFile: a\n',
      'stateDir: a\n',
      '# \n',
    ],
    run: config,
  },
};
