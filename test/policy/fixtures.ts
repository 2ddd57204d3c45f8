/** The checked-in modules, loaded the way a bundle is. */
import { readFileSync } from 'node:fs';
import { inspectModule } from '../../src/control/policy/inspect.ts';
import type { PolicySource } from '../../src/control/policy/prepare.ts';
import { OpaInstance, type OpaSpec } from '../../src/policy/opa-instance.ts';
import { SOURCES } from '../fixtures/policy/build.ts';

export const PAGES = 512;

function entry(name: string): (typeof SOURCES)[number] {
  const found = SOURCES.find((s) => s.name === name);
  if (found === undefined) throw new Error(`no fixture ${name}`);
  return found;
}

export function wasmOf(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(entry(name).file.replace(/\.rego$/, '.wasm')));
}

const compiled = new Map<string, Pick<OpaSpec, 'module' | 'literalPatterns'>>();

/** Spec of a fixture with all its entrypoints. */
export function specOf(name: string, more: Partial<OpaSpec> = {}): OpaSpec {
  let module = compiled.get(name);
  if (module === undefined) compiled.set(name, (module = inspectModule(name, wasmOf(name), PAGES)));
  const { entrypoints } = entry(name);
  // No rest for slow evaluations: the machine may be busy.
  return { name, data: '', entrypoints, memoryPagesMax: PAGES, budgetUs: 1e12, ...module, ...more };
}

/** An instance and a way to ask it by the name of an entrypoint. */
export function asking(name: string, more: Partial<OpaSpec> = {}) {
  const spec = specOf(name, more);
  const instance = new OpaInstance(spec);
  const ask = (entrypoint: string, input: unknown, nowMs = 0) =>
    instance.evaluate(
      typeof input === 'string' ? input : JSON.stringify(input),
      spec.entrypoints.indexOf(entrypoint),
      nowMs,
    );
  return { instance, ask, spec };
}

/** A made module as an instance. */
export function made(wasm: Uint8Array<ArrayBuffer>, more: Partial<OpaSpec> = {}): OpaInstance {
  return new OpaInstance({
    name: 'made',
    module: new WebAssembly.Module(wasm),
    data: '',
    entrypoints: ['made/allow'],
    memoryPagesMax: PAGES,
    literalPatterns: true,
    budgetUs: 1e12,
    ...more,
  });
}

/** As a bundle gives it. */
export function sourceOf(wasm: Uint8Array<ArrayBuffer>, more: Partial<PolicySource> = {}): PolicySource {
  return {
    name: 'made',
    wasm,
    data: '',
    entrypoints: ['made/allow'],
    input: ['method', 'path'],
    pure: false,
    cacheEntries: 0,
    memoryPagesMax: PAGES,
    ...more,
  };
}
