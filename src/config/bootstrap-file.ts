/** Reads the bootstrap: checks it and makes its paths absolute. */
import { dirname, resolve } from 'node:path';
import { BootstrapConfig } from './bootstrap.ts';
import { ConfigError, Document } from './document.ts';
import { validate } from './validate.ts';

/** The bootstrap with absolute paths. Throws `ConfigError` with every problem. */
export function readBootstrap(file: string, text: string): BootstrapConfig {
  const doc = new Document(file, text);
  const result = validate(BootstrapConfig, doc);
  if (!result.ok) throw new ConfigError(result.problems);
  const base = dirname(resolve(file));
  const b = result.value;
  const problems = [];
  const loopback = /^(127\.|::1$|localhost$)/.test(b.admin.address);
  if (!loopback && b.admin.tokenFile === undefined) {
    problems.push(
      doc.problem(
        '/admin',
        `the admin listener on ${b.admin.address} needs \`tokenFile\`; without it only loopback is allowed`,
      ),
    );
  }
  const ids = new Set<string>();
  for (const [i, l] of b.listeners.entries()) {
    if (ids.has(l.id))
      problems.push(doc.problem(`/listeners/${i}/id`, `"${l.id}" is already the id of another listener`));
    ids.add(l.id);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    ...b,
    listeners: b.listeners.map((l) =>
      l.tls === undefined
        ? l
        : {
            ...l,
            tls: {
              ...l.tls,
              certificateFile: resolve(base, l.tls.certificateFile),
              keyFile: resolve(base, l.tls.keyFile),
            },
          },
    ),
    bundle: {
      ...b.bundle,
      source: absoluteSource(base, b.bundle.source),
      ...(b.bundle.registry?.caFile === undefined
        ? {}
        : { registry: { ...b.bundle.registry, caFile: resolve(base, b.bundle.registry.caFile) } }),
    },
    trustFile: resolve(base, b.trustFile),
    stateDir: resolve(base, b.stateDir),
    admin: b.admin.tokenFile === undefined ? b.admin : { ...b.admin, tokenFile: resolve(base, b.admin.tokenFile) },
    secrets: Object.fromEntries(
      Object.entries(b.secrets).map(([name, from]) => [
        name,
        from.startsWith('file:') ? `file:${resolve(base, from.slice(5))}` : from,
      ]),
    ),
  };
}

function absoluteSource(base: string, source: string): string {
  if (!source.startsWith('oci:')) return source;
  const rest = source.slice(4);
  const tag = /:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/.exec(rest)?.[0] ?? '';
  return `oci:${resolve(base, rest.slice(0, rest.length - tag.length))}${tag}`;
}
