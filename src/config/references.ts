/** What a schema cannot say: references between documents, exclusive fields, values that are impossible alone or together. */
import { isIP } from 'node:net';
import type { BundleConfig, Part } from './bundle.ts';
import { balanceProblems } from './balance.ts';
import type { CellsConfig } from './cell.ts';
import { guardProblems, regionProblems, standbyProblems } from './cell-problems.ts';
import { degradationProblems } from './degradation-problems.ts';
import { type Document, inOrder, pointerPart, type Problem, PROBLEMS_MAX } from './document.ts';
import type { IssuersConfig } from './issuer.ts';
import { suggestion } from './nearest.ts';
import { ownTestProblems } from './own-test-problems.ts';
import type { RouteConfig } from './route.ts';
import { splitProblems } from './split-problems.ts';
import { routeWafProblems, wafProblems } from './waf-problems.ts';

/** Documents of a bundle as far as they could be read: what is wrong with one does not hide what is wrong with another. */
type Given = { readonly [P in Part]: BundleConfig[P] | undefined };

/** Notes a problem at a place of a document. */
type Note = (part: Part, path: string, message: string) => void;

/** Names of one kind, and whether one is among them. */
interface Known {
  readonly cell: readonly string[];
  readonly issuer: readonly string[];
  readonly limit: readonly string[];
  readonly policy: readonly string[];
}

/** Every problem between the documents, in their order. */
export function findProblems(b: Given, documents: ReadonlyMap<Part, Document>): Problem[] {
  const found = new Map<Part, Problem[]>();
  const note: Note = (part, path, message) => {
    const doc = documents.get(part);
    if (doc === undefined) return;
    const list = found.get(part) ?? [];
    found.set(part, list);
    if (list.length < PROBLEMS_MAX) list.push(doc.problem(path, message));
    else if (list.length === PROBLEMS_MAX) list.push(doc.more());
  };
  const known: Known = {
    cell: namesOf(documents.get('cells'), 'cells', 'id'),
    issuer: namesOf(documents.get('issuers'), 'issuers', 'id'),
    limit: namesOf(documents.get('limits'), 'limits', 'id'),
    policy: namesOf(documents.get('policies'), 'policies', 'name'),
  };
  const routeIds = namesOf(documents.get('routes'), 'routes', 'id');
  unique(note, 'routes', 'routes', routeIds, 'id');
  unique(note, 'cells', 'cells', known.cell, 'id');
  unique(note, 'issuers', 'issuers', known.issuer, 'id');
  unique(note, 'limits', 'limits', known.limit, 'id');
  unique(note, 'policies', 'policies', known.policy, 'name');
  if (b.cells !== undefined) cellProblems(b.cells, b.routes, known, note);
  if (b.issuers !== undefined) issuerProblems(b.issuers, note);
  for (const [i, p] of (b.policies?.policies ?? []).entries()) {
    if (p.input.length !== new Set(p.input).size) note('policies', `/policies/${i}/input`, 'a field is named twice');
  }
  for (const [i, id] of (b.defaults?.limits ?? []).entries())
    refers(note, known, 'defaults', `/limits/${i}`, 'limit', id);
  if (b.defaults?.degradation !== undefined)
    degradationProblems(
      b.defaults.degradation,
      (path, message) => note('defaults', `/degradation${path}`, message),
      (path, kind, name) => refers(note, known, 'defaults', `/degradation${path}`, kind, name),
      new Set(b.cells?.cells.filter((c) => c.probe === undefined).map((c) => c.id)),
    );
  for (const [i, cidr] of (b.defaults?.forwardedFrom ?? []).entries()) {
    const fault = networkFault(cidr);
    if (fault !== null) note('defaults', `/forwardedFrom/${i}`, fault);
  }
  if (b.waf !== undefined) wafProblems(b.waf, note);
  if (b.tests !== undefined)
    ownTestProblems(b.tests, { ...known, route: routeIds }, (path, message) => note('tests', path, message));
  for (const [i, r] of (b.routes?.routes ?? []).entries()) routeProblems(r, `/routes/${i}`, b, known, note);
  return [...found.values()].flatMap((list) => [...inOrder(list.slice(0, PROBLEMS_MAX)), ...list.slice(PROBLEMS_MAX)]);
}

