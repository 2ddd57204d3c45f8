/**
 * What a module is, said without running any of it: imports, exports, memory, size, and where its patterns come from. What only the module itself can tell
 * (entrypoints, built-ins, ABI version) is asked in the sandbox, for every OPA module has a start function, which sets up its heap.
 */
import { ABI_MINOR_MIN, HOST_FUNCTIONS, REQUIRED_FUNCTIONS, REQUIRED_GLOBALS } from '../../policy/opa-abi.ts';
import { PolicyError } from '../../policy/policy-error.ts';
import { callsIn, readWasm, type WasmFacts } from './wasm-reader.ts';

/** Largest module. Unit: bytes. OPA's own runtime is about 320 KiB of it. */
export const MODULE_BYTES_MAX = 16 * 1024 * 1024;
/**
 * Most different literal patterns of `regex.match`, `regex.find_all_string_submatch_n` and `glob.match` in a policy. The module caches 100 compiled patterns and, to
 * make room, frees one that it may be using: from there on it can answer wrongly or never (docs/decisions/policy-driver.md).
 */
export const PATTERNS_MAX = 99;

export interface Inspection {
  readonly module: WebAssembly.Module;
  /** All patterns are literals, so compiled ones may be kept between evaluations (`OpaSpec.literalPatterns`). */
  readonly literalPatterns: boolean;
  /** Different literal patterns; an upper bound. */
  readonly patterns: number;
}

/** Throws PolicyError. `pagesMax` is the largest memory that the policy is given. */
export function inspectModule(policy: string, bytes: Uint8Array<ArrayBuffer>, pagesMax: number): Inspection {
  if (bytes.length > MODULE_BYTES_MAX) {
    throw new PolicyError(
      'too_large',
      policy,
      `the module has ${bytes.length} bytes; at most ${MODULE_BYTES_MAX} are allowed. Move tables into data`,
    );
  }
  let module: WebAssembly.Module;
  let facts: WasmFacts;
  try {
    module = new WebAssembly.Module(bytes);
    facts = readWasm(bytes);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new PolicyError(
      'not_wasm',
      policy,
      `the module is not valid WebAssembly (${why}); build it again with \`opa build -t wasm\``,
    );
  }
  checkImports(policy, module);
  checkExports(policy, module);
  checkMemory(policy, facts, pagesMax);
  const { literal, patterns } = findPatterns(facts);
  if (patterns > PATTERNS_MAX) {
    throw new PolicyError(
      'too_many_patterns',
      policy,
      `uses ${patterns} different patterns; with 100 or more OPA's pattern cache fails. Join patterns with \`|\`, compare literal strings with == or a set, or split the policy by route`,
    );
  }
  return { module, literalPatterns: literal, patterns };
}

function checkImports(policy: string, module: WebAssembly.Module): void {
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    const known =
      from === 'env' && (kind === 'memory' ? name === 'memory' : kind === 'function' && isHostFunction(name));
    if (!known) {
      throw new PolicyError(
        'foreign_import',
        policy,
        `the module imports ${kind} ${from}.${name}, which no OPA policy does; only modules of \`opa build -t wasm\` are accepted`,
      );
    }
  }
}

function isHostFunction(name: string): boolean {
  return (HOST_FUNCTIONS as readonly string[]).includes(name);
}

function checkExports(policy: string, module: WebAssembly.Module): void {
  const kinds = new Map(WebAssembly.Module.exports(module).map((e) => [e.name, e.kind]));
  const missing = [
    ...REQUIRED_FUNCTIONS.filter((name) => kinds.get(name) !== 'function'),
    ...REQUIRED_GLOBALS.filter((name) => kinds.get(name) !== 'global'),
  ];
  if (missing.length > 0) {
    throw new PolicyError(
      'missing_export',
      policy,
      `the module does not export ${missing.join(', ')}; build it with an OPA of ABI 1.${ABI_MINOR_MIN} or newer`,
    );
  }
}

function checkMemory(policy: string, facts: WasmFacts, pagesMax: number): void {
  if (facts.memory === null)
    throw new PolicyError(
      'memory',
      policy,
      'the module brings its own memory instead of importing env.memory; its growth could not be bounded',
    );
  const { min, max } = facts.memory;
  if (min > pagesMax)
    throw new PolicyError(
      'memory',
      policy,
      `the module begins with ${min} pages of memory; memoryPagesMax is ${pagesMax}. Raise it`,
    );
  if (max !== null && max < pagesMax) {
    throw new PolicyError(
      'memory',
      policy,
      `the module allows at most ${max} pages of memory; set memoryPagesMax to ${max} or less`,
    );
  }
}

/** Native functions that compile a pattern, with the number of their arguments; the pattern is the first. */
const PATTERN_FUNCTIONS: Readonly<Record<string, number>> = {
  opa_regex_match: 2,
  opa_regex_find_all_string_submatch: 3,
  opa_glob_match: 3,
};

/**
 * OPA's compiler pushes the arguments of a built-in one by one right before the call, a literal as the address of its constant. So a pattern is a literal exactly
 * when the instruction at its place is a constant. What cannot be read is taken for not literal.
 */
function findPatterns(facts: WasmFacts): { literal: boolean; patterns: number } {
  const arity = new Map<number, number>();
  for (const [index, name] of facts.names) {
    const count = Object.hasOwn(PATTERN_FUNCTIONS, name) ? PATTERN_FUNCTIONS[name] : undefined;
    if (count !== undefined) arity.set(index, count);
  }
  // Without names nothing is known of the calls.
  if (facts.names.size === 0) return { literal: false, patterns: 0 };
  const seen = new Set<string>();
  let literal = true;
  for (const [index, body] of facts.bodies) {
    // glob.match is written with regex.match inside the runtime; what it is called with counts.
    if (arity.has(index)) continue;
    const calls = callsIn(body, new Set(arity.keys()), 3);
    if (calls === null) {
      literal = false;
      continue;
    }
    for (const { callee, pushed } of calls) {
      const pattern = pushed.at(-(arity.get(callee) ?? 0));
      if (pattern === null || pattern === undefined) literal = false;
      // A glob compiles anew for other delimiters, so each call of one counts.
      else
        seen.add(
          facts.names.get(callee) === 'opa_glob_match' ? `${pattern.constant}/${seen.size}` : String(pattern.constant),
        );
    }
  }
  return { literal, patterns: seen.size };
}
