/** Which WAF rules the demo runs with: a Core Rule Set that somebody names, Debian's when it loads, else the demo's own. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where Debian's `modsecurity-crs` puts rules and setup. */
export const DEBIAN_CRS = { from: '/usr/share/modsecurity-crs', setup: '/etc/modsecurity/crs/crs-setup.conf' } as const;

export interface CrsPlace {
  readonly from: string;
  /** For rule sets that have none beside their rules. */
  readonly setup?: string;
  /** Somebody asked for it by name, so that it is an error when it cannot be had. */
  readonly asked: boolean;
}

/** The Core Rule Set that there is; null = the demo's own rules. `named`: the value of CNX_CRS_DIR. */
export function crsPlace(
  named: string | undefined,
  debian: { from: string; setup: string } = DEBIAN_CRS,
): CrsPlace | null {
  if (named !== undefined && named !== '') {
    if (!existsSync(named)) throw new Error(`CNX_CRS_DIR names ${named}, which is not there`);
    return { from: named, asked: true };
  }
  return existsSync(join(debian.from, 'rules')) && existsSync(debian.setup) ? { ...debian, asked: false } : null;
}

/** `waf.yaml` of a demo with a Core Rule Set, in place of the demo's own. */
const WAF = `# The OWASP Core Rule Set, as its release has it. What is different here stands here: cnx waf test, docs/waf.md.
mode: block
paranoiaLevel: 1
crs:
  dir: waf/crs
  allowedMethods: [GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS]
`;

/**
 * Puts the rule set into a copy of the demo's documents; answers what runs, in a line, or why it cannot. `cnx` runs a command and answers what it says on
 * standard error, or null when it went well.
 */
export function useCrs(
  source: string,
  place: CrsPlace,
  cnx: (args: readonly string[]) => string | null,
): string | null {
  const setup = place.setup === undefined ? [] : ['--setup', place.setup];
  const fault = cnx(['waf', 'crs', source, '--from', place.from, ...setup]);
  if (fault !== null) return fault;
  writeFileSync(join(source, 'waf.yaml'), WAF);
  return cnx(['check', source]);
}
