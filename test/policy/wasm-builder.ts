/**
 * Modules made by hand, byte by byte, that look like OPA's and misbehave: what no Rego source can be made to do (WebAssembly core specification, §5).
 * Memory: texts from 1024 on, the buffer that `opa_malloc` gives at 131072.
 */

export interface Misbehaviour {
  /** Instructions of `eval`; it must leave an i32. Default: `i32.const 0`, all is well. */
  readonly evaluate?: readonly number[];
  /** Text of every result. */
  readonly result?: string;
  /** What `opa_json_parse` returns; 0 = it could not parse. */
  readonly parsed?: number;
  /** Instructions of a start function. */
  readonly start?: readonly number[];
  readonly builtins?: string;
  readonly entrypoints?: string;
  readonly abi?: readonly [number, number];
  /** Further function import, module and name. */
  readonly foreign?: readonly [string, string];
  /** Exports left out. */
  readonly without?: readonly string[];
  /** Pages that the imported memory must have. */
  readonly pages?: number;
  /** Bring a memory instead of importing one. */
  readonly ownMemory?: boolean;
}

export const OP = {
  /** `loop br 0 end`: for ever. */
  forever: [0x03, 0x40, 0x0c, 0x00, 0x0b, 0x41, 0x00],
  unreachable: [0x00],
  /** Calls `opa_abort` with the text at 4096. */
  abort: [0x41, 0x80, 0x20, 0x10, 0x00, 0x41, 0x00],
  /** `eval` calls itself until the stack ends; it is the twelfth function after the one import. */
  recurse: [0x20, 0x00, 0x10, 12],
  /** Returns 1: evaluation failed. */
  failed: [0x41, 0x01],
} as const;

const RESULT_AT = 1024;
const BUILTINS_AT = 2048;
const ENTRYPOINTS_AT = 3072;
const ABORT_AT = 4096;
const BUFFER_AT = 131_072;

/** Types: 0 () → i32, 1 (i32) → i32, 2 (i32 i32) → i32, 3 (i32) → (), 4 (i32 i32) → (), 5 () → (). */
const TYPES = [
  [0x60, 0, 1, 0x7f],
  [0x60, 1, 0x7f, 1, 0x7f],
  [0x60, 2, 0x7f, 0x7f, 1, 0x7f],
  [0x60, 1, 0x7f, 0],
  [0x60, 2, 0x7f, 0x7f, 0],
  [0x60, 0, 0],
];

export function makeModule(m: Misbehaviour = {}): Uint8Array<ArrayBuffer> {
  const constant = (n: number): number[] => [0x41, ...sleb(n)];
  const functions: readonly (readonly [string, number, readonly number[]])[] = [
    ['opa_malloc', 1, constant(BUFFER_AT)],
    ['opa_free', 3, []],
    ['opa_json_parse', 2, constant(m.parsed ?? 1)],
    ['opa_json_dump', 1, [0x20, 0]],
    ['opa_heap_ptr_get', 0, constant(BUFFER_AT + 65_536)],
    ['opa_heap_ptr_set', 3, []],
    ['opa_eval_ctx_new', 0, constant(8)],
    ['opa_eval_ctx_set_input', 4, []],
    ['opa_eval_ctx_set_data', 4, []],
    ['opa_eval_ctx_set_entrypoint', 4, []],
    ['opa_eval_ctx_get_result', 1, constant(RESULT_AT)],
    ['eval', 1, m.evaluate ?? constant(0)],
    ['builtins', 0, constant(BUILTINS_AT)],
    ['entrypoints', 0, constant(ENTRYPOINTS_AT)],
    ['', 5, m.start ?? []],
  ];
  const imports = [
    [...text('env'), ...text('opa_abort'), 0, 3],
    ...(m.ownMemory === true ? [] : [[...text('env'), ...text('memory'), 2, 0, ...leb(m.pages ?? 4)]]),
    ...(m.foreign === undefined ? [] : [[...text(m.foreign[0]), ...text(m.foreign[1]), 0, 3]]),
  ];
  const imported = m.foreign === undefined ? 1 : 2;
  const exported = functions.flatMap(([name], i) =>
    name === '' || m.without?.includes(name) === true ? [] : [[...text(name), 0, ...leb(imported + i)]],
  );
  const [major, minor] = m.abi ?? [1, 3];
  const texts: readonly (readonly [number, string])[] = [
    [RESULT_AT, m.result ?? '[{"result":true}]'],
    [BUILTINS_AT, m.builtins ?? '{}'],
    [ENTRYPOINTS_AT, m.entrypoints ?? '{"made/allow":0}'],
    [ABORT_AT, 'made to abort'],
  ];
  return Uint8Array.from([
    0x00,
    0x61,
    0x73,
    0x6d,
    0x01,
    0x00,
    0x00,
    0x00,
    ...section(1, vector(TYPES)),
    ...section(2, vector(imports)),
    ...section(3, vector(functions.map(([, type]) => [type]))),
    ...(m.ownMemory === true ? section(5, vector([[0, 4]])) : []),
    ...section(6, vector([major, minor].map((n) => [0x7f, 0, ...constant(n), 0x0b]))),
    ...section(
      7,
      vector([...exported, [...text('opa_wasm_abi_version'), 3, 0], [...text('opa_wasm_abi_minor_version'), 3, 1]]),
    ),
    ...(m.start === undefined ? [] : section(8, leb(imported + functions.length - 1))),
    ...section(10, vector(functions.map(([, , body]) => sized([0, ...body, 0x0b])))),
    ...section(11, vector(texts.map(([at, t]) => [0, ...constant(at), 0x0b, ...sized([...Buffer.from(`${t}\0`)])]))),
  ]);
}

const section = (id: number, content: readonly number[]): number[] => [id, ...sized(content)];
const sized = (content: readonly number[]): number[] => [...leb(content.length), ...content];
const vector = (items: readonly (readonly number[])[]): number[] => [...leb(items.length), ...items.flat()];
const text = (t: string): number[] => sized([...Buffer.from(t)]);

function leb(n: number): number[] {
  return n < 0x80 ? [n] : [(n & 0x7f) | 0x80, ...leb(n >>> 7)];
}

/** Signed: the last byte's bit 6 is the sign. */
function sleb(n: number): number[] {
  return n < 0x40 ? [n] : [(n & 0x7f) | 0x80, ...sleb(n >> 7)];
}
