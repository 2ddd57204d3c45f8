/** Tools written in Go that tests take as oracles where they are there: on the PATH, or in a cache outside of the project. They are never needed. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

export interface GoTool {
  readonly name: string;
  /** Package of the command, and the version that tests were written against. */
  readonly module: string;
  readonly version: string;
}

/** Path of the tool, or why there is none and how to have it. It is not built here: that takes longer than a test may. */
export function goTool({ name, module, version }: GoTool): { readonly path: string } | { readonly absent: string } {
  const cache = join(
    process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
    'cloudnexus-tools',
    `${name}-${version}`,
  );
  const path = [cache, ...(process.env['PATH'] ?? '').split(delimiter)]
    .map((directory) => join(directory, name))
    .find((file) => existsSync(file));
  if (path !== undefined) return { path };
  return {
    absent: `${name} is not there, so nothing was compared with it; GOBIN=${cache} go install ${module}@${version}`,
  };
}
