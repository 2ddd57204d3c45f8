/** Answers that need no endpoint: files in shared memory, direct answers, and templates of pages in the place of refusals. */
import { createHash } from 'node:crypto';
import type { Part } from '../../config/bundle.ts';
import { suggestion } from '../../config/nearest.ts';
import { REFUSAL_CODES } from '../../config/refusal-codes.ts';
import type { DirectConfig, ErrorPageConfig, FilesConfig } from '../../config/static.ts';
import type { TextKind, DirectPlan, FileRow, FilesPlan, FileTable, PagePlan } from '../../snapshot/respond-plans.ts';
import { PAGE_VARIABLES, type TextPart, VARIABLES } from '../../snapshot/variables.ts';
import { contentTypeOf } from './content-types.ts';
import { encodePath } from './paths.ts';
import type { Report } from './report.ts';
import { partsOf } from './variables.ts';

/** Longest template of a page. Unit: bytes. */
const PAGE_BYTES_MAX = 256 * 1024;
const KINDS = ['html', 'json', 'text'] as const;
/** Statuses whose answers have no content (RFC 9110 §6.4.1). */
const BODILESS: readonly number[] = [204, 205, 304];

/** How variables are escaped in content of this type: XML, SVG among it, has HTML's escapes, and scripts take JSON's within their quotes. */
function kindOf(contentType: string): TextKind {
  if (/html|xml/i.test(contentType)) return 'html';
  return /json|javascript|ecmascript/i.test(contentType) ? 'json' : 'text';
}

/** Files and pages of one bundle, gathered while its routes compile. */
export class StaticAnswers {
  readonly pages: PagePlan[] = [];
  readonly #files: ReadonlyMap<string, Uint8Array>;
  readonly #report: Report;
  readonly #rows = new Map<string, number>();
  readonly #taken: { readonly bytes: Uint8Array; readonly row: FileRow }[] = [];
  #bytes = 0;

  constructor(files: readonly { readonly name: string; readonly bytes: Uint8Array }[], report: Report) {
    this.#files = new Map(files.map((file) => [file.name, file.bytes]));
    this.#report = report;
  }

  /** All files that were taken; undefined when none was. */
  table(): FileTable | undefined {
    if (this.#taken.length === 0) return undefined;
    const bytes = new SharedArrayBuffer(this.#bytes);
    const view = new Uint8Array(bytes);
    for (const { bytes: content, row } of this.#taken) view.set(content, row.from);
    return { bytes, rows: this.#taken.map(({ row }) => row) };
  }

  /** Numbers of pages. `path`: JSON Pointer of the list. */
  addPages(list: readonly ErrorPageConfig[] | undefined, part: Part, path: string): number[] {
    return (list ?? []).map((config, i) => {
      const at = `${path}/${i}`;
      for (const [j, on] of config.on.entries()) {
        if (/^[a-z_]{4,}$/.test(on) && !REFUSAL_CODES.includes(on))
          this.#report(part, `${at}/on/${j}`, `there is no refusal "${on}"${suggestion(on, REFUSAL_CODES)}`);
      }
      const bodies: { [K in TextKind]?: readonly TextPart[] } = {};
      for (const kind of KINDS) {
        const name = config[kind];
        if (name !== undefined) bodies[kind] = this.#template(name, part, `${at}/${kind}`);
      }
      if (Object.keys(bodies).length === 0)
        this.#report(part, at, 'says no page: `html`, `json` or `text` names a file of the bundle directory');
      return this.pages.push({ on: config.on, bodies }) - 1;
    });
  }

  direct(config: DirectConfig, at: string): DirectPlan {
    const report = (below: string, message: string): void => this.#report('routes', `${at}${below}`, message);
    const { status, file, body } = config;
    if (file !== undefined && body !== undefined) report('/file', '`body` says the content already; keep one of them');
    if (BODILESS.includes(status) && (file !== undefined || (body ?? '') !== ''))
      report('', `an answer with ${status} has no content; leave out \`body\` and \`file\``);
    if (file !== undefined) {
      const contentType = config.contentType ?? contentTypeOf(file);
      return { status, contentType, body: { file: this.#row(file, contentType, 'routes', `${at}/file`) } };
    }
    const contentType = BODILESS.includes(status) ? '' : (config.contentType ?? 'text/plain; charset=utf-8');
    const kind = kindOf(contentType);
    return { status, contentType, body: { parts: partsOf(body ?? '', (message) => report('/body', message)), kind } };
  }

  files(config: FilesConfig, at: string): FilesPlan {
    const paths: Record<string, number> = {};
    const begin = `${config.root}/`;
    for (const name of this.#files.keys()) {
      // A signed bundle says what it serves; a hidden file is not served whoever put it there.
      if (!name.startsWith(begin) || /(^|\/)\./.test(name)) continue;
      paths[encodePath(name.slice(config.root.length))] = this.#row(name, contentTypeOf(name), 'routes', `${at}/root`);
    }
    if (Object.keys(paths).length === 0)
      this.#report('routes', `${at}/root`, `the bundle holds no files of "${config.root}"`);
    const fallback = config.fallback === undefined ? -1 : (paths[encodePath(`/${config.fallback}`)] ?? -1);
    if (config.fallback !== undefined && fallback < 0)
      this.#report('routes', `${at}/fallback`, `there is no file "${config.fallback}" below "${config.root}"`);
    return { paths, index: config.index, fallback, cacheControl: config.cacheControl };
  }

  #template(name: string, part: Part, at: string): readonly TextPart[] {
    const bytes = this.#files.get(name);
    const report = (message: string): void => this.#report(part, at, message);
    if (bytes === undefined) {
      report(`the bundle holds no file "${name}"`);
      return [];
    }
    if (bytes.length > PAGE_BYTES_MAX)
      report(`"${name}" has ${bytes.length} bytes; a page has at most ${PAGE_BYTES_MAX}`);
    return partsOf(Buffer.from(bytes).toString('utf8'), (message) => report(`${name}: ${message.slice(0, 300)}`), {
      ...VARIABLES,
      ...PAGE_VARIABLES,
    });
  }

  #row(name: string, contentType: string, part: Part, at: string): number {
    const key = `${contentType} ${name}`;
    const known = this.#rows.get(key);
    if (known !== undefined) return known;
    const bytes = this.#files.get(name);
    if (bytes === undefined) {
      this.#report(part, at, `the bundle holds no file "${name}"`);
      return 0;
    }
    const etag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`;
    const row = { from: this.#bytes, length: bytes.length, contentType, etag };
    this.#bytes += bytes.length;
    const index = this.#taken.push({ bytes, row }) - 1;
    this.#rows.set(key, index);
    return index;
  }
}
