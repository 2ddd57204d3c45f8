/**
 * One OPA module, driven by its own binary interface: one instance per lane and policy over a shared `WebAssembly.Module`.
 *
 * `@open-policy-agent/opa-wasm` is not used here, because `opa_eval`, which it calls, evaluates *without input* when the input does not parse (a policy
 * that says "allow unless" then allows), and throws away compiled regular expressions on every call. This class parses by itself, takes
 * nothing but the exact expected shape for an answer, and resets the heap only when it has grown (measured: 8 to 12 times faster with regular expressions).
 */
import { BUILTINS, BuiltinFailure, type Builtin, type BuiltinContext } from './builtins.ts';
import { EvaluationBudget } from './budget.ts';
import { decide } from './decision.ts';
import { Screened, screen, toJsonText } from './json-text.ts';
import { ABI_MAJOR, ABI_MINOR_MIN, PAGE_BYTES, type OpaExports } from './opa-abi.ts';
import { DATA_BYTES_MAX, INPUT_BYTES_MAX, Outcome, RESULT_BYTES_MAX } from './outcome.ts';
import { PolicyError } from './policy-error.ts';

export interface OpaSpec {
  /** Name of the policy, for errors. */
  readonly name: string;
  readonly module: WebAssembly.Module;
  /** JSON text of the data document; `''` = none. */
  readonly data: string;
  /** Entrypoints that are asked, e.g. `authz/allow`; `evaluate` takes an index into this list. */
  readonly entrypoints: readonly string[];
  /** Largest memory. Unit: pages of 64 KiB. */
  readonly memoryPagesMax: number;
  /**
   * Patterns of `regex.match` and `glob.match` are all literals of the policy and fewer than 100 (`inspectModule`): the module's cache of compiled patterns
   * may live on between evaluations. Otherwise the heap is reset before each: at 100 cached patterns the module frees one that it still
   * uses, and may then never return (docs/decisions/policy-driver.md).
   */
  readonly literalPatterns: boolean;
  /** Longest input; INPUT_BYTES_MAX unless given. Unit: bytes. */
  readonly inputBytesMax?: number;
  /** The result is no decision: its JSON text of at most so many bytes is kept as `answer`, and no shape is asked for. Absent: a decision. */
  readonly answerBytesMax?: number;
  /** Average evaluation time beyond which the policy rests. Unit: microseconds. */
  readonly budgetUs?: number;
}

/** Pages that an instance begins with, so that growing is rare. */
const PAGES_INITIAL = 64;
/** Heap use beyond the data at which it is reset. Unit: bytes. */
const HEAP_WATERMARK_BYTES = 8 * 1024 * 1024;
/** `opa_abort` was called; its text. */
class PolicyAbort extends Error {
  override readonly name = 'PolicyAbort';
}

/** An instantiated module and the addresses that were made once. */
interface Running {
  readonly exports: OpaExports;
  readonly memory: WebAssembly.Memory;
  /** Buffer for the input text, INPUT_BYTES_MAX bytes, below the data. */
  readonly inputAt: number;
  readonly context: number;
  /** Where the heap begins after the data. */
  readonly heapBase: number;
  /** Heap use beyond the data at which the heap is reset; -1 = always. Unit: bytes. */
  readonly watermark: number;
  /** An instance whose memory has grown beyond this is replaced, for WebAssembly memory never shrinks. Unit: pages. */
  readonly pagesRecycle: number;
  readonly builtins: readonly string[];
  /** The module's numbers of `OpaSpec.entrypoints`. */
  readonly entrypoints: readonly number[];
}

export class OpaInstance {
  readonly #spec: OpaSpec;
  readonly #budget: EvaluationBudget;
  #running: Running | null;
  /** View of the memory; taken anew when the memory has grown. */
  #bytes: Buffer = EMPTY;
  #nowMs = 0;
  readonly #inputBytesMax: number;

  /** Text that the last decision gave as its reason; empty when it gave none. */
  reason = '';
  /** JSON text of the last result, where `answerBytesMax` asks for it; empty when there was none. */
  answer = '';
  /** What failed in the last evaluation, for records; never for the client. Empty for allow and deny. */
  detail = '';
  /** Instances made, the first included. */
  instances = 0;

