/** The only place where the addon is loaded; its typed surface. Statics of the addon are shared only among threads that load the same file. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert } from './base/assert.ts';
import { assetsInUse } from './base/worker-entry.ts';
import type { LimitsAddon } from './native/limits.ts';
import type { RewriteAddon } from './native/rewrite.ts';
import type { RouterAddon } from './native/router.ts';
import type { TransportAddon } from './native/transport.ts';
import type { WafAddon } from './native/waf.ts';

export interface Addon extends WafAddon, RouterAddon, RewriteAddon, LimitsAddon, TransportAddon {
  /** Version of the crate, e.g. `0.1.0`. */
  version(): string;
}

let loaded: { readonly path: string; readonly addon: Addon } | null = null;

/** Where the addon lies when the gateway runs from its sources. */
export function addonPathOfSources(): string {
  return fileURLToPath(new URL('../native/cnx.node', import.meta.url));
}

/** The file that every thread of this process loads: the single binary's asset, or the one built from the sources. Worker threads are told it. */
export function addonPath(): string {
  const assets = assetsInUse();
  return assets === null ? addonPathOfSources() : join(assets, 'cnx.node');
}

/** Loads the addon from `path`, once per thread. Throws with a mend when it cannot be loaded. */
export function openNative(path: string): Addon {
  if (loaded !== null) {
    assert(loaded.path === path, `the addon is already loaded from ${loaded.path}`);
    return loaded.addon;
  }
  const module = { exports: {} as Addon };
  try {
    // dlopen rather than require: in the single binary there is no module loader for files.
    process.dlopen(module, path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const mend =
      assetsInUse() === null
        ? 'build it with `npm run build:addon`'
        : 'where TMPDIR is mounted noexec, put cnx-assets/ beside the binary';
    throw new Error(`the native addon cannot be loaded from ${path} (${why}); ${mend}`, { cause: error });
  }
  loaded = { path, addon: module.exports };
  return module.exports;
}

/** The addon of this thread; loads the process' own when nobody opened another. */
export function native(): Addon {
  return loaded?.addon ?? openNative(addonPath());
}
