/** What a command says on stderr when it cannot go on, and its exit code. */
import { ConfigError } from '../config/document.ts';
import { MalformedReference } from '../control/oci/reference.ts';
import { Rejection, SourceError } from '../control/oci/rejection.ts';
import { TrustPolicyError } from '../control/trust/policy.ts';
import { type Failures, UsageError } from './command.ts';
import type { CommandIo } from './io.ts';
import { messageOf } from './system-error.ts';

const MENDABLE: Failures = [SourceError, TrustPolicyError, ConfigError];

/** 2 for wrong usage, 1 for the rest. A bug of ours is thrown on. */
export function exitCodeOf(name: string, error: unknown, own: Failures, io: CommandIo): number {
  if (error instanceof UsageError || error instanceof MalformedReference || isParseArgsError(error)) {
    io.stderr(`cnx ${name}: ${error.message}\ncnx ${name} --help tells more\n`);
    return 2;
  }
  if (error instanceof Rejection) {
    io.stderr(`cnx ${name}: ${error.code}: ${error.message}\n`);
    return 1;
  }
  if (error instanceof Error && ([...MENDABLE, ...own].some((kind) => error instanceof kind) || isSystemError(error))) {
    io.stderr(`cnx ${name}: ${messageOf(error)}\n`);
    return 1;
  }
  throw error;
}

function isParseArgsError(error: unknown): error is Error {
  return error instanceof TypeError && String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS');
}

function isSystemError(error: Error): boolean {
  return typeof (error as NodeJS.ErrnoException).syscall === 'string';
}
