/** The SecLang sources of a bundle as they are compiled: what the engine is told first, the files in their order, and the changes that `waf.yaml` writes. */
import type { WafConfig } from '../../config/waf.ts';

/** Names of the sources that stand in no file; diagnostics use them. */
export const ENGINE_SOURCE = 'engine settings of the gateway.conf';
export const ARGUMENTS_SOURCE = 'argumentsReadMax of waf.yaml.conf';
export const ANSWERS_SOURCE = 'answers of waf.yaml.conf';
export const UPDATES_SOURCE = 'updates of waf.yaml.conf';

/**
 * What ModSecurity's recommended configuration says, for bundles with a CRS directory: the CRS itself says nothing of it, and relies on bodies being read and
 * on malformed ones being refused. The bounds are ceilings: `bodyBytes` of bundle and route is below them.
 */
export const ENGINE_SETTINGS = `SecRequestBodyAccess On
SecRequestBodyLimit 16777216
SecRequestBodyLimitAction ProcessPartial
SecRequestBodyJsonDepthLimit 512
SecArgumentsLimit 1000
SecResponseBodyAccess On
SecResponseBodyLimit 16777216
SecResponseBodyLimitAction ProcessPartial
SecRule REQBODY_ERROR "!@eq 0" "id:200002,phase:2,t:none,log,deny,severity:CRITICAL,tag:'body-error',\\
    msg:'The request body cannot be read',logdata:'%{reqbody_error_msg}'"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" "id:200003,phase:2,t:none,log,deny,severity:CRITICAL,tag:'body-error',\\
    msg:'The multipart body breaks the rules of its form'"
SecRule MULTIPART_UNMATCHED_BOUNDARY "@eq 1" "id:200004,phase:2,t:none,log,deny,severity:CRITICAL,tag:'body-error',\\
    msg:'The multipart body may hold a part that was not seen'"
`;

/** A file of rules as the compiler takes it. */
export interface Source {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** All rule sources in the order in which they are compiled. */
export function sourcesOf(config: WafConfig, answerTypes: readonly string[], files: readonly Source[]): Source[] {
  const engine = config.crs?.dir === undefined ? [] : [source(ENGINE_SOURCE, ENGINE_SETTINGS)];
  const { argumentsReadMax: most } = config;
  const bound = most === undefined ? [] : [source(ARGUMENTS_SOURCE, `SecArgumentsLimit ${most}\n`)];
  const answers = answerTypes.length === 0 ? [] : [source(ANSWERS_SOURCE, answerSettings(answerTypes))];
  const updates = config.updates.length === 0 ? [] : [source(UPDATES_SOURCE, updatesOf(config))];
  return [...engine, ...files, ...bound, ...answers, ...updates];
}

function source(name: string, text: string): Source {
  return { name, bytes: Buffer.from(text, 'utf8') };
}

/** `waf.yaml` and routes say whether answers are read, and which: that wins over what rule files say. */
function answerSettings(types: readonly string[]): string {
  return `SecResponseBodyAccess On\nSecResponseBodyMimeType ${types.join(' ')}\n`;
}

/** One line for each directive, and for each line the place of its update. */
function updateLines(config: WafConfig): readonly { readonly line: string; readonly path: string }[] {
  return config.updates.flatMap((update, i) => [
    ...(update.remove ? [{ line: `SecRuleRemoveById ${update.rules}`, path: `/updates/${i}/remove` }] : []),
    ...update.targets.map((target, j) => ({
      line: `SecRuleUpdateTargetById ${update.rules} "${target}"`,
      path: `/updates/${i}/targets/${j}`,
    })),
    ...(update.actions.length === 0
      ? []
      : [
          {
            line: `SecRuleUpdateActionById ${update.rules} "${update.actions.join(',')}"`,
            path: `/updates/${i}/actions`,
          },
        ]),
  ]);
}

function updatesOf(config: WafConfig): string {
  return updateLines(config)
    .map(({ line }) => `${line}\n`)
    .join('');
}

/** Where in `waf.yaml` a line of the updates comes from. */
export function updatePath(config: WafConfig, line: number): string {
  return updateLines(config)[line - 1]?.path ?? '/updates';
}
