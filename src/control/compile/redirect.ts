/** Where redirects lead: to HTTPS, to a literal location, or to the client's own address with parts of it replaced. */
import type { RedirectConfig } from '../../config/respond.ts';
import type { RedirectPlan } from '../../snapshot/route-plans.ts';
import { type PathInput, pathChange } from './paths.ts';
import type { Report } from './report.ts';

const HTTPS_PORT = 443;
/** What `redirect.to` may be besides a location: the scheme changes, the rest stays. */
const TO_HTTPS = /^https(?::([1-9][0-9]{0,4}))?$/;
/** A location (RFC 9110 §10.2.2): an absolute http(s) address, or a path with one slash; printable ASCII without spaces, quotes and what browsers mend. */
const LOCATION = /^(?:https?:\/\/[^/?#\\@]+|\/(?!\/))[\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7c\x7e]*$/;
/** A name or an address, without port. */
const HOST = /^(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])$/;
/** Fields that replace parts. */
const PARTS = [
  'scheme',
  'host',
  'port',
  'stripPrefix',
  'replacePath',
  'replacePathRegex',
  'addPrefix',
  'stripQuery',
] as const;

/** `at`: JSON Pointer of the redirect. */
export function redirectPlan(config: RedirectConfig, at: string, input: PathInput): RedirectPlan {
  const { report } = input;
  const { to } = config;
  const parts = PARTS.filter((name) => config[name] !== undefined);
  if (to === undefined) {
    if (parts.length === 0) report('routes', at, `leads nowhere: say \`to\`, or what changes: ${PARTS.join(', ')}`);
    return partsPlan(config, at, input);
  }
  for (const name of parts) report('routes', `${at}/${name}`, '`to` says the whole location; keep one of them');
  return locationPlan(to, config.status, `${at}/to`, report);
}

function partsPlan(config: RedirectConfig, at: string, input: PathInput): RedirectPlan {
  if (config.host !== undefined && !HOST.test(config.host))
    input.report(
      'routes',
      `${at}/host`,
      `"${config.host}" is no host; a name or an address is expected, and \`port\` beside it`,
    );
  const to = {
    scheme: config.scheme ?? null,
    host: config.host?.toLowerCase() ?? null,
    port: config.port ?? 0,
    stripQuery: config.stripQuery ?? false,
    ...pathChange(config, at, input),
  };
  return { status: config.status, to, httpsPort: HTTPS_PORT };
}

function locationPlan(to: string, status: number, at: string, report: Report): RedirectPlan {
  const https = TO_HTTPS.exec(to);
  if (https !== null) {
    const httpsPort = https[1] === undefined ? HTTPS_PORT : Number(https[1]);
    if (httpsPort > 65_535) report('routes', at, `${httpsPort} is not a port; 1 to 65535 is expected`);
    return { status, to: 'https', httpsPort };
  }
  if (!LOCATION.test(to)) {
    report(
      'routes',
      at,
      `"${to}" is no location; \`https\`, \`https:<port>\`, \`https://host/…\` or a path that begins with one slash is expected`,
    );
  }
  return { status, to: { location: to }, httpsPort: HTTPS_PORT };
}