/** Names in a document that may be wrong elsewhere; '' where there is none, so that places stay. */
function namesOf(doc: Document | undefined, list: string, field: string): string[] {
  const items = (doc?.value as Record<string, unknown> | null | undefined)?.[list];
  if (!Array.isArray(items)) return [];
  return items.map((item: unknown) => {
    const name = (item as Record<string, unknown> | null)?.[field];
    return typeof name === 'string' ? name : '';
  });
}

function unique(note: Note, part: Part, list: string, names: readonly string[], field: string): void {
  const seen = new Map<string, number>();
  for (const [i, name] of names.entries()) {
    const first = seen.get(name);
    if (first === undefined) seen.set(name, i);
    else if (name !== '')
      note(part, `/${list}/${i}/${field}`, `"${name}" is already the ${field} of /${list}/${first}`);
  }
}

function refers(note: Note, known: Known, part: Part, path: string, kind: keyof Known, name: string): void {
  if (!known[kind].includes(name))
    note(
      part,
      path,
      `there is no ${kind} "${name}"${suggestion(
        name,
        known[kind].filter((n) => n !== ''),
      )}`,
    );
}

function exactlyOne(note: Note, part: Part, path: string, object: object, names: readonly string[]): void {
  const given = names.filter((n) => (object as Record<string, unknown>)[n] !== undefined);
  if (given.length === 1) return;
  note(
    part,
    path,
    `exactly one of ${names.join(', ')} is expected, got ${given.length === 0 ? 'none' : given.join(' and ')}`,
  );
}

/** Why a text of the right form is no network, or null. */
export function networkFault(cidr: string): string | null {
  const [address = '', bits = ''] = cidr.split('/');
  const family = isIP(address);
  if (family === 0) return `"${address}" is no IP address`;
  const most = family === 4 ? 32 : 128;
  return Number(bits) > most ? `/${bits} is too long; at most /${most} is possible for IPv${family}` : null;
}

/** Why a text of the right form is no address, or null. */
function addressFault(address: string): string | null {
  const colon = address.lastIndexOf(':');
  const port = Number(address.slice(colon + 1));
  if (port < 1 || port > 65_535) return `${port} is not a port; 1 to 65535 is expected`;
  const host = address.slice(0, colon);
  if (host.startsWith('[') ? isIP(host.slice(1, -1)) !== 6 : /(^|\.)[0-9]+$/.test(host) && isIP(host) !== 4)
    return `${host} is no IP address`;
  return null;
}

/** Why a text of the right form is no address literal with a port, or null. */
export function literalFault(address: string): string | null {
  const host = address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '');
  return addressFault(address) ?? (isIP(host) === 0 ? `${host} is a name; an address is expected here` : null);
}

