import { type FSWatcher, watch } from 'node:fs';

/** Several renames of one publication become one look. */
const DEBOUNCE_MS = 50;

/** Calls back when something in a directory changed; polling goes on beside it, so that a lost event only costs time. */
export class DirectoryWatch {
  readonly #directory: string;
  readonly #changed: () => void;
  readonly #after: (ms: number, callback: () => void) => () => void;
  #watcher: FSWatcher | undefined;
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(directory: string, changed: () => void, after: (ms: number, callback: () => void) => () => void) {
    this.#directory = directory;
    this.#changed = changed;
    this.#after = after;
  }

  /** Watches if that is not being done yet. A directory that is not there (any more) is tried again with the next call. */
  ensure(): void {
    if (this.#watcher !== undefined || this.#stopped) return;
    try {
      const watcher = watch(this.#directory, { persistent: false });
      watcher.on('change', (_event, name) => {
        // Temporary files of the writer are not news; the rename to index.json is.
        if (name === null || name === 'index.json') this.#soon();
      });
      const drop = (): void => {
        watcher.close();
        if (this.#watcher === watcher) this.#watcher = undefined;
      };
      watcher.on('error', drop);
      // The directory itself was moved or removed: its watch reports nothing more.
      watcher.on('change', (event, name) => {
        if (event === 'rename' && name !== null && this.#directory.endsWith(String(name))) drop();
      });
      this.#watcher = watcher;
    } catch {
      // Not there or not watchable (some network file systems): polling finds changes.
      this.#watcher = undefined;
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  #soon(): void {
    if (this.#cancel !== undefined || this.#stopped) return;
    this.#cancel = this.#after(DEBOUNCE_MS, () => {
      this.#cancel = undefined;
      this.#changed();
    });
  }
}
