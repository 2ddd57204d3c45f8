/** Docker's `config.json`, which `docker login`, `podman login`, `skopeo login` and most CI systems write. Read anew for every use, so that a renewed one counts. */
import { readBounded } from './files.ts';
import { type JsonObject, parseStrictJson } from './json.ts';
import type { Credentials } from './registry-auth.ts';
import { Rejection, SourceError } from './rejection.ts';

const CONFIG_BYTES_MAX = 1024 * 1024;
/** What Docker calls its own registry there. */
const DOCKER_HUB = 'https://index.docker.io/v1/';

/**
 * The credentials for a repository: the entry with the longest name that it lies under, as containers-auth.json(5) says; undefined when there is none, or no file.
 *
 * @throws {SourceError} `unauthorized` for a file that cannot be read as such a configuration, and for an entry that only a program could use.
 */
export async function dockerCredentials(
  file: string,
  host: string,
  repository: string,
): Promise<Credentials | undefined> {
  const read = await readBounded(file, CONFIG_BYTES_MAX);
  if (read.state === 'absent') return undefined;
  const fail = (sentence: string, cause?: unknown): never => {
    throw new SourceError('unauthorized', `${file}: ${sentence}`, { cause });
  };
  if (read.state === 'too_large') return fail(`it has more than ${CONFIG_BYTES_MAX} bytes`);
  let config: unknown;
  try {
    config = parseStrictJson(read.bytes, { what: 'it', bytesMax: CONFIG_BYTES_MAX });
  } catch (error) {
    if (!(error instanceof Rejection)) throw error;
    return fail(error.message, error);
  }
  const auths = objectOf(objectOf(config)?.['auths']) ?? {};
  for (const name of namesOf(host, repository)) {
    const entry = Object.hasOwn(auths, name) ? objectOf(auths[name]) : undefined;
    if (entry === undefined) continue;
    const credentials = credentialsOf(entry);
    if (credentials !== undefined) return credentials;
    // Docker leaves an empty entry behind when a helper holds the password.
    if (Object.keys(entry).length > 0)
      return fail(`the entry ${JSON.stringify(name)} holds no user name with a password; identity tokens are not used`);
  }
  const helpers = objectOf(objectOf(config)?.['credHelpers']) ?? {};
  if (Object.hasOwn(helpers, host))
    return fail(`credentials for ${host} are with the helper ${JSON.stringify(helpers[host])}, which is not run here`);
  return undefined;
}

/** Names that may stand for a repository, the most special first. */
function namesOf(host: string, repository: string): string[] {
  const parts = repository.split('/');
  const names = parts.map((_, i) => `${host}/${parts.slice(0, parts.length - i).join('/')}`);
  names.push(host, `https://${host}`, `https://${host}/`, `https://${host}/v1/`, `https://${host}/v2/`);
  if (host === 'registry-1.docker.io' || host === 'docker.io') names.push('docker.io', DOCKER_HUB);
  return names;
}

function credentialsOf(entry: JsonObject): Credentials | undefined {
  const { username, password, auth } = entry;
  if (typeof username === 'string' && typeof password === 'string' && username !== '') return { username, password };
  if (typeof auth !== 'string' || auth === '') return undefined;
  const text = Buffer.from(auth, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 1) return undefined;
  // Some versions of Docker pad the text with NULs.
  return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, '') };
}

function objectOf(value: unknown): JsonObject | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
}
