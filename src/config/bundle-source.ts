/**
 * Where bundles come from: `oci:<directory>[:tag]` or `registry.example/repository[:tag]`, either with `@sha256:…`. Control reads such a text when the gateway starts
 * (control/oci/reference.ts); that both agree is held by that file's test. Here is only whether it can, so that a check of the bootstrap can say so.
 */
import { isIP } from 'node:net';
import { resolve } from 'node:path';

const DIGEST = /@sha256:[0-9a-f]{64}$/;
const TAG = /:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const HOST_LABEL = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;
const REPOSITORY_PART = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const HOST_LENGTH_MAX = 253;
const REPOSITORY_LENGTH_MAX = 255;

/** Why a text names no place of bundles, or null. */
export function sourceFault(source: string): string | null {
  if (source.includes('\0')) return 'a source holds no NUL';
  const rest = source.replace(DIGEST, '');
  if (rest === source && /@sha[^@]*:[^@]*$/.test(source))
    return `"${source}" ends in no digest; @sha256: and 64 lowercase hex digits are expected`;
  if (rest.startsWith('oci:'))
    return rest.slice(4).replace(TAG, '') === '' ? `"${source}" names no directory; write oci:<directory>[:tag]` : null;
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(rest)?.[0];
  if (scheme !== undefined) return `"${source}" holds a scheme; write it without ${scheme}`;
  const slash = rest.indexOf('/');
  if (slash < 1)
    return `"${source}" is no source of bundles; write oci:<directory>[:tag] or registry.example/repository:tag`;
  const host = rest.slice(0, slash);
  if (!isHost(host))
    return `"${host}" is no registry; write one with a dot or a port, such as registry.example or localhost:5000, or oci:<directory>[:tag]`;
  const repository = rest.slice(slash + 1).replace(TAG, '');
  if (repository.length > REPOSITORY_LENGTH_MAX || !repository.split('/').every((part) => REPOSITORY_PART.test(part)))
    return `"${repository}" is no repository with its tag; lowercase letters, digits and single . _ - between them are expected, parts split by /, and then :tag`;
  return null;
}

/** The same place, wherever the process runs; `base` is where the bootstrap lies. */
export function absoluteSource(base: string, source: string): string {
  if (!source.startsWith('oci:')) return source;
  const rest = source.slice(4);
  const tag = TAG.exec(rest)?.[0] ?? '';
  return `oci:${resolve(base, rest.slice(0, rest.length - tag.length))}${tag}`;
}

/** There is no default registry: a host holds a dot or a port, or is `localhost`. */
function isHost(text: string): boolean {
  const [, name = '', port] = /^(\[[0-9A-Fa-f:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(text) ?? [];
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return false;
  if (name.startsWith('[')) return isIP(name.slice(1, -1)) === 6;
  if (name.length > HOST_LENGTH_MAX || !name.split('.').every((label) => HOST_LABEL.test(label))) return false;
  return name.includes('.') || port !== undefined || name.toLowerCase() === 'localhost';
}
