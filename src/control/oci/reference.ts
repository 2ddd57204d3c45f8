import { isIP } from 'node:net';
import { type Digest, parseDigest } from './digest.ts';

export interface LayoutReference {
  readonly kind: 'layout';
  readonly directory: string;
  readonly tag: string;
  readonly digest?: Digest;
}

export interface RegistryReference {
  readonly kind: 'registry';
  /** Host with its port, as in a URL. */
  readonly host: string;
  readonly repository: string;
  readonly tag: string;
  readonly digest?: Digest;
}

export type Reference = LayoutReference | RegistryReference;

/** The tag that is meant when none is said. */
export const DEFAULT_TAG = 'latest';

const REFERENCE_LENGTH_MAX = 4096;
const REPOSITORY_LENGTH_MAX = 255;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const REPOSITORY_PART = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const HOST_LABEL = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;

export class MalformedReference extends Error {
  override readonly name = 'MalformedReference';
}

/**
 * Reads `oci:<directory>[:tag][@digest]` or `<host>[:port]/<repository>[:tag][@digest]`. There is no default registry: a
 * host holds a dot or a port, or is `localhost`. In a directory's name a colon is only read as the tag's when what follows
 * can be a tag.
 *
 * @throws {MalformedReference} with what is wrong and an example.
 */
export function parseReference(text: string): Reference {
  if (text.length > REFERENCE_LENGTH_MAX)
    throw new MalformedReference(`a reference has at most ${REFERENCE_LENGTH_MAX} characters`);
  if (text.includes('\0')) throw new MalformedReference('a reference holds no NUL');
  const { rest, digest } = splitDigest(text);
  const pinned = digest === undefined ? {} : { digest };
  if (rest.startsWith('oci:')) {
    const { name, tag } = splitTag(rest.slice('oci:'.length));
    if (name === '')
      throw new MalformedReference(`${JSON.stringify(text)} names no directory; write oci:<directory>[:tag]`);
    return { kind: 'layout', directory: name, tag: tag ?? DEFAULT_TAG, ...pinned };
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(rest)) {
    throw new MalformedReference(`${JSON.stringify(text)} holds a scheme; write <host>/<repository>:<tag> without it`);
  }
  const slash = rest.indexOf('/');
  if (slash < 1)
    throw new MalformedReference(
      `${JSON.stringify(text)} is no reference; write oci:<directory>[:tag] or registry.example/repository:tag`,
    );
  const host = rest.slice(0, slash);
  if (!isHost(host)) {
    throw new MalformedReference(
      `${JSON.stringify(host)} is no registry host; write one with a dot or a port, such as registry.example or localhost:5000`,
    );
  }
  const path = rest.slice(slash + 1);
  const colon = path.lastIndexOf(':');
  const repository = colon === -1 ? path : path.slice(0, colon);
  const tag = colon === -1 ? DEFAULT_TAG : path.slice(colon + 1);
  if (!isRepository(repository)) {
    throw new MalformedReference(
      `${JSON.stringify(repository)} is no repository name: lowercase letters, digits and single . _ - between them, parts split by /`,
    );
  }
  if (!TAG.test(tag))
    throw new MalformedReference(
      `${JSON.stringify(tag)} is no tag: at most 128 letters, digits, _ . - and no . or - at the start`,
    );
  return { kind: 'registry', host: host.toLowerCase(), repository, tag, ...pinned };
}

/** The text that {@link parseReference} reads back as the same reference. */
export function formatReference(reference: Reference): string {
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`;
  const name = reference.kind === 'layout' ? `oci:${reference.directory}` : `${reference.host}/${reference.repository}`;
  return `${name}:${reference.tag}${digest}`;
}

/** Whether this can be a tag (distribution-spec). */
export function isTag(text: string): boolean {
  return TAG.test(text);
}

function splitDigest(text: string): { rest: string; digest?: Digest } {
  const at = text.lastIndexOf('@');
  if (at === -1) return { rest: text };
  const after = text.slice(at + 1);
  const digest = parseDigest(after);
  if (digest !== undefined) return { rest: text.slice(0, at), digest };
  if (after.startsWith('sha') && after.includes(':'))
    throw new MalformedReference(`${JSON.stringify(after)} is no digest: sha256: and 64 lowercase hex digits`);
  return { rest: text };
}

function splitTag(text: string): { name: string; tag?: string } {
  const colon = text.lastIndexOf(':');
  const tag = text.slice(colon + 1);
  return colon !== -1 && TAG.test(tag) ? { name: text.slice(0, colon), tag } : { name: text };
}

function isRepository(text: string): boolean {
  return text.length <= REPOSITORY_LENGTH_MAX && text.split('/').every((part) => REPOSITORY_PART.test(part));
}

function isHost(text: string): boolean {
  const match = /^(\[[0-9A-Fa-f:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(text);
  const name = match?.[1];
  if (name === undefined) return false;
  const port = match?.[2];
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return false;
  if (name.startsWith('[')) return isIP(name.slice(1, -1)) === 6;
  if (name.length > 253 || !name.split('.').every((label) => HOST_LABEL.test(label))) return false;
  return name.includes('.') || port !== undefined || name.toLowerCase() === 'localhost';
}
