/** Files of a bundle directory that routes answer with: those that documents name, and all below a root, without hidden ones. */
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { BundleConfig, Part } from '../../config/bundle.ts';
import type { ErrorPageConfig } from '../../config/static.ts';

/** Files of one bundle. */
export const WEB_FILES_MAX = 256;
/** Longest file, as much as a transport answers with. Unit: bytes. */
export const WEB_FILE_BYTES_MAX = 1024 * 1024;
/** All of them together. Unit: bytes. */
export const WEB_BYTES_MAX = 16 * 1024 * 1024;
/** Deepest directory below a root. */
const DEPTH_MAX = 16;

interface WebFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}
type Note = (part: Part, path: string, message: string) => void;

/** `root`: of the bundle directory. */
export function webFiles(root: string, config: BundleConfig, note: Note): WebFile[] {
  const found = new Map<string, Uint8Array>();
  let bytes = 0;
  let full = false;
  const take = (name: string, part: Part, path: string): void => {
    if (found.has(name) || full) return;
    const fault = faultOf(root, name);
    if (fault !== null) {
      note(part, path, `"${name}" ${fault}`);
      return;
    }
    const content = readFileSync(join(root, name));
    bytes += content.length;
    full = found.size >= WEB_FILES_MAX || bytes > WEB_BYTES_MAX;
    if (full)
      note(
        part,
        path,
        `with "${name}" the bundle has more than ${WEB_FILES_MAX} files to answer with, or more than ${WEB_BYTES_MAX} bytes of them`,
      );
    else found.set(name, content);
  };
  const pages = (list: readonly ErrorPageConfig[] | undefined, part: Part, path: string): void => {
    for (const [i, page] of (list ?? []).entries())
      for (const kind of ['html', 'json', 'text'] as const) {
        const name = page[kind];
        if (name !== undefined) take(name, part, `${path}/${i}/${kind}`);
      }
  };
  pages(config.defaults.errorPages, 'defaults', '/errorPages');
  for (const [i, route] of config.routes.routes.entries()) {
    const at = `/routes/${i}/respond`;
    const { direct, files, errorPages } = route.respond ?? {};
    pages(errorPages, 'routes', `${at}/errorPages`);
    if (direct?.file !== undefined) take(direct.file, 'routes', `${at}/direct/file`);
    if (files === undefined) continue;
    const below = namesBelow(root, files.root);
    if (below === null)
      note('routes', `${at}/files/root`, `there is no directory "${files.root}" in the bundle directory`);
    else for (const name of below) take(name, 'routes', `${at}/files/root`);
  }
  return [...found].map(([name, content]) => ({ name, bytes: content }));
}

function faultOf(root: string, name: string): string | null {
  const file = join(root, name);
  if (!existsSync(file)) return 'is no file of the bundle directory';
  if (relative(root, realpathSync(file)).startsWith('..')) return 'leads out of the bundle directory';
  const stat = statSync(file);
  if (!stat.isFile()) return 'is no file';
  return stat.size > WEB_FILE_BYTES_MAX ? `has ${stat.size} bytes; at most ${WEB_FILE_BYTES_MAX} are possible` : null;
}

/** Names of all files below a directory, hidden ones left out; null when there is none. */
function namesBelow(root: string, directory: string): string[] | null {
  const from = join(root, directory);
  if (!existsSync(from) || !statSync(from).isDirectory()) return null;
  const names: string[] = [];
  const walk = (at: string, depth: number): void => {
    for (const entry of readdirSync(join(root, at), { withFileTypes: true })) {
      if (entry.name.startsWith('.') || names.length > WEB_FILES_MAX) continue;
      const name = `${at}/${entry.name}`;
      if (entry.isDirectory()) {
        if (depth < DEPTH_MAX) walk(name, depth + 1);
      } else if (statSync(join(root, name)).isFile()) names.push(name);
    }
  };
  walk(directory, 0);
  return names.sort();
}
