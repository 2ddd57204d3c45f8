/** Policies of a bundle directory: Rego compiled (or its checked-in module taken), data as JSON text. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Part } from '../../config/bundle.ts';
import { Document, renderProblem } from '../../config/document.ts';
import type { PoliciesConfig } from '../../config/policy.ts';
import { PolicyError } from '../../policy/policy-error.ts';
import { runTests } from '../policy/rego-tests.ts';
import { checkInput, moduleOf } from '../policy/rego.ts';
import { projectedSchema } from '../../policy/projection.ts';

/** A compiled policy as it goes into a bundle. */
export interface PolicyModule {
  readonly wasm: Uint8Array<ArrayBuffer>;
  /** JSON text of the data document; `{}` when there is none. */
  readonly data: string;
  /** SHA-256 of the Rego source, hex. */
  readonly sourceDigest: string;
}

type Load = (part: Part, path: string, name: string) => Uint8Array | null;
type Report = (path: string, message: string) => void;

/** Every policy by name; what is wrong goes to `report`. `opa` is the path of the command, or null. */
export async function modulesOf(
  dir: string,
  config: PoliciesConfig,
  opa: string | null,
  load: Load,
  report: Report,
): Promise<ReadonlyMap<string, PolicyModule>> {
  const modules = new Map<string, PolicyModule>();
  for (const [i, policy] of config.policies.entries()) {
    const source = load('policies', `/policies/${i}/source`, policy.source);
    const data =
      policy.data === undefined
        ? '{}'
        : dataOf(policy.data, load('policies', `/policies/${i}/data`, policy.data), (m) =>
            report(`/policies/${i}/data`, m),
          );
    if (source === null || data === null) continue;
    try {
      const { name, rego, entrypoints } = policy;
      const rule = { name, rego, entrypoints, file: join(dir, policy.source) };
      const { wasm } = await moduleOf(rule, opa);
      if (opa !== null) {
        await checkInput(rule, projectedSchema(policy.input), opa);
        await runTests(
          {
            ...rule,
            coverageMin: policy.coverageMin,
            ...(policy.data === undefined ? {} : { dataFile: join(dir, policy.data) }),
          },
          opa,
        );
      }
      modules.set(name, { wasm, data, sourceDigest: createHash('sha256').update(source).digest('hex') });
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      report(`/policies/${i}/source`, error.what);
    }
  }
  return modules;
}

function dataOf(name: string, bytes: Uint8Array | null, report: (message: string) => void): string | null {
  if (bytes === null) return null;
  const doc = new Document(name, Buffer.from(bytes).toString('utf8'));
  const [first] = doc.problems;
  if (first !== undefined || typeof doc.value !== 'object' || doc.value === null || Array.isArray(doc.value)) {
    report(first === undefined ? `${name} is no object` : renderProblem(first));
    return null;
  }
  return JSON.stringify(doc.value);
}
