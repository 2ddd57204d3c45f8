/**
 * What a policy promises to those around it: fields that it reads (`input`), rules that can be asked (`entrypoints`) and what they answer (`result`). What it answers is tried where policies are (prepare.ts); here: that the promise changes only with a new major version.
 */
import type { PoliciesConfig, PolicyConfig } from '../../config/policy.ts';

type Report = (index: number, path: string, message: string) => void;

/** What breaks the promise of the release before without saying so by a new major version. */
export function checkAgainst(former: PoliciesConfig, next: PoliciesConfig, report: Report): void {
  for (const [index, policy] of next.policies.entries()) {
    const before = former.policies.find(({ name }) => name === policy.name);
    if (before === undefined) continue;
    const order = compareVersions(before.version, policy.version);
    if (order > 0) {
      report(index, '/version', `goes back from ${before.version} to ${policy.version}`);
      continue;
    }
    if (majorOf(policy.version) > majorOf(before.version)) continue;
    for (const broken of breaks(before, policy))
      report(
        index,
        '/version',
        `${broken}, which breaks what ${before.version} promised; say version ${majorOf(before.version) + 1}.0.0, or take it back`,
      );
  }
}

function breaks(before: PolicyConfig, after: PolicyConfig): string[] {
  const gone = before.input.filter((field) => !after.input.some((f) => field === f || field.startsWith(`${f}.`)));
  const unasked = before.entrypoints.filter((entrypoint) => !after.entrypoints.includes(entrypoint));
  return [
    ...gone.map((field) => `the input has no ${field} any more`),
    ...unasked.map((entrypoint) => `there is no entrypoint ${entrypoint} any more`),
    // `either` admits both, so that only who leaves it, or goes to it, changes what must be expected.
    ...(before.result === after.result ? [] : [`the result was ${before.result} and is ${after.result}`]),
  ];
}

function partsOf(version: string): number[] {
  return version.split('.').map(Number);
}

function majorOf(version: string): number {
  return partsOf(version)[0] ?? 0;
}

function compareVersions(a: string, b: string): number {
  const [left, right] = [partsOf(a), partsOf(b)];
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
