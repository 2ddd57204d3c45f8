/** Reads regression tests of the Core Rule Set: YAML in the format of go-ftw, every scalar as the text that stands there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse } from 'yaml';
import type { DataDirectory } from '../data.ts';

export interface StageInput {
  readonly method: string;
  readonly uri: string;
  readonly version: string;
  /** In the order of the file. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly data: Buffer;
  readonly autocomplete: boolean;
  /** The whole request, verbatim. */
  readonly raw?: Buffer;
}

export interface StageOutput {
  readonly expectIds: readonly number[];
  readonly noExpectIds: readonly number[];
  readonly matches?: RegExp;
  readonly noMatches?: RegExp;
  readonly status?: number;
  readonly error: boolean;
}

export interface Stage {
  readonly input: StageInput;
  readonly output: StageOutput;
}

export interface CrsCase {
  /** `942100-1`. */
  readonly id: string;
  /** The folder that it stands in. */
  readonly set: string;
  readonly stages: readonly Stage[];
}

type Node = string | readonly Node[] | { readonly [key: string]: Node } | null | undefined;

const FOLDER = 'crs-tests';

/** All tests of the folder, in order of files. Throws with the file's name where something is not in the format. */
export function readCases(data: DataDirectory): CrsCase[] {
  const folder = folderOf(data.path);
  const files = data.files(folder, 'ml').filter((file) => /\.ya?ml$/.test(file));
  return files.flatMap((file) => {
    try {
      return casesOf(file, readFileSync(join(data.path, folder, file), 'utf8'));
    } catch (error) {
      throw new Error(`${file}: ${(error as Error).message}`, { cause: error });
    }
  });
}

/** Where the tests stand: in their folder of the data, or in the directory itself, when that is such a folder. */
export function folderOf(directory: string): string {
  if (existsSync(join(directory, FOLDER)) || !existsSync(directory)) return FOLDER;
  const names = readdirSync(directory);
  return names.some((name) => /^(REQUEST|RESPONSE)-\d/.test(name) || /\.ya?ml$/.test(name)) ? '.' : FOLDER;
}

/** The tests of one file. */
export function casesOf(file: string, text: string): CrsCase[] {
  const root = parse(text, { schema: 'failsafe', uniqueKeys: false }) as Node;
  const rule = textOf(field(root, 'rule_id')) ?? basename(file).replace(/\.ya?ml$/, '');
  const set = file.includes('/') ? file.slice(0, file.indexOf('/')) : 'tests';
  return listOf(field(root, 'tests')).map((test) => {
    const id = textOf(field(test, 'test_id'));
    return {
      id: id === undefined ? (textOf(field(test, 'test_title')) ?? `${rule}-?`) : `${rule}-${id}`,
      set,
      stages: listOf(field(test, 'stages')).map((stage) => stageOf(field(stage, 'stage') ?? stage)),
    };
  });
}

function stageOf(node: Node): Stage {
  const input = field(node, 'input');
  const output = field(node, 'output');
  const log = field(output, 'log');
  const encoded = textOf(field(input, 'encoded_request'));
  const encodedData = textOf(field(input, 'encoded_data'));
  const data = textOf(field(input, 'data')) ?? '';
  const matches = textOf(field(log, 'match_regex')) ?? textOf(field(output, 'log_contains'));
  const noMatches = textOf(field(log, 'no_match_regex')) ?? textOf(field(output, 'no_log_contains'));
  const status = statusOf(field(output, 'status'));
  return {
    input: {
      method: textOf(field(input, 'method')) ?? 'GET',
      uri: textOf(field(input, 'uri')) ?? '/',
      version: textOf(field(input, 'version')) ?? 'HTTP/1.1',
      headers: headersOf(input),
      data: encodedData === undefined ? Buffer.from(filledIn(data), 'utf8') : Buffer.from(encodedData, 'base64'),
      autocomplete:
        textOf(field(input, 'autocomplete_headers')) !== 'false' && textOf(field(input, 'stop_magic')) !== 'true',
      ...(encoded === undefined ? {} : { raw: Buffer.from(encoded, 'base64') }),
    },
    output: {
      expectIds: listOf(field(log, 'expect_ids')).map(Number),
      noExpectIds: listOf(field(log, 'no_expect_ids')).map(Number),
      error: textOf(field(output, 'expect_error')) === 'true',
      ...(matches === undefined ? {} : { matches: expressionOf(matches) }),
      ...(noMatches === undefined ? {} : { noMatches: expressionOf(noMatches) }),
      ...(status === undefined ? {} : { status }),
    },
  };
}

function headersOf(input: Node): (readonly [string, string])[] {
  const ordered = listOf(field(input, 'ordered_headers')).map(
    (header) => [textOf(field(header, 'name')) ?? '', textOf(field(header, 'value')) ?? ''] as const,
  );
  const headers = field(input, 'headers');
  if (headers === null || headers === undefined || typeof headers === 'string' || Array.isArray(headers))
    return ordered;
  return [...ordered, ...Object.entries(headers).map(([name, value]) => [name, textOf(value) ?? ''] as const)];
}

function statusOf(node: Node): number | undefined {
  const text = textOf(Array.isArray(node) ? (node[0] as Node) : node);
  return text === undefined ? undefined : Number(text);
}

/** RE2 as go-ftw has it; inline flags at the begin become flags. */
function expressionOf(text: string): RegExp {
  const flags = /^\(\?([ims]+)\)/.exec(text);
  return flags === null ? new RegExp(text) : new RegExp(text.slice(flags[0].length), flags[1]);
}

/** Longest text that a template may make. */
const TEMPLATE_BYTES_MAX = 1 << 24;

/** Go templates: of all that is possible, `{{ "x" | repeat 5 }}` and `{{ repeat 5 "x" }}` occur. */
function filledIn(text: string): string {
  return text
    .replaceAll(/\{\{-?\s*"((?:[^"\\]|\\.)*)"\s*\|\s*repeat\s+(\d+)\s*-?\}\}/g, (_, unit: string, n: string) =>
      repeated(unit, n),
    )
    .replaceAll(/\{\{-?\s*repeat\s+(\d+)\s+"((?:[^"\\]|\\.)*)"\s*-?\}\}/g, (_, n: string, unit: string) =>
      repeated(unit, n),
    );
}

function repeated(unit: string, n: string): string {
  if (unit.length * Number(n) > TEMPLATE_BYTES_MAX)
    throw new Error(`a template makes more than ${TEMPLATE_BYTES_MAX} bytes`);
  return unit.repeat(Number(n));
}

function field(node: Node, name: string): Node {
  return node === null || node === undefined || typeof node === 'string' || Array.isArray(node)
    ? undefined
    : (node as { readonly [key: string]: Node })[name];
}

function listOf(node: Node): readonly Node[] {
  return Array.isArray(node) ? (node as readonly Node[]) : [];
}

function textOf(node: Node): string | undefined {
  return typeof node === 'string' ? node : undefined;
}
