/**
 * The guardrail: an operator's own policy, on the gateway's machine and not in any bundle, that says what a new bundle may change. It is read anew for every bundle and asked in the sandbox
 * of policies. What is not a clear yes is a no: a file that is missing, a module that aborts or loops, an answer of another shape.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { GuardrailConfig } from '../../config/guardrail.ts';
import { toJsonText } from '../../policy/json-text.ts';
import { PolicyError } from '../../policy/policy-error.ts';
import { inspectModule } from '../policy/inspect.ts';
import { SANDBOX_DEADLINE_MS, trySandboxed } from '../policy/sandbox.ts';
import type { Change } from './change.ts';

/** Longest change that is looked at, as JSON. Unit: bytes. */
export const CHANGE_BYTES_MAX = 8 * 1024 * 1024;
/** Longest answer. Unit: bytes. */
const ANSWER_BYTES_MAX = 64 * 1024;
/** Messages that are told, and their length. */
const MESSAGES_MAX = 20;
const MESSAGE_LENGTH_MAX = 512;
/** Memory of the module; JSON takes about nine times its length there. Unit: pages of 64 KiB. */
const PAGES_MAX = 4_096;
/** Of the policy, in messages. */
const NAME = 'guardrail';

/** Why the bundle must not serve, each reason a line; none when it may. Never throws. */
export async function askGuardrail(
  config: GuardrailConfig,
  change: Change,
  deadlineMs: number = SANDBOX_DEADLINE_MS,
): Promise<readonly string[]> {
  try {
    return await ask(config, change, deadlineMs);
  } catch (error) {
    const why = error instanceof PolicyError ? error.what : error instanceof Error ? error.message : String(error);
    return [`the guardrail cannot say yes: ${why}`];
  }
}

async function ask(config: GuardrailConfig, change: Change, deadlineMs: number): Promise<readonly string[]> {
  const wasm = new Uint8Array(await readFile(config.moduleFile));
  const digest = createHash('sha256').update(wasm).digest('hex');
  if (config.moduleSha256 !== undefined && config.moduleSha256 !== digest)
    return [
      `the guardrail cannot say yes: ${config.moduleFile} has the digest ${digest}, not that of \`moduleSha256\``,
    ];
  const data = config.dataFile === undefined ? '' : await readFile(config.dataFile, 'utf8');
  const input = toJsonText(change);
  const bytes = Buffer.byteLength(input);
  if (bytes > CHANGE_BYTES_MAX)
    return [
      `the guardrail cannot say yes: what changes takes ${bytes} bytes, at most ${CHANGE_BYTES_MAX} are looked at; change less at once`,
    ];
  const { module } = inspectModule(NAME, wasm, PAGES_MAX);
  const [result] = await trySandboxed(
    [
      {
        spec: {
          name: NAME,
          module,
          data,
          entrypoints: [config.entrypoint],
          memoryPagesMax: PAGES_MAX,
          literalPatterns: false,
          inputBytesMax: CHANGE_BYTES_MAX,
          answerBytesMax: ANSWER_BYTES_MAX,
        },
        probes: [{ input, entrypoint: 0, nowMs: Date.now() }],
        timedRounds: 0,
      },
    ],
    deadlineMs,
  );
  if (result === undefined || result instanceof PolicyError) throw result ?? new Error('the sandbox said nothing');
  const [answer] = result.results;
  if (answer === undefined || answer.answer === '') throw new Error(answer?.detail ?? 'the sandbox said nothing');
  return messagesOf(answer.answer, config.entrypoint);
}

/** Reads the text of a result set whose value is a set of texts. Throws for anything else. */
function messagesOf(text: string, entrypoint: string): readonly string[] {
  const set = JSON.parse(text) as readonly { readonly result?: unknown }[];
  const value = Array.isArray(set) && set.length === 1 ? set[0]?.result : undefined;
  if (!Array.isArray(value) || !value.every((item): item is string => typeof item === 'string'))
    throw new Error(
      `${entrypoint} is no set of texts but ${text.slice(0, 200)}; write \`deny contains message if { … }\``,
    );
  const told = value.slice(0, MESSAGES_MAX).map((message) => message.slice(0, MESSAGE_LENGTH_MAX) || 'no reason given');
  if (value.length > MESSAGES_MAX) told.push(`${value.length - MESSAGES_MAX} more reasons`);
  return told;
}
