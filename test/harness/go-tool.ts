/** Tools written in Go that tests take as oracles where they are there: on the PATH, or in a cache outside of the project. They are never needed. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

const BUILD_TIMEOUT_MS = 300_000;

export interface GoTool {
  readonly name: string;
  /** Package of the command, and the version that tests were written against. */
  readonly module: string;
  readonly version: string;
  /** Directory of its source, for one of our own; `module` is then what it stands on. */
  readonly source?: string;
}

export type FoundTool = { readonly path: string } | { readonly absent: string };

/** Path of the tool, or why there is none and how to have it. It is not built here: that takes longer than a test may. */
export function goTool(tool: GoTool): FoundTool {
  const cache = cacheOf(tool);
  const path = [cache, ...pathDirectories()].map((directory) => join(directory, tool.name)).find(existsSync);
  if (path !== undefined) return { path };
  const { source, module, version } = tool;
  const how =
    source === undefined
      ? `GOBIN=${cache} go install ${module}@${version}`
      : `(cd ${source} && go build -o ${join(cache, tool.name)} .)`;
  return { absent: `${tool.name} is not there, so nothing was compared with it; ${how}` };
}

/** The same, built into the cache when it is not there and Go is. */
export async function builtGoTool(tool: GoTool, progress: (line: string) => void): Promise<FoundTool> {
  const found = goTool(tool);
  if ('path' in found) return found;
  const go = [...pathDirectories(), '/usr/local/go/bin'].map((directory) => join(directory, 'go')).find(existsSync);
  if (go === undefined) return { absent: 'Go is not installed' };
  const cache = cacheOf(tool);
  const { module, version } = tool;
  progress(`${tool.name}: building ${version} into ${cache}`);
  const env = { ...process.env, GOBIN: cache, GOFLAGS: '-mod=mod' };
  const fault = await new Promise<string | null>((resolve) => {
    execFile(go, ['install', `${module}@${version}`], { timeout: BUILD_TIMEOUT_MS, env }, (error, _stdout, stderr) =>
      resolve(error === null ? null : (stderr.trim().split('\n').at(-1) ?? error.message)),
    );
  });
  const path = join(cache, tool.name);
  if (fault === null && existsSync(path)) return { path };
  return { absent: `go install ${module}@${version} failed: ${fault ?? 'it made nothing'}` };
}

function pathDirectories(): string[] {
  return (process.env['PATH'] ?? '').split(delimiter);
}

function cacheOf({ name, version }: GoTool): string {
  const caches = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return join(caches, 'cloudnexus-tools', `${name}-${version}`);
}
