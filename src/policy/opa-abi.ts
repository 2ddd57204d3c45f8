/** The binary interface of an OPA module, versions 1.2 and 1.3 (openpolicyagent.org, "WASM"): what it exports and what it asks for. */

/** Exports that we use. Addresses and lengths are numbers; a value is the address of an opaque structure. */
export interface OpaExports {
  readonly opa_malloc: (size: number) => number;
  readonly opa_free: (address: number) => void;
  readonly opa_json_parse: (address: number, length: number) => number;
  readonly opa_json_dump: (value: number) => number;
  readonly opa_heap_ptr_get: () => number;
  readonly opa_heap_ptr_set: (address: number) => void;
  readonly opa_eval_ctx_new: () => number;
  readonly opa_eval_ctx_set_input: (context: number, value: number) => void;
  readonly opa_eval_ctx_set_data: (context: number, value: number) => void;
  readonly opa_eval_ctx_set_entrypoint: (context: number, entrypoint: number) => void;
  readonly opa_eval_ctx_get_result: (context: number) => number;
  readonly eval: (context: number) => number;
  /** Object: name of a built-in that the host must give → number by which the module calls it. */
  readonly builtins: () => number;
  /** Object: entrypoint → number. */
  readonly entrypoints: () => number;
  readonly opa_wasm_abi_version: { readonly value: number };
  readonly opa_wasm_abi_minor_version: { readonly value: number };
}

/** Exported functions that must be there. */
export const REQUIRED_FUNCTIONS = [
  'opa_malloc',
  'opa_free',
  'opa_json_parse',
  'opa_json_dump',
  'opa_heap_ptr_get',
  'opa_heap_ptr_set',
  'opa_eval_ctx_new',
  'opa_eval_ctx_set_input',
  'opa_eval_ctx_set_data',
  'opa_eval_ctx_set_entrypoint',
  'opa_eval_ctx_get_result',
  'eval',
  'builtins',
  'entrypoints',
] as const satisfies readonly (keyof OpaExports)[];

/** Exported globals that must be there. */
export const REQUIRED_GLOBALS = ['opa_wasm_abi_version', 'opa_wasm_abi_minor_version'] as const;

/** Functions of module `env` that we give; the only ones that a module may import, besides `env.memory`. */
export const HOST_FUNCTIONS = [
  'opa_abort',
  'opa_println',
  'opa_builtin0',
  'opa_builtin1',
  'opa_builtin2',
  'opa_builtin3',
  'opa_builtin4',
] as const;

export const ABI_MAJOR = 1;
/** Oldest minor version: before it `opa_json_parse` and friends differ. */
export const ABI_MINOR_MIN = 2;

/** Bytes of a WebAssembly page. */
export const PAGE_BYTES = 65_536;
