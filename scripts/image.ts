/**
 * Lays out what the container image holds: the binary, its assets beside it (a read-only root cannot unpack them), an empty state directory. The
 * Dockerfile copies this and nothing else.
 */
import { chmodSync, cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BINARY } from './build.ts';

const dist = fileURLToPath(new URL('../dist', import.meta.url));
export const IMAGE = join(dist, 'image');

/** Lays out `dist/image/`. Throws when the binary has not been built. */
export function layOutImage(): void {
  if (!existsSync(BINARY)) throw new Error('dist/cnx is missing; run `npm run build` first');
  rmSync(IMAGE, { recursive: true, force: true });
  mkdirSync(join(IMAGE, 'state'), { recursive: true });
  chmodSync(IMAGE, 0o755);
  chmodSync(join(IMAGE, 'state'), 0o700);
  cpSync(BINARY, join(IMAGE, 'cnx'));
  cpSync(join(dist, 'cnx-assets'), join(IMAGE, 'cnx-assets'), { recursive: true });
}

if (import.meta.filename === process.argv[1]) {
  layOutImage();
  console.error(`laid out ${IMAGE}`);
}
