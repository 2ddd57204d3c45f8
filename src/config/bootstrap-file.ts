/** Reads the bootstrap: checks it and makes its paths absolute. */
import { isIP } from 'node:net';
import { dirname, resolve } from 'node:path';
import { BootstrapConfig, type ListenerTlsConfig, type RegistryConfig } from './bootstrap.ts';
import { absoluteSource, sourceFault } from './bundle-source.ts';
import { ConfigError, Document, inOrder, type Problem } from './document.ts';
import { NAME } from './fields.ts';
import type { GuardrailConfig } from './guardrail.ts';
import { listenerProblems, uwsProblems } from './listener-problems.ts';
import { networkFault } from './references.ts';
import { rolloutProblems } from './rollout.ts';
import { webhookProblems } from './webhook.ts';
import { validate } from './validate.ts';

/** The bootstrap with absolute paths. Throws `ConfigError` with every problem. */
export function readBootstrap(file: string, text: string): BootstrapConfig {
  const doc = new Document(file, text);
  const result = validate(BootstrapConfig, doc);
  if (!result.ok) throw new ConfigError(result.problems);
  const base = dirname(resolve(file));
  const b = result.value;
  const problems = impossible(doc, b);
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    ...b,
    listeners: b.listeners.map((l) => (l.tls === undefined ? l : { ...l, tls: absoluteTls(base, l.tls) })),
    bundle: {
      ...b.bundle,
      source: absoluteSource(base, b.bundle.source),
      ...absoluteRegistry(base, b.bundle.registry),
      mirrors: b.bundle.mirrors.map(({ source, registry }) => ({
        source: absoluteSource(base, source),
        ...absoluteRegistry(base, registry),
      })),
      ...absoluteGuardrail(base, b.bundle.guardrail),
      ...(b.bundle.seed === undefined ? {} : { seed: absoluteSource(base, b.bundle.seed) }),
    },
    ...(b.rollout.hashKeyFrom === undefined
      ? {}
      : { rollout: { ...b.rollout, hashKeyFrom: absolutePlace(base, b.rollout.hashKeyFrom) } }),
    webhooks: b.webhooks.map((hook) => ({ ...hook, secretFrom: absolutePlace(base, hook.secretFrom) })),
    trustFile: resolve(base, b.trustFile),
    stateDir: resolve(base, b.stateDir),
    admin: b.admin.tokenFile === undefined ? b.admin : { ...b.admin, tokenFile: resolve(base, b.admin.tokenFile) },
    ...(b.countryFile === undefined ? {} : { countryFile: resolve(base, b.countryFile) }),
    endpointFiles: Object.fromEntries(
      Object.entries(b.endpointFiles).map(([name, path]) => [name, resolve(base, path)]),
    ),
    secrets: Object.fromEntries(Object.entries(b.secrets).map(([name, from]) => [name, absolutePlace(base, from)])),
  };
}

function absoluteGuardrail(base: string, guardrail: GuardrailConfig | undefined): { guardrail?: GuardrailConfig } {
  if (guardrail === undefined) return {};
  const { moduleFile, dataFile } = guardrail;
  const data = dataFile === undefined ? {} : { dataFile: resolve(base, dataFile) };
  return { guardrail: { ...guardrail, moduleFile: resolve(base, moduleFile), ...data } };
}

/** What the schema cannot say: what is needed together, and what cannot be. */
function impossible(doc: Document, b: BootstrapConfig): Problem[] {
  const problems: Problem[] = [];
  const at = (path: string, message: string): void => {
    problems.push(doc.problem(path, message));
  };
  for (const place of ['probes', 'admin'] as const) {
    const { address } = b[place];
    if (isIP(address) === 0 && address !== 'localhost')
      at(`/${place}/address`, `"${address}" is no IP address; one is expected, without brackets, or localhost`);
  }
  if (!isLoopback(b.admin.address) && b.admin.tokenFile === undefined)
    at('/admin', `the admin listener on ${b.admin.address} needs \`tokenFile\`; without it only loopback is allowed`);
  for (const name of Object.keys(b.secrets))
    if (!new RegExp(NAME).test(name))
      problems.push(doc.problem('/secrets', `no bundle can say the name "${name}"; it must fit ${NAME}`, name));
  rolloutProblems(b.rollout, at);
  webhookProblems(b.webhooks, at);
  for (const name of Object.keys(b.endpointFiles))
    if (!new RegExp(NAME).test(name))
      problems.push(doc.problem('/endpointFiles', `no cell can say the name "${name}"; it must fit ${NAME}`, name));
  for (const [i, server] of b.dns.servers.entries()) {
    const fault = serverFault(server);
    if (fault !== null) at(`/dns/servers/${i}`, fault);
  }
  if (b.dns.ttlMaxMs < b.dns.ttlMinMs) at('/dns/ttlMaxMs', `must not be less than ttlMinMs (${b.dns.ttlMinMs})`);
  registryProblems(b.bundle.registry, '/bundle/registry', at);
  for (const [i, mirror] of b.bundle.mirrors.entries())
    registryProblems(mirror.registry, `/bundle/mirrors/${i}/registry`, at);
  sourceProblem(b.bundle.source, '/bundle/source', at);
  for (const [i, { source }] of b.bundle.mirrors.entries()) sourceProblem(source, `/bundle/mirrors/${i}/source`, at);
  if (b.bundle.seed?.startsWith('oci:') === false)
    at('/bundle/seed', 'a seed lies on this machine: write oci:<directory>[:tag]');
  else if (b.bundle.seed !== undefined) sourceProblem(b.bundle.seed, '/bundle/seed', at);
  const ids = new Set<string>();
  const places: { path: string; address: string; port: number }[] = [];
  for (const [i, l] of b.listeners.entries()) {
    if (ids.has(l.id)) at(`/listeners/${i}/id`, `"${l.id}" is already the id of another listener`);
    ids.add(l.id);
    places.push({ path: `/listeners/${i}`, address: l.address, port: l.port });
    for (const [j, cidr] of l.forwardedFrom.entries()) {
      const fault = networkFault(cidr);
      if (fault !== null) at(`/listeners/${i}/forwardedFrom/${j}`, fault);
    }
    // The engine takes no zone of an IPv6 address.
    if (isIP(l.address) === 0 || l.address.includes('%'))
      at(
        `/listeners/${i}/address`,
        `"${l.address}" is no IP address; one of this machine is expected, without brackets, such as 0.0.0.0 or ::1`,
      );
    listenerProblems(l, `/listeners/${i}`, at);
  }
  if (b.transport === 'uws') uwsProblems(b, doc.value, at);
  places.push({ path: '/probes', ...b.probes }, { path: '/admin', ...b.admin });
  for (const [i, p] of places.entries()) {
    // Lanes share their ports, so the operating system would not complain: connections would go to either.
    const other = places.slice(0, i).find((o) => p.port !== 0 && o.port === p.port && meet(o.address, p.address));
    if (other !== undefined) at(`${p.path}/port`, `${p.port} is already the port of ${other.path}`);
  }
  return inOrder(problems);
}

