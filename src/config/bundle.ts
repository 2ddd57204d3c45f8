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
import { suggestion } from './nearest.ts';
import { PoliciesConfig } from './policy.ts';
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
}

export type BundleResult =
  | { readonly ok: true; readonly value: BundleConfig; readonly documents: ReadonlyMap<Part, Document> }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Checks all documents of a bundle and all references between them; every problem at once. */
export function readBundle(given: ReadonlyMap<Part, Document>): BundleResult {
  const documents = new Map(given);
  const problems: Problem[] = [];
  const values: Record<string, unknown> = {};
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
    if (result.ok) values[part] = result.value;
    else problems.push(...result.problems);
  }
  if (PART_NAMES.some((part) => values[part] === undefined)) return { ok: false, problems };
  const value = values as unknown as BundleConfig;
  problems.push(...references(value, documents));
  return problems.length > 0 ? { ok: false, problems } : { ok: true, value, documents };
}

/** What a schema cannot say: references, exclusive fields, values that are impossible together. */
function references(b: BundleConfig, documents: ReadonlyMap<Part, Document>): Problem[] {
  const problems: Problem[] = [];
  const at = (part: Part, path: string, message: string): void => {
    problems.push((documents.get(part) as Document).problem(path, message));
  };
  const unique = (part: Part, list: string, names: readonly string[], field: string): void => {
    const seen = new Map<string, number>();
    for (const [i, name] of names.entries()) {
      const first = seen.get(name);
      if (first !== undefined)
        at(part, `/${list}/${i}/${field}`, `"${name}" is already the ${field} of /${list}/${first}`);
      else seen.set(name, i);
    }
  };
  const refers = (part: Part, path: string, what: string, name: string, known: readonly string[]): void => {
    if (!known.includes(name)) at(part, path, `there is no ${what} "${name}"${suggestion(name, known)}`);
  };
  const exactlyOne = (part: Part, path: string, object: object, names: readonly string[]): void => {
    const given = names.filter((n) => (object as Record<string, unknown>)[n] !== undefined);
    if (given.length !== 1)
      at(
        part,
        path,
        `exactly one of ${names.join(', ')} is expected, got ${given.length === 0 ? 'none' : given.join(' and ')}`,
      );
  };

  const cells = b.cells.cells.map((c) => c.id);
  const issuers = b.issuers.issuers.map((i) => i.id);
  const limits = b.limits.limits.map((l) => l.id);
  const policies = b.policies.policies.map((p) => p.name);
  unique('cells', 'cells', cells, 'id');
  unique('issuers', 'issuers', issuers, 'id');
  unique('limits', 'limits', limits, 'id');
  unique('policies', 'policies', policies, 'name');
  unique(
    'routes',
    'routes',
    b.routes.routes.map((r) => r.id),
    'id',
  );

  for (const [i, cell] of b.cells.cells.entries()) {
    const seen = new Set<string>();
    for (const [j, e] of cell.endpoints.entries()) {
      const path = `/cells/${i}/endpoints/${j}/address`;
      if (seen.has(e.address)) at('cells', path, `"${e.address}" is in this cell twice`);
      seen.add(e.address);
      const port = Number(e.address.slice(e.address.lastIndexOf(':') + 1));
      if (port < 1 || port > 65_535) at('cells', path, `${port} is not a port; 1 to 65535 is expected`);
    }
    if (cell.health !== undefined && cell.health.latencyBadMs <= cell.health.latencyGoodMs) {
      at(
        'cells',
        `/cells/${i}/health/latencyBadMs`,
        `must be greater than latencyGoodMs (${cell.health.latencyGoodMs})`,
      );
    }
    if (cell.probe !== undefined && cell.probe.timeoutMs > cell.probe.intervalMs) {
      at('cells', `/cells/${i}/probe/timeoutMs`, `must not be greater than intervalMs (${cell.probe.intervalMs})`);
    }
  }
  for (const [tenant, cell] of Object.entries(b.cells.pins)) refers('cells', `/pins/${tenant}`, 'cell', cell, cells);

  for (const [i, issuer] of b.issuers.issuers.entries()) {
    exactlyOne('issuers', `/issuers/${i}`, issuer, ['jwks', 'jwksUrl', 'hmacSecret']);
    const hmac = issuer.algorithms.filter((a) => a.startsWith('HS'));
    if (hmac.length > 0 && hmac.length < issuer.algorithms.length) {
      at(
        'issuers',
        `/issuers/${i}/algorithms`,
        'HMAC cannot be mixed with public-key algorithms: a public key would become a shared secret (RFC 8725 §3.1)',
      );
    }
    if ((issuer.hmacSecret !== undefined) !== hmac.length > 0) {
      at('issuers', `/issuers/${i}/algorithms`, 'HS256, HS384 and HS512 go with hmacSecret, and only with it');
    }
    for (const [k, key] of (issuer.jwks?.keys ?? []).entries()) {
      if ('d' in key || 'k' in key)
        at(
          'issuers',
          `/issuers/${i}/jwks/keys/${k}`,
          'holds private or secret key material; put only the public key here',
        );
    }
    if (
      issuer.jwksUrl?.startsWith('http:') === true &&
      !/^http:\/\/(127\.\d+\.\d+\.\d+|localhost|\[::1\])(:|\/|$)/.test(issuer.jwksUrl)
    ) {
      at(
        'issuers',
        `/issuers/${i}/jwksUrl`,
        'http: is for loopback only; keys fetched without TLS can be replaced on the way',
      );
    }
  }

  for (const [i, id] of b.defaults.limits.entries()) refers('defaults', `/limits/${i}`, 'limit', id, limits);
  for (const [i, p] of b.policies.policies.entries()) {
    if (p.input.length !== new Set(p.input).size) at('policies', `/policies/${i}/input`, 'a field is named twice');
  }

  for (const [i, r] of b.routes.routes.entries()) {
    const path = `/routes/${i}`;
    exactlyOne('routes', `${path}/match/path`, r.match.path, ['exact', 'prefix', 'template', 'regex']);
    if (r.tenant !== undefined)
      exactlyOne('routes', `${path}/tenant`, r.tenant, [
        'claim',
        'header',
        'hostLabel',
        'pathSegment',
        'sniLabel',
        'fixed',
      ]);
    for (const [j, id] of r.issuers.entries()) refers('routes', `${path}/issuers/${j}`, 'issuer', id, issuers);
    for (const [j, id] of r.limits.entries()) refers('routes', `${path}/limits/${j}`, 'limit', id, limits);
    if (r.cell !== undefined) refers('routes', `${path}/cell`, 'cell', r.cell, cells);
    if (r.policy !== undefined) {
      refers('routes', `${path}/policy/name`, 'policy', r.policy.name, policies);
      const policy = b.policies.policies.find((p) => p.name === r.policy?.name);
      if (policy !== undefined && r.policy.entrypoint !== undefined) {
        refers('routes', `${path}/policy/entrypoint`, 'entrypoint', r.policy.entrypoint, policy.entrypoints);
      }
    }
    if (r.access === 'public') {
      if (r.reason === undefined) at('routes', path, `route "${r.id}" is public without a reason; add \`reason: …\``);
    } else if (r.respond?.redirect === undefined || r.respond.redirect.to === 'https') {
      if (r.issuers.length === 0)
        at('routes', path, `route "${r.id}" has no issuer; add \`issuers: […]\`, or \`access: public\` with a reason`);
      if (r.policy === undefined)
        at(
          'routes',
          path,
          `route "${r.id}" has no policy; add \`policy: {name: …}\`, or \`access: public\` with a reason`,
        );
    }
    if (r.tenant?.claim !== undefined && r.issuers.length === 0)
      at('routes', `${path}/tenant/claim`, 'a claim needs an issuer');
    if (r.respond?.redirect !== undefined && ![301, 302, 303, 307, 308].includes(r.respond.redirect.status)) {
      at(
        'routes',
        `${path}/respond/redirect/status`,
        `${r.respond.redirect.status} is not a redirect; 301, 302, 303, 307 or 308 is expected`,
      );
    }
    if (r.cell === undefined && r.tenant === undefined && r.respond?.redirect === undefined && cells.length > 1) {
      at(
        'routes',
        path,
        `route "${r.id}" leads nowhere: say \`cell\`, or \`tenant\` so that the ring can choose among ${cells.length} cells`,
      );
    }
  }
  return problems;
}
