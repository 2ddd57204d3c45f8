/** A YAML or JSON document that knows where each of its values stands, so that an error can name file and line. */
import { isMap, isScalar, isSeq, LineCounter, parseDocument, type Node } from 'yaml';

/** One thing that is wrong with a configuration, and how to mend it. */
export interface Problem {
  readonly file: string;
  /** 1-based; 0 when the whole file is meant. */
  readonly line: number;
  readonly column: number;
  /** JSON Pointer (RFC 6901) into the document. */
  readonly path: string;
  readonly message: string;
}

/** `file:line:column: /path: message`, as editors and people read it. */
export function renderProblem(p: Problem): string {
  const place = p.line > 0 ? `${p.file}:${p.line}:${p.column}` : p.file;
  return `${place}: ${p.path === '' ? '' : `${p.path}: `}${p.message}`;
}

/** Thrown by whoever cannot go on; holds all that was found. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly Problem[];
  constructor(problems: readonly Problem[]) {
    super(problems.map(renderProblem).join('\n'));
    this.problems = problems;
  }
}

/** Largest document that is read. Unit: bytes. */
export const DOCUMENT_BYTES_MAX = 64 * 1024 * 1024;
/** Aliases may not blow a small document up. */
const ALIASES_MAX = 100;

export class Document {
  readonly file: string;
  readonly value: unknown;
  readonly problems: readonly Problem[];
  readonly #root: Node | null;
  readonly #lines: LineCounter;

  constructor(file: string, text: string) {
    this.file = file;
    this.#lines = new LineCounter();
    if (text.length > DOCUMENT_BYTES_MAX) {
      this.#root = null;
      this.value = undefined;
      this.problems = [
        this.#problem(0, '', `the file has ${text.length} bytes; at most ${DOCUMENT_BYTES_MAX} are read`),
      ];
      return;
    }
    const doc = parseDocument(text, {
      lineCounter: this.#lines,
      uniqueKeys: true,
      strict: true,
      version: '1.2',
      schema: 'core',
    });
    this.#root = doc.contents;
    const problems = doc.errors.map((e) => this.#problem(e.pos[0], '', e.message.split('\n')[0] ?? e.code));
    let value: unknown;
    if (problems.length === 0) {
      try {
        value = doc.toJS({ maxAliasCount: ALIASES_MAX });
      } catch (error) {
        problems.push(this.#problem(0, '', error instanceof Error ? error.message : String(error)));
      }
    }
    this.value = value;
    this.problems = problems;
  }

  /** A problem at a JSON Pointer; `key` marks the key of a mapping rather than its value. */
  problem(path: string, message: string, key?: string): Problem {
    return this.#problem(this.#offset(path, key), key === undefined ? path : `${path}/${key}`, message);
  }

  #problem(offset: number, path: string, message: string): Problem {
    const at = this.#lines.lineStarts.length > 0 ? this.#lines.linePos(offset) : { line: 0, col: 0 };
    return { file: this.file, line: at.line, column: at.col, path, message };
  }

  /** Offset of the deepest node of the pointer that exists. */
  #offset(path: string, key?: string): number {
    let node: Node | null = this.#root;
    let offset = node?.range?.[0] ?? 0;
    const parts = path === '' ? [] : path.slice(1).split('/');
    if (key !== undefined) parts.push(key);
    for (const [i, raw] of parts.entries()) {
      const part = raw.replaceAll('~1', '/').replaceAll('~0', '~');
      let next: Node | null = null;
      if (isMap(node)) {
        for (const pair of node.items) {
          if (!isScalar(pair.key) || String(pair.key.value) !== part) continue;
          const wantsKey = key !== undefined && i === parts.length - 1;
          next = wantsKey ? pair.key : ((pair.value as Node | null) ?? pair.key);
        }
      } else if (isSeq(node)) {
        next = (node.items[Number(part)] as Node | undefined) ?? null;
      }
      if (next === null) break;
      node = next;
      offset = node.range?.[0] ?? offset;
    }
    return offset;
  }
}
