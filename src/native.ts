/** The only place where the addon is loaded; its typed surface. Statics of the addon are shared only among threads that load the same file. */
import { fileURLToPath } from 'node:url';
import { assert } from './base/assert.ts';
import type { LimitsAddon } from './native/limits.ts';
import type { RouterAddon } from './native/router.ts';
import type { WafAddon } from './native/waf.ts';

export interface Addon extends WafAddon, RouterAddon, LimitsAddon {
  /** Version of the crate, e.g. `0.1.0`. */
  version(): string;
}

let loaded: { readonly path: string; readonly addon: Addon } | null = null;

/** Where the addon lies when the gateway runs from its sources. */
export function addonPathOfSources(): string {
  return fileURLToPath(new URL('../native/cnx.node', import.meta.url));
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
    throw new Error(`the native addon cannot be loaded from ${path} (${why}); build it with \`npm run build:addon\``, {
      cause: error,
    });
  }
  loaded = { path, addon: module.exports };
  return module.exports;
}

/** The addon of this thread; loads the sources' one when nobody opened another. */
export function native(): Addon {
  return loaded?.addon ?? openNative(addonPathOfSources());
}
