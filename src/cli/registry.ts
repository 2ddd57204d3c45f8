/** How registries are spoken with, from a bootstrap or from the flags and the environment of a command. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RegistryConfig } from '../config/bootstrap.ts';
import { dockerCredentials } from '../control/oci/docker-config.ts';
import { parseProxy, type ProxyOptions, proxyFromEnvironment } from '../control/oci/proxy.ts';
import { parseReference } from '../control/oci/reference.ts';
import type { RegistryOptions } from '../control/oci/registry-http.ts';
import type { CommandIo } from './io.ts';

type Environment = CommandIo['env'];

/** Options for the place that a reference names. Credentials are read anew for every token, so that a renewed file counts. */
export function registryOptions(
  source: string,
  registry: RegistryConfig | undefined,
  env: Environment,
): RegistryOptions {
  const proxy = proxyOf(registry?.proxy, env);
  if (registry === undefined) return { proxy };
  const { usernameFrom, passwordFrom, dockerConfigFile, caFile, insecure, tokenHosts } = registry;
  const read = (from: string): string =>
    from.startsWith('env:') ? (env[from.slice(4)] ?? '') : readFileSync(from.slice(5), 'utf8').trim();
  return {
    insecure,
    tokenHosts,
    proxy,
    ...(caFile === undefined ? {} : { ca: readFileSync(caFile, 'utf8') }),
    ...(usernameFrom === undefined || passwordFrom === undefined
      ? {}
      : { credentials: () => ({ username: read(usernameFrom), password: read(passwordFrom) }) }),
    ...(dockerConfigFile === undefined ? {} : fromDocker(dockerConfigFile, source)),
  };
}

/** The same for a command: a user name and a password in the environment, else what `docker login` has written. */
export function commandRegistryOptions(
  source: string,
  flags: { readonly insecure: boolean; readonly 'docker-config'?: string | undefined; readonly ca?: string },
  env: Environment,
): RegistryOptions {
  const { CNX_REGISTRY_USERNAME: username, CNX_REGISTRY_PASSWORD: password } = env;
  const own = env['DOCKER_CONFIG'] ?? (env['HOME'] === undefined ? undefined : join(env['HOME'], '.docker'));
  const docker = flags['docker-config'] ?? (own === undefined ? undefined : join(own, 'config.json'));
  return {
    insecure: flags.insecure,
    proxy: proxyOf(undefined, env),
    ...(flags.ca === undefined ? {} : { ca: flags.ca }),
    ...(docker === undefined ? {} : fromDocker(docker, source)),
    ...(username === undefined || password === undefined ? {} : { credentials: () => ({ username, password }) }),
  };
}

function proxyOf(configured: string | undefined, env: Environment): ProxyOptions | undefined {
  if (configured === 'none') return undefined;
  return configured === undefined
    ? proxyFromEnvironment(env)
    : parseProxy(configured, env['no_proxy'] ?? env['NO_PROXY']);
}

function fromDocker(file: string, source: string): RegistryOptions {
  const reference = parseReference(source);
  if (reference.kind !== 'registry') return {};
  return { credentials: () => dockerCredentials(file, reference.host, reference.repository) };
}
