/** Changes of a path, of what goes upstream and of where a redirect leads: brought into the form that canonical paths have. */
import type { PathRegexConfig } from '../../config/respond.ts';
import type { PathChange } from '../../snapshot/respond-plans.ts';
import type { Report } from './report.ts';
import type { Rewrites } from './rewrites.ts';

/** Characters of a canonical path that are not percent-encoded (RFC 3986 §3.3). */
const UNESCAPED = /[A-Za-z0-9\-._~!$&'()*+,;=:@/]/;

export interface PathChangeConfig {
  readonly stripPrefix?: string;
  readonly addPrefix?: string;
  readonly replacePath?: string | undefined;
  readonly replacePathRegex?: PathRegexConfig | undefined;
}

export interface PathInput {
  readonly report: Report;
  readonly rewrites: Rewrites;
}

/** `at`: JSON Pointer of what holds the fields. */
export function pathChange(config: PathChangeConfig, at: string, input: PathInput): PathChange {
  const { report } = input;
  return {
    stripPrefix: prefixOf(config.stripPrefix ?? '', `${at}/stripPrefix`, report),
    replace: replacementOf(config, at, input),
    addPrefix: prefixOf(config.addPrefix ?? '', `${at}/addPrefix`, report),
  };
}

function replacementOf(config: PathChangeConfig, at: string, input: PathInput): PathChange['replace'] {
  const { report } = input;
  const { replacePath: whole, replacePathRegex: regex } = config;
  if (whole !== undefined && regex !== undefined)
    report('routes', `${at}/replacePathRegex`, '`replacePath` says the whole path already; keep one of them');
  if (whole !== undefined && (config.stripPrefix ?? '') !== '')
    report(
      'routes',
      `${at}/stripPrefix`,
      '`replacePath` says the whole path, so that nothing is stripped; keep one of them',
    );
  if (whole !== undefined) return { path: whole === '/' ? '/' : encodedPath(whole, `${at}/replacePath`, report) };
  return regex === undefined ? null : { rule: input.rewrites.add(regex, `${at}/replacePathRegex`) };
}

/** A prefix as it stands in a canonical, percent-encoded path: no slash at the end, `''` for none. It is written decoded, as the paths of routes are. */
function prefixOf(text: string, at: string, report: Report): string {
  const bare = text.endsWith('/') ? text.slice(0, -1) : text;
  return bare === '' ? '' : encodedPath(bare, at, report);
}

/** A path that is written decoded, in canonical form. A slash at its end stays. */
function encodedPath(text: string, at: string, report: Report): string {
  const fault = prefixFault(text.endsWith('/') ? text.slice(0, -1) : text);
  if (fault !== null) report('routes', at, `"${text}" ${fault}`);
  return encodePath(text);
}

/** The same of a path that is known to have a canonical form. */
export function encodePath(text: string): string {
  let encoded = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    const char = String.fromCharCode(byte);
    encoded += UNESCAPED.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

function prefixFault(prefix: string): string | null {
  if (!prefix.startsWith('/')) return 'must begin with /';
  // eslint-disable-next-line no-control-regex -- control bytes are what is looked for
  if (/[\x00-\x1f\x7f?#\\%]/.test(prefix)) {
    return 'is written decoded and without query: no %, ?, #, backslash or control character';
  }
  const segments = prefix.slice(1).split('/');
  return segments.some((segment) => segment === '' || segment === '.' || segment === '..')
    ? 'has an empty, `.` or `..` segment, which no canonical path has'
    : null;
}