function sourceProblem(source: string, path: string, at: (path: string, message: string) => void): void {
  const fault = sourceFault(source);
  if (fault !== null) at(path, fault);
}

function registryProblems(
  registry: RegistryConfig | undefined,
  path: string,
  at: (path: string, message: string) => void,
): void {
  if (registry === undefined) return;
  const { usernameFrom, passwordFrom, dockerConfigFile } = registry;
  if ((usernameFrom === undefined) !== (passwordFrom === undefined))
    at(path, 'usernameFrom and passwordFrom go together');
  if (usernameFrom !== undefined && dockerConfigFile !== undefined)
    at(path, 'credentials come from usernameFrom and passwordFrom or from dockerConfigFile, not from both');
}

/** `env:` stays, the path of `file:` becomes absolute. */
function absolutePlace(base: string, from: string): string {
  return from.startsWith('file:') ? `file:${resolve(base, from.slice(5))}` : from;
}

function absoluteRegistry(base: string, registry: RegistryConfig | undefined): { registry?: RegistryConfig } {
  if (registry === undefined) return {};
  const { usernameFrom, passwordFrom, caFile, dockerConfigFile } = registry;
  const place = (from: string): string => absolutePlace(base, from);
  return {
    registry: {
      ...registry,
      ...(usernameFrom === undefined ? {} : { usernameFrom: place(usernameFrom) }),
      ...(passwordFrom === undefined ? {} : { passwordFrom: place(passwordFrom) }),
      ...(caFile === undefined ? {} : { caFile: resolve(base, caFile) }),
      ...(dockerConfigFile === undefined ? {} : { dockerConfigFile: resolve(base, dockerConfigFile) }),
    },
  };
}

function absoluteTls(base: string, tls: ListenerTlsConfig): ListenerTlsConfig {
  const { certificateFile, keyFile, certificates, clientCertificates } = tls;
  return {
    ...tls,
    ...(certificateFile === undefined ? {} : { certificateFile: resolve(base, certificateFile) }),
    ...(keyFile === undefined ? {} : { keyFile: resolve(base, keyFile) }),
    ...(certificates === undefined
      ? {}
      : {
          certificates: certificates.map((c) => ({
            ...c,
            certificateFile: resolve(base, c.certificateFile),
            keyFile: resolve(base, c.keyFile),
            ...(c.ocspFile === undefined ? {} : { ocspFile: resolve(base, c.ocspFile) }),
          })),
        }),
    ...(clientCertificates?.caFile === undefined
      ? {}
      : { clientCertificates: { ...clientCertificates, caFile: resolve(base, clientCertificates.caFile) } }),
  };
}

/** Why a text of the right form is no address of a DNS server, or null. */
function serverFault(server: string): string | null {
  const port = /^(?:\[.*\]|[0-9.]+):([0-9]{1,5})$/.exec(server)?.[1];
  const host = (port === undefined ? server : server.slice(0, -port.length - 1)).replace(/^\[|\]$/g, '');
  if (isIP(host) === 0) return `"${host}" is no IP address`;
  const number = Number(port ?? 53);
  return number >= 1 && number <= 65_535 ? null : `${number} is not a port; 1 to 65535 is expected`;
}

function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || (isIP(address) === 4 && address.startsWith('127.'));
}

/** True when listening on both addresses at once cannot work. */
function meet(a: string, b: string): boolean {
  const [one, other] = [canonical(a), canonical(b)];
  const any = ['0.0.0.0', '::'];
  if (one === other || any.includes(one) || any.includes(other)) return true;
  // It is whichever of the two loopback addresses the machine says.
  return (a === 'localhost' && isLoopback(b)) || (b === 'localhost' && isLoopback(a));
}

/** One text for each address: those of IPv6 can be written in many ways (RFC 5952). */
function canonical(address: string): string {
  return isIP(address) === 6 && !address.includes('%') ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address;
}
