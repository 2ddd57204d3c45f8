/**
 * The bundle as an operator writes it: one document per part, and what must hold between them. The same checks run in `cnx check`, in
 * `cnx bundle build` and in the gateway before a bundle is compiled.
 */
import type { TSchema } from 'typebox';
import { CellsConfig } from './cell.ts';
import { DefaultsConfig } from './defaults.ts';
import { Document, type Problem } from './document.ts';
import { IssuersConfig } from './issuer.ts';
import { LimitsConfig } from './limit.ts';
import { OwnTestsConfig } from './own-tests.ts';
import { PoliciesConfig } from './policy.ts';
import { findProblems } from './references.ts';
import { RoutesConfig } from './route.ts';
import { validate } from './validate.ts';
import { WafConfig } from './waf.ts';

/** The parts of a bundle that become layers. `release.yaml` is apart: the manifest's config blob is made from it. */
export const PARTS = {
  routes: { schema: RoutesConfig, required: true },
  cells: { schema: CellsConfig, required: true },
  issuers: { schema: IssuersConfig, required: false, empty: '{"issuers":[]}' },
  limits: { schema: LimitsConfig, required: false, empty: '{"limits":[]}' },
  policies: { schema: PoliciesConfig, required: false, empty: '{"policies":[]}' },
  waf: { schema: WafConfig, required: false, empty: '{}' },
  defaults: { schema: DefaultsConfig, required: false, empty: '{}' },
  tests: { schema: OwnTestsConfig, required: false, empty: '{"tests":[]}' },
} as const satisfies Record<string, { schema: TSchema; required: boolean; empty?: string }>;

export type Part = keyof typeof PARTS;
export const PART_NAMES = Object.keys(PARTS) as Part[];

export interface BundleConfig {
  readonly routes: RoutesConfig;
  readonly cells: CellsConfig;
  readonly issuers: IssuersConfig;
  readonly limits: LimitsConfig;
  readonly policies: PoliciesConfig;
  readonly waf: WafConfig;
  readonly defaults: DefaultsConfig;
  readonly tests: OwnTestsConfig;
}

export type BundleResult =
  | { readonly ok: true; readonly value: BundleConfig; readonly documents: ReadonlyMap<Part, Document> }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Checks all documents of a bundle and all references between them: every problem at once, but that what is wrong with the form of a document hides what it means. */
export function readBundle(given: ReadonlyMap<Part, Document>): BundleResult {
  const documents = new Map(given);
  const problems: Problem[] = [];
  const values: { [P in Part]?: BundleConfig[P] } = {};
  for (const part of PART_NAMES) {
    const row: { schema: TSchema; required: boolean; empty?: string } = PARTS[part];
    let doc = documents.get(part);
    if (doc === undefined) {
      if (row.required) {
        problems.push({ file: `${part}.yaml`, line: 0, column: 0, path: '', message: 'the file is missing' });
        continue;
      }
      doc = new Document(`${part}.yaml`, row.empty ?? '{}');
      documents.set(part, doc);
    }
    const result = validate(row.schema, doc);
    if (result.ok) Object.assign(values, { [part]: result.value });
    else problems.push(...result.problems);
  }
  const { routes, cells, issuers, limits, policies, waf, defaults, tests } = values;
  problems.push(...findProblems({ routes, cells, issuers, limits, policies, waf, defaults, tests }, documents));
  if (problems.length > 0) return { ok: false, problems };
  return { ok: true, value: values as BundleConfig, documents };
}
