/** Lays out what the container image holds: the binary, its assets beside it (a read-only root cannot unpack them), an empty state directory. */
import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const dist = fileURLToPath(new URL('../dist', import.meta.url));
const image = join(dist, 'image');

if (!existsSync(join(dist, 'cnx'))) throw new Error('dist/cnx is missing; run `npm run build` first');
rmSync(image, { recursive: true, force: true });
mkdirSync(join(image, 'state'), { recursive: true });
cpSync(join(dist, 'cnx'), join(image, 'cnx'));
cpSync(join(dist, 'cnx-assets'), join(image, 'cnx-assets'), { recursive: true });
console.error(`laid out ${image}`);
