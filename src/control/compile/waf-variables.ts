/** Settings of the Core Rule Set as variables of its collection TX: the names and forms that its `crs-setup.conf` describes. */
import type { CrsSettings } from '../../config/waf-crs.ts';
import type { WafVariable } from '../../native/waf.ts';

type ListName = {
  [K in keyof CrsSettings]-?: CrsSettings[K] extends string[] | undefined ? K : never;
}[keyof CrsSettings];

/** How the CRS writes a list: words between spaces, each between these marks. */
const LISTS: Readonly<Record<ListName, readonly [name: string, before: string, after: string]>> = {
  allowedMethods: ['allowed_methods', '', ''],
  allowedContentTypes: ['allowed_request_content_type', '|', '|'],
  allowedCharsets: ['allowed_request_content_type_charset', '|', '|'],
  allowedHttpVersions: ['allowed_http_versions', '', ''],
  restrictedExtensions: ['restricted_extensions', '', '/'],
  restrictedHeaders: ['restricted_headers_basic', '/', '/'],
  restrictedHeadersExtended: ['restricted_headers_extended', '/', '/'],
};

type NumberName = {
  [K in keyof CrsSettings]-?: CrsSettings[K] extends number | boolean | undefined ? K : never;
}[keyof CrsSettings];

const NUMBERS: Readonly<Record<NumberName, string>> = {
  argumentsMax: 'max_num_args',
  argumentNameBytesMax: 'arg_name_length',
  argumentBytesMax: 'arg_length',
  argumentsBytesMax: 'total_arg_length',
  fileBytesMax: 'max_file_size',
  filesBytesMax: 'combined_file_sizes',
  validateUtf8: 'crs_validate_utf8_encoding',
  forceUrlencoded: 'enforce_bodyproc_urlencoded',
  allowMethodOverride: 'allow_method_override_parameter',
  skipResponseAnalysis: 'crs_skip_response_analysis',
  reportingLevel: 'reporting_level',
};

/** What a bundle or a route says of scores and levels. */
export interface Levels {
  readonly paranoiaLevel?: number;
  readonly detectionParanoiaLevel?: number;
  readonly threshold?: number;
  readonly outboundThreshold?: number;
  readonly earlyBlocking?: boolean;
  readonly samplingPercentage?: number;
}

/** Variables of the settings of a bundle under those of a route. */
export function variablesOf(
  bundle: Levels & { readonly crs?: CrsSettings },
  route: (Levels & { readonly crs?: CrsSettings }) | undefined,
): WafVariable[] {
  const scores = { ...bundle.crs?.scores, ...route?.crs?.scores };
  const set = { ...bundle.crs?.set, ...route?.crs?.set };
  const variables = { ...levels(bundle, route), ...settings({ ...bundle.crs, ...route?.crs, scores, set }) };
  return Object.entries(variables).map(([name, value]) => ({ name, value }));
}

function levels(bundle: Levels, route: Levels | undefined): Record<string, string> {
  const blocking = route?.paranoiaLevel ?? bundle.paranoiaLevel;
  // A route that names a level of blocking alone means both by it; no level of detection is below that of blocking.
  const written =
    route?.detectionParanoiaLevel ?? (route?.paranoiaLevel === undefined ? bundle.detectionParanoiaLevel : undefined);
  const detection = written === undefined ? blocking : Math.max(written, blocking ?? 1);
  const rows: readonly (readonly [string, number | boolean | undefined])[] = [
    ['blocking_paranoia_level', blocking],
    ['detection_paranoia_level', detection],
    // As CRS 3 calls them.
    ['paranoia_level', blocking],
    ['executing_paranoia_level', detection],
    ['inbound_anomaly_score_threshold', route?.threshold ?? bundle.threshold],
    ['outbound_anomaly_score_threshold', route?.outboundThreshold ?? bundle.outboundThreshold],
    ['early_blocking', route?.earlyBlocking ?? bundle.earlyBlocking],
    ['sampling_percentage', route?.samplingPercentage ?? bundle.samplingPercentage],
  ];
  return Object.fromEntries(rows.flatMap(([name, value]) => (value === undefined ? [] : [[name, `${Number(value)}`]])));
}

function settings(s: CrsSettings): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const [field, [name, before, after]] of Object.entries(LISTS)) {
    const list = s[field as ListName];
    if (list !== undefined) variables[name] = list.map((word) => `${before}${word}${after}`).join(' ');
  }
  for (const [field, name] of Object.entries(NUMBERS)) {
    const value = s[field as NumberName];
    if (value !== undefined) variables[name] = `${Number(value)}`;
  }
  for (const [severity, score] of Object.entries(s.scores ?? {}))
    if (score !== undefined) variables[`${severity}_anomaly_score`] = `${score}`;
  for (const [name, value] of Object.entries(s.set ?? {})) variables[name.toLowerCase()] = value;
  return variables;
}