  /** Instantiates the module and loads the data. Throws PolicyError; a loop in the module's start would hang, so a module is tried in a sandbox first. */
  constructor(spec: OpaSpec) {
    this.#spec = spec;
    this.#budget = new EvaluationBudget(spec.budgetUs);
    this.#inputBytesMax = spec.inputBytesMax ?? INPUT_BYTES_MAX;
    this.#running = this.#load();
  }

  /** Names of the built-ins that the module asks of the host. */
  get builtins(): readonly string[] {
    return this.#running?.builtins ?? [];
  }

  /** Moving average of the evaluation time. Unit: microseconds. */
  get averageUs(): number {
    return this.#budget.averageUs;
  }

  /** Memory of the instance. Unit: pages of 64 KiB. */
  get memoryPages(): number {
    return this.#running === null ? 0 : this.#running.memory.buffer.byteLength / PAGE_BYTES;
  }

  /**
   * Decides. Never throws. `input` is a JSON text of ours; `entrypoint` an index into the spec's list; `nowMs` what `time.now_ns` says.
   * Afterwards `reason` and `detail` tell more.
   */
  evaluate(input: string, entrypoint: number, nowMs: number): Outcome {
    this.reason = '';
    this.detail = '';
    this.answer = '';
    if (!this.#budget.mayBegin(nowMs))
      return this.#fail(Outcome.OverBudget, 'evaluations took too long; the policy rests');
    if (input.length > this.#inputBytesMax) return this.#tooLong();
    const screened = screen(input);
    if (screened === Screened.TooDeep) return this.#fail(Outcome.InputTooDeep, 'input is nested deeper than 64 levels');
    if (screened === Screened.Malformed) return this.#fail(Outcome.InputMalformed, 'input is not well-formed JSON');

    const begun = performance.now();
    const outcome = this.#attempt(input, entrypoint, nowMs);
    this.#budget.took((performance.now() - begun) * 1_000, nowMs);
    return outcome;
  }

  #attempt(input: string, entrypoint: number, nowMs: number): Outcome {
    try {
      const running = (this.#running ??= this.#load());
      this.#nowMs = nowMs;
      const outcome = this.#run(running, input, entrypoint);
      if (running.memory.buffer.byteLength > running.pagesRecycle * PAGE_BYTES) this.#running = null;
      return outcome;
    } catch (error) {
      // Whatever state the module is in now, nobody asks it again: a new instance costs 0.1 ms.
      this.#running = null;
      return this.#classify(error);
    }
  }

  #run(running: Running, input: string, entrypoint: number): Outcome {
    const x = running.exports;
    const number = running.entrypoints[entrypoint];
    if (number === undefined) return this.#fail(Outcome.Unavailable, `there is no entrypoint ${entrypoint}`);
    if (x.opa_heap_ptr_get() - running.heapBase > running.watermark) x.opa_heap_ptr_set(running.heapBase);

    if (this.#bytes.byteLength === 0 || this.#bytes.buffer !== running.memory.buffer) this.#take(running.memory);
    // A string of n units takes up to 3n bytes; only one that could be too long is measured.
    const bytesMax = this.#inputBytesMax;
    if (input.length * 3 > bytesMax && Buffer.byteLength(input) > bytesMax) return this.#tooLong();
    const length = this.#bytes.utf8Write(input, running.inputAt, bytesMax);
    const value = x.opa_json_parse(running.inputAt, length);
    if (value === 0) return this.#fail(Outcome.InputMalformed, 'the module could not parse the input');

    const context = running.context;
    x.opa_eval_ctx_set_input(context, value);
    x.opa_eval_ctx_set_entrypoint(context, number);
    if (x.eval(context) !== 0) throw new PolicyAbort('eval returned an error');
    const result = x.opa_json_dump(x.opa_eval_ctx_get_result(context));
    if (this.#bytes.byteLength === 0) this.#take(running.memory);
    return this.#read(result);
  }

  /** The result: compared as bytes with the two common ones first. */
  #read(at: number): Outcome {
    if (this.#spec.answerBytesMax !== undefined) return this.#keep(at, this.#spec.answerBytesMax);
    if (startsWith(this.#bytes, at, ALLOW_BYTES)) return Outcome.Allow;
    if (startsWith(this.#bytes, at, DENY_BYTES)) return Outcome.Deny;
    const end = this.#bytes.indexOf(0, at);
    if (at === 0 || end < 0 || end - at > RESULT_BYTES_MAX) {
      return this.#fail(Outcome.WrongShape, `the result is longer than ${RESULT_BYTES_MAX} bytes`);
    }
    const decision = decide(this.#bytes.utf8Slice(at, end));
    this.reason = decision.reason;
    this.detail = decision.detail;
    return decision.outcome;
  }

  /** The result as it is. */
  #keep(at: number, bytesMax: number): Outcome {
    const end = this.#bytes.indexOf(0, at);
    if (at === 0 || end < 0 || end - at > bytesMax)
      return this.#fail(Outcome.WrongShape, `the result is longer than ${bytesMax} bytes`);
    this.answer = this.#bytes.utf8Slice(at, end);
    return Outcome.Allow;
  }

  #tooLong(): Outcome {
    return this.#fail(Outcome.InputTooLong, `input is longer than ${this.#inputBytesMax >> 10} KiB`);
  }

  #fail(outcome: Outcome, detail: string): Outcome {
    this.detail = detail;
    return outcome;
  }

  #classify(error: unknown): Outcome {
    const text = error instanceof Error ? error.message : String(error);
    if (error instanceof PolicyError) return this.#fail(Outcome.Unavailable, text);
    if (error instanceof BuiltinFailure) return this.#fail(Outcome.BuiltinFailed, text);
    if (error instanceof PolicyAbort) {
      return this.#fail(text.startsWith('opa_malloc') ? Outcome.MemoryExhausted : Outcome.Aborted, text);
    }
    // RangeError: the module's own stack; RuntimeError: unreachable code, bad access.
    return this.#fail(Outcome.Trapped, text);
  }

  #take(memory: WebAssembly.Memory): void {
    this.#bytes = Buffer.from(memory.buffer);
  }

  /** A new instance with the data in it. Throws PolicyError. */
  #load(): Running {
    const { name, module, memoryPagesMax, data, entrypoints, literalPatterns } = this.#spec;
    this.instances++;
    try {
      const memory = new WebAssembly.Memory({
        initial: Math.min(PAGES_INITIAL, memoryPagesMax),
        maximum: memoryPagesMax,
      });
      const host = new Host(memory, () => this.#nowMs);
      const instance = new WebAssembly.Instance(module, { env: host.env });
      const x = instance.exports as unknown as OpaExports;
      host.exports = x;
      const major = x.opa_wasm_abi_version.value;
      const minor = x.opa_wasm_abi_minor_version.value;
      if (major !== ABI_MAJOR || minor < ABI_MINOR_MIN) {
        throw new PolicyError(
          'abi_version',
          name,
          `ABI ${major}.${minor} is not supported; build it with OPA 0.30 or newer (ABI 1.2, 1.3)`,
        );
      }
      const builtins = JSON.parse(host.text(x.opa_json_dump(x.builtins()))) as Record<string, number>;
      host.builtins = allowed(name, builtins);
      const numbers = JSON.parse(host.text(x.opa_json_dump(x.entrypoints()))) as Record<string, number>;
      const asked = entrypoints.map((entrypoint) => {
        if (Object.hasOwn(numbers, entrypoint)) return numbers[entrypoint] as number;
        throw new PolicyError(
          'entrypoint_missing',
          name,
          `has no entrypoint "${entrypoint}"; it has ${Object.keys(numbers).join(', ')}`,
        );
      });
      const inputAt = x.opa_malloc(this.#inputBytesMax);
      const context = x.opa_eval_ctx_new();
      x.opa_eval_ctx_set_data(context, host.parse(name, data === '' ? '{}' : data));
      const heapBase = x.opa_heap_ptr_get();
      // Half of what is left at most, so that one evaluation still has the other half.
      const watermark = Math.min(HEAP_WATERMARK_BYTES, Math.floor((memoryPagesMax * PAGE_BYTES - heapBase) / 2));
      return {
        exports: x,
        memory,
        inputAt,
        context,
        heapBase,
        watermark: literalPatterns ? watermark : -1,
        pagesRecycle: Math.ceil((memory.buffer.byteLength + 2 * watermark) / PAGE_BYTES),
        builtins: Object.keys(builtins),
        entrypoints: asked,
      };
    } catch (error) {
      if (error instanceof PolicyError) throw error;
      const text = error instanceof Error ? error.message : String(error);
      if (error instanceof PolicyAbort) {
        throw text.startsWith('opa_malloc')
          ? new PolicyError(
              'memory',
              name,
              `its data needs more than ${memoryPagesMax} pages of memory; raise memoryPagesMax or shrink the data`,
            )
          : new PolicyError('aborted', name, `aborted while loading: ${text}`);
      }
      throw new PolicyError('trapped', name, `failed while loading: ${text}`);
    }
  }
}

/** What a module calls. One per instance, for the memory and the numbers of the built-ins are the instance's own. */
class Host {
  readonly env: Record<string, WebAssembly.ImportValue>;
  exports!: OpaExports;
  /** By the module's number. */
  builtins: readonly (Builtin | undefined)[] = [];
  readonly #memory: WebAssembly.Memory;

  constructor(memory: WebAssembly.Memory, now: () => number) {
    this.#memory = memory;
    const call = (id: number, ...args: number[]): number => this.#call(id, args, { nowMs: now() });
    this.env = {
      memory,
      opa_abort: (at: number): never => {
        throw new PolicyAbort(this.text(at));
      },
      // Prints are no business of a lane; the module is built without them.
      opa_println: (_at: number): void => {},
      opa_builtin0: (id: number, _context: number) => call(id),
      opa_builtin1: (id: number, _context: number, a: number) => call(id, a),
      opa_builtin2: (id: number, _context: number, a: number, b: number) => call(id, a, b),
      opa_builtin3: (id: number, _context: number, a: number, b: number, c: number) => call(id, a, b, c),
      opa_builtin4: (id: number, _context: number, a: number, b: number, c: number, d: number) => call(id, a, b, c, d),
    };
  }

  /** Text of a string that ends with NUL. */
  text(at: number): string {
    const bytes = Buffer.from(this.#memory.buffer);
    const end = bytes.indexOf(0, at);
    return bytes.utf8Slice(at, end < 0 ? at : end);
  }

  /** Loads a JSON text that is kept; its bytes are given back. Throws PolicyError for what does not parse. */
  parse(name: string, text: string): number {
    const length = Buffer.byteLength(text);
    if (length > DATA_BYTES_MAX) {
      throw new PolicyError('data', name, `data of ${length} bytes; at most ${DATA_BYTES_MAX} are allowed`);
    }
    if (screen(text) !== Screened.Fine)
      throw new PolicyError('data', name, 'data is nested too deep, or not well-formed JSON');
    const value = this.#write(text, length);
    if (value === 0) throw new PolicyError('data', name, 'data does not parse; it must be a JSON object');
    return value;
  }

  #write(text: string, length: number): number {
    const at = this.exports.opa_malloc(length);
    Buffer.from(this.#memory.buffer).utf8Write(text, at, length);
    const value = this.exports.opa_json_parse(at, length);
    this.exports.opa_free(at);
    return value;
  }

  #call(id: number, args: readonly number[], context: BuiltinContext): number {
    const builtin = this.builtins[id];
    if (builtin === undefined || builtin.arity !== args.length)
      throw new BuiltinFailure(`no built-in ${id} with ${args.length} arguments`);
    const values = args.map((value) => JSON.parse(this.text(this.exports.opa_json_dump(value))) as unknown);
    const result = builtin.call(values, context);
    return result === undefined ? 0 : this.#write(result, Buffer.byteLength(result));
  }
}

/** The built-ins that a module asks for, by its numbers. Throws PolicyError for one that is not on the list. */
function allowed(policy: string, asked: Readonly<Record<string, number>>): readonly (Builtin | undefined)[] {
  const byNumber: (Builtin | undefined)[] = [];
  for (const [name, number] of Object.entries(asked)) {
    const builtin = BUILTINS.get(name);
    if (builtin === undefined) {
      throw new PolicyError(
        'builtin_not_allowed',
        policy,
        `calls ${name}, which is not allowed here; besides the native built-ins there are ${[...BUILTINS.keys()].join(', ')}`,
      );
    }
    byNumber[number] = builtin;
  }
  return byNumber;
}

const EMPTY = Buffer.alloc(0);
/** With the NUL that ends them. */
const ALLOW_BYTES = Buffer.from('[{"result":true}]\0');
const DENY_BYTES = Buffer.from('[{"result":false}]\0');

function startsWith(bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return false;
  return true;
}

/** JSON text of a data document, safe for a module: strings well-formed. */
export function dataText(data: unknown): string {
  return toJsonText(data);
}
