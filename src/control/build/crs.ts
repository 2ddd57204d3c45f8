/** The Core Rule Set of a bundle directory, in the order in which its parts are loaded: setup, settings of plugins, own files, rules, what plugins put behind them. */
import { existsSync, realpathSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Part } from '../../config/bundle.ts';
import type { WafConfig } from '../../config/waf.ts';
import { readCrs } from '../crs/directory.ts';

interface NamedFile {
  /** In the bundle. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

type Load = (part: Part, path: string, name: string) => Uint8Array | null;

/** Places of plugins' files, by the ends of their names. */
const PLUGIN_PLACES = ['config', 'before', 'after'] as const;
type PluginPlace = (typeof PLUGIN_PLACES)[number];

/** `report` hears what is wrong, by place in `waf.yaml`. Without `crs.dir` there is nothing. */
export function crsFiles(
  root: string,
  waf: WafConfig,
  load: Load,
  report: (path: string, message: string) => void,
): { readonly rules: readonly NamedFile[]; readonly data: readonly NamedFile[] } {
  const { crs } = waf;
  if (crs?.dir === undefined) return { rules: [], data: [] };
  const { dir } = crs;
  if (existsSync(join(root, dir)) && relative(root, realpathSync(join(root, dir))).startsWith('..')) {
    report('/crs/dir', `"${dir}" leads out of the bundle directory`);
    return { rules: [], data: [] };
  }
  const set = readCrs(join(root, dir), (message) => report('/crs/dir', message));
  if (set === null) return { rules: [], data: [] };
  const named = (list: readonly { readonly path: string; readonly bytes: Uint8Array }[]): NamedFile[] =>
    list.map(({ path, bytes }) => ({ name: `${dir}/${path}`, bytes }));
  const own = (path: string, name: string): NamedFile[] => {
    const bytes = load('waf', path, name);
    return bytes === null ? [] : [{ name, bytes }];
  };
  const plugins: Record<PluginPlace, NamedFile[]> = { config: [], before: [], after: [] };
  for (const [i, name] of crs.plugins.entries()) {
    const place = PLUGIN_PLACES.find((p) => name.endsWith(`-${p}.conf`));
    if (place === undefined)
      report(
        `/crs/plugins/${i}`,
        `"${name}" ends neither with -config.conf nor with -before.conf nor with -after.conf`,
      );
    else plugins[place].push(...own(`/crs/plugins/${i}`, name));
  }
  return {
    rules: [
      ...(crs.setup === undefined ? named([set.setup]) : own('/crs/setup', crs.setup)),
      ...plugins.config,
      ...crs.before.flatMap((name, i) => own(`/crs/before/${i}`, name)),
      ...plugins.before,
      ...named(set.rules),
      ...plugins.after,
    ],
    data: named(set.data),
  };
}