function cellProblems(b: CellsConfig, routes: Given['routes'], known: Known, note: Note): void {
  for (const [i, cell] of b.cells.entries()) {
    const seen = new Set<string>();
    for (const [j, endpoint] of cell.endpoints.entries()) {
      const at = `/cells/${i}/endpoints/${j}`;
      exactlyOne(note, 'cells', at, endpoint, ['address', 'srv', 'file']);
      for (const kind of ['address', 'srv', 'file'] as const) {
        const text = endpoint[kind];
        if (text === undefined) continue;
        const fault = kind === 'address' ? addressFault(text) : null;
        if (fault !== null) note('cells', `${at}/${kind}`, fault);
        const key = `${kind} ${text.toLowerCase()}`;
        if (seen.has(key)) note('cells', `${at}/${kind}`, `"${text}" is in this cell twice`);
        seen.add(key);
      }
      const { address, file, tls } = endpoint;
      const named = endpoint.srv !== undefined || (address !== undefined && literalFault(address) !== null);
      if (tls !== undefined && tls.serverName === undefined && !named && (address !== undefined || file !== undefined))
        note('cells', `${at}/tls`, 'say `serverName`: an address says no name that a certificate could hold');
    }
    if (cell.balance !== undefined)
      balanceProblems(cell.balance, (path, message) => note('cells', `/cells/${i}/balance${path}`, message));
    guardProblems(cell, (path, message) => note('cells', `/cells/${i}${path}`, message));
    const { health, probe } = cell;
    if (health !== undefined && health.latencyBadMs <= health.latencyGoodMs)
      note('cells', `/cells/${i}/health/latencyBadMs`, `must be greater than latencyGoodMs (${health.latencyGoodMs})`);
    if (probe !== undefined && probe.timeoutMs > probe.intervalMs)
      note('cells', `/cells/${i}/probe/timeoutMs`, `must not be greater than intervalMs (${probe.intervalMs})`);
  }
  for (const [tenant, cell] of Object.entries(b.pins))
    refers(note, known, 'cells', `/pins/${pointerPart(tenant)}`, 'cell', cell);
  for (const [i, { standby }] of b.cells.entries())
    if (standby !== undefined) refers(note, known, 'cells', `/cells/${i}/standby`, 'cell', standby);
  standbyProblems(b, (path, message) => note('cells', path, message));
  regionProblems(b, routes?.routes ?? [], note);
}

/** Fields that the transport writes itself (RFC 9110 §7.6.1, RFC 9112): a claim put there would silently not arrive. */
const OF_THE_CONNECTION: ReadonlySet<string> = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'te',
  'trailer',
  'upgrade',
  'keep-alive',
  'proxy-connection',
  'expect',
]);

function issuerProblems(b: IssuersConfig, note: Note): void {
  for (const [i, issuer] of b.issuers.entries()) {
    const path = `/issuers/${i}`;
    exactlyOne(note, 'issuers', path, issuer, ['jwks', 'jwksUrl', 'hmacSecret']);
    const hmac = issuer.algorithms.filter((a) => a.startsWith('HS'));
    if (hmac.length > 0 && hmac.length < issuer.algorithms.length) {
      note(
        'issuers',
        `${path}/algorithms`,
        'HMAC cannot be mixed with public-key algorithms: a public key would become a shared secret (RFC 8725 §3.1)',
      );
    } else if ((issuer.hmacSecret !== undefined) !== hmac.length > 0) {
      note('issuers', `${path}/algorithms`, 'HS256, HS384 and HS512 go with hmacSecret, and only with it');
    }
    for (const [k, key] of (issuer.jwks?.keys ?? []).entries()) {
      if ('d' in key || 'k' in key)
        note('issuers', `${path}/jwks/keys/${k}`, 'holds private or secret key material; put only the public key here');
    }
    for (const [claim, header] of Object.entries(issuer.claimHeaders)) {
      if (OF_THE_CONNECTION.has(header.toLowerCase()))
        note(
          'issuers',
          `${path}/claimHeaders/${pointerPart(claim)}`,
          `${header} is the connection's own and cannot be made from a claim`,
        );
    }
    const url = issuer.jwksUrl;
    if (url === undefined) continue;
    jwksUrlProblem(url, (message) => note('issuers', `${path}/jwksUrl`, message));
  }
}

/** A host of loopback, as URLs have it in canonical form. */
const LOOPBACK = /^(?:127\.\d+\.\d+\.\d+|localhost|\[::1\])$/;

function jwksUrlProblem(text: string, note: (message: string) => void): void {
  if (!URL.canParse(text)) return note(`"${text}" is no URL`);
  // Of the URL, not of its text: in `http://localhost:80@elsewhere/` the host is elsewhere.
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== '' || password !== '')
    note('a user or password in it would be shown wherever the URL is; key sets are public');
  else if (protocol === 'http:' && !LOOPBACK.test(hostname))
    note('http: is for loopback only; keys fetched without TLS can be replaced on the way');
}

