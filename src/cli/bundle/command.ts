import { ConfigError } from '../../config/document.ts';
import { Rejection, SourceError } from '../../control/oci/rejection.ts';
import { MalformedReference } from '../../control/oci/reference.ts';
import { TrustPolicyError } from '../../control/trust/policy.ts';
import type { CommandIo } from '../io.ts';

/** The command line is wrong; the message says how to write it. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Says on stderr why a command stopped and gives its exit code: 2 for wrong usage, 1 for the rest. A bug of ours is thrown on. */
export function usageError(command: string, error: unknown, io: CommandIo): number {
  if (error instanceof UsageError || error instanceof MalformedReference || isParseArgsError(error)) {
    io.stderr(`cnx ${command}: ${error.message}\ncnx ${command} --help tells more\n`);
    return 2;
  }
  if (error instanceof Rejection) {
    io.stderr(`cnx ${command}: ${error.code}: ${error.message}\n`);
    return 1;
  }
  if (
    error instanceof SourceError ||
    error instanceof TrustPolicyError ||
    error instanceof ConfigError ||
    isSystemError(error)
  ) {
    io.stderr(`cnx ${command}: ${error.message}\n`);
    return 1;
  }
  throw error;
}

function isParseArgsError(error: unknown): error is Error {
  return error instanceof TypeError && String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS');
}

function isSystemError(error: unknown): error is Error {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string';
}
