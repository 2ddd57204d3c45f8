/** A YAML or JSON document that knows where each of its values stands, so that an error can name file and line. */
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, visit, type YAMLError } from 'yaml';
import { readJson } from './json-text.ts';

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

/** A name as a part of a JSON Pointer (RFC 6901 §3). */
export function pointerPart(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}

/** The parts of a JSON Pointer. */
export function pointerParts(path: string): string[] {
  if (path === '') return [];
  return path
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** Problems of a document in the order of its lines. */
export function inOrder(problems: readonly Problem[]): Problem[] {
  return problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
}

/** Largest document that is read. Unit: UTF-16 code units, which is bytes for plain English. */
export const DOCUMENT_LENGTH_MAX = 64 * 1024 * 1024;
/** Deepest nesting; the documents here need eight. */
export const NESTING_MAX = 64;
/** Problems of one document that are told at once. */
export const PROBLEMS_MAX = 200;
/** Aliases may not blow a small document up. */
const ALIASES_MAX = 100;

export class Document {
  readonly file: string;
  readonly value: unknown;
  readonly problems: readonly Problem[];
  readonly #text: string;
  /** Where values stand; read when the first problem asks for it. */
  #tree: Tree | null = null;

  constructor(file: string, text: string) {
    this.file = file;
    this.#text = text;
    if (text.length > DOCUMENT_LENGTH_MAX) {
      this.value = undefined;
      this.problems = [whole(file, `the file has ${text.length} characters; at most ${DOCUMENT_LENGTH_MAX} are read`)];
      return;
    }
    const json = readJson(text, NESTING_MAX);
    if (json !== undefined) {
      this.value = json;
      this.problems = [];
      return;
    }
    const tree = (this.#tree = readTree(text));
    this.problems = tree.faults.map((f) => this.#problem(f.offset, '', f.message));
    this.value = this.problems.length > 0 ? undefined : tree.value;
  }

  /** A problem at a JSON Pointer; `key` marks the key of a mapping rather than its value. */
  problem(path: string, message: string, key?: string): Problem {
    const full = key === undefined ? path : `${path}/${pointerPart(key)}`;
    return this.#problem(this.#offset(pointerParts(full), key !== undefined), full, message);
  }

  /** Said after the first `PROBLEMS_MAX`. */
  more(): Problem {
    return whole(this.file, `and more; only ${PROBLEMS_MAX} problems are told at once`);
  }

  #problem(offset: number, path: string, message: string): Problem {
    const { lines } = (this.#tree ??= readTree(this.#text));
    const at = lines.lineStarts.length > 0 ? lines.linePos(offset) : { line: 1, col: 1 };
    return { file: this.file, line: at.line, column: at.col, path, message };
  }

  /** Offset of the deepest node of the pointer that exists. */
  #offset(parts: readonly string[], wantsKey: boolean): number {
    const { root } = (this.#tree ??= readTree(this.#text));
    let node: Node | null = root;
    let offset = node?.range?.[0] ?? 0;
    for (const [i, part] of parts.entries()) {
      let next: Node | null = null;
      if (isMap(node)) {
        for (const pair of node.items) {
          if (!isScalar(pair.key) || String(pair.key.value) !== part) continue;
          next = wantsKey && i === parts.length - 1 ? pair.key : ((pair.value as Node | null) ?? pair.key);
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

/** A document read by the YAML reader, which reads JSON too. */
interface Tree {
  readonly root: Node | null;
  readonly lines: LineCounter;
  readonly value: unknown;
  readonly faults: readonly { readonly offset: number; readonly message: string }[];
}

function readTree(text: string): Tree {
  const lines = new LineCounter();
  const none = (message: string): Tree => ({ root: null, lines, value: undefined, faults: [{ offset: 0, message }] });
  const tooDeep = `nested too deeply; at most ${NESTING_MAX} levels are read`;
  try {
    const doc = parseDocument(text, {
      lineCounter: lines,
      uniqueKeys: true,
      strict: true,
      version: '1.2',
      schema: 'core',
    });
    const wrong: readonly YAMLError[] = [...doc.errors, ...doc.warnings];
    if (wrong.some((e) => e.code === 'RESOURCE_EXHAUSTION')) return none(tooDeep);
    if (wrong.length > 0) {
      const faults = wrong.slice(0, PROBLEMS_MAX).map((e) => ({ offset: e.pos[0], message: words(e, text) }));
      return { root: doc.contents, lines, value: undefined, faults };
    }
    const faults: { offset: number; message: string }[] = [];
    visit(doc, {
      Pair: (_, pair) => {
        if (isScalar(pair.key) || faults.length >= PROBLEMS_MAX) return;
        faults.push({ offset: (pair.key as Node | null)?.range?.[0] ?? 0, message: 'a key is a plain text' });
      },
    });
    if (faults.length > 0) return { root: doc.contents, lines, value: undefined, faults };
    const value: unknown = doc.toJS({ maxAliasCount: ALIASES_MAX });
    if (isDeeper(value, NESTING_MAX)) return none(tooDeep);
    return { root: doc.contents, lines, value, faults: [] };
  } catch (error) {
    if (error instanceof RangeError) return none(tooDeep); // The reader's stack ran out.
    const message = error instanceof Error ? error.message : String(error);
    if (message.startsWith('Excessive alias count'))
      return none(`its aliases (*name) repeat too much; use fewer than ${ALIASES_MAX}, or write it out`);
    return none(message);
  }
}

/** An alias is one object in many places: looked at again only where it lies deeper. One that holds itself has no end, and is deeper. */
function isDeeper(value: unknown, left: number, seen = new Map<object, number>()): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (left === 0) return true;
  const before = seen.get(value);
  if (before !== undefined && before <= left) return false;
  seen.set(value, left);
  return Object.values(value).some((v) => isDeeper(v, left - 1, seen));
}

/** What the YAML reader means, for somebody who never read its source. */
function words(e: YAMLError, text: string): string {
  switch (e.code) {
    case 'DUPLICATE_KEY': {
      const key = /^(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s:,}\]]+)/.exec(text.slice(e.pos[0], e.pos[0] + 256))?.[0] ?? '';
      return `the key ${key} is in this mapping twice`;
    }
    case 'TAB_AS_INDENT':
      return 'a tab cannot indent YAML; use spaces';
    case 'MULTIPLE_DOCS':
      return 'a second document begins here; a file holds one';
    case 'TAG_RESOLVE_FAILED':
      return 'tags (!name) mean nothing here; remove it, or put the text in quotes';
    case 'BLOCK_AS_IMPLICIT_KEY':
      return 'a mapping cannot begin in the middle of a line; a text that holds `: ` needs quotes';
    default:
      return (e.message.split('\n')[0] ?? e.code).replace(/ at line \d+, column \d+:?$/, '');
  }
}

function whole(file: string, message: string): Problem {
  return { file, line: 0, column: 0, path: '', message };
}