/** Status numbers of redirects (RFC 9110 §15.4) that may be said. */
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

function routeProblems(r: RouteConfig, path: string, b: Given, known: Known, note: Note): void {
  const at = (below: string, message: string): void => note('routes', path + below, message);
  exactlyOne(note, 'routes', `${path}/match/path`, r.match.path, ['exact', 'prefix', 'template', 'regex']);
  if (r.tenant !== undefined)
    exactlyOne(note, 'routes', `${path}/tenant`, r.tenant, [
      'claim',
      'header',
      'hostLabel',
      'pathSegment',
      'sniLabel',
      'fixed',
    ]);
  for (const [j, id] of r.issuers.entries()) refers(note, known, 'routes', `${path}/issuers/${j}`, 'issuer', id);
  for (const [j, id] of r.limits.entries()) refers(note, known, 'routes', `${path}/limits/${j}`, 'limit', id);
  if (r.cell !== undefined) refers(note, known, 'routes', `${path}/cell`, 'cell', r.cell);
  for (const [j, { cell }] of (r.split?.cells ?? []).entries())
    refers(note, known, 'routes', `${path}/split/cells/${j}/cell`, 'cell', cell);
  if (r.mirror !== undefined) refers(note, known, 'routes', `${path}/mirror/cell`, 'cell', r.mirror.cell);
  if (r.split !== undefined) splitProblems(r.split, (below, message) => at(`/split${below}`, message));
  if (r.split !== undefined && r.cell !== undefined) at('/cell', 'either `cell` or `split` says where requests go');
  if (r.policy !== undefined) {
    refers(note, known, 'routes', `${path}/policy/name`, 'policy', r.policy.name);
    const { name, entrypoint } = r.policy;
    const entrypoints = b.policies?.policies.find((p) => p.name === name)?.entrypoints;
    if (entrypoint !== undefined && entrypoints !== undefined && !entrypoints.includes(entrypoint))
      at('/policy/entrypoint', `there is no entrypoint "${entrypoint}"${suggestion(entrypoint, entrypoints)}`);
  }
  const redirect = r.respond?.redirect;
  // A redirect to HTTPS is for requests that came without TLS only, one of parts for those that it leads elsewhere; the others are forwarded.
  const alwaysRedirects = redirect?.to !== undefined && !/^https(:[0-9]*)?$/.test(redirect.to);
  const answersItself = r.respond?.direct !== undefined || r.respond?.files !== undefined;
  if (r.access === 'public') {
    if (r.reason === undefined) at('', `route "${r.id}" is public without a reason; add \`reason: …\``);
  } else if (!alwaysRedirects) {
    if (r.issuers.length === 0)
      at('', `route "${r.id}" has no issuer; add \`issuers: […]\`, or \`access: public\` with a reason`);
    if (r.policy === undefined)
      at('', `route "${r.id}" has no policy; add \`policy: {name: …}\`, or \`access: public\` with a reason`);
  }
  if (r.waf !== undefined) routeWafProblems(r.waf, b.waf, `${path}/waf`, note);
  if (r.tenant?.claim !== undefined && r.issuers.length === 0) at('/tenant/claim', 'a claim needs an issuer');
  if (redirect !== undefined && !REDIRECTS.includes(redirect.status))
    at('/respond/redirect/status', `${redirect.status} is not a redirect; 301, 302, 303, 307 or 308 is expected`);
  if (
    r.cell === undefined &&
    r.split === undefined &&
    r.tenant === undefined &&
    !answersItself &&
    !alwaysRedirects &&
    known.cell.length > 1
  )
    at(
      '',
      `route "${r.id}" leads nowhere: say \`cell\`, or \`tenant\` so that the ring can choose among ${known.cell.length} cells`,
    );
}
