/** Debian's libmodsecurity 3 beside the tests: a small program that is built here, given exchanges, and tells which rules logged. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { WafFile, WafRequest, WafResponse } from '../../../src/native/waf.ts';

const SOURCE = join(import.meta.dirname, 'oracle/exchange.cc');

export interface Exchange {
  readonly request: WafRequest;
  readonly response: WafResponse;
}

export class Oracle {
  readonly #directory: string;

  /** Throws when there is no C++ compiler or no libmodsecurity-dev. */
  constructor(files: readonly WafFile[]) {
    this.#directory = mkdtempSync(join(tmpdir(), 'cnx-modsecurity-'));
    const program = join(this.#directory, 'exchange');
    execFileSync('c++', ['-O1', '-std=c++17', '-o', program, SOURCE, '-lmodsecurity'], { stdio: 'pipe' });
    for (const { name, bytes } of files) writeFileSync(join(this.#directory, basename(name)), bytes);
    const rules = files.filter(({ name }) => /\.conf(\.example)?$/.test(name));
    const includes = rules.map(({ name }) => `Include ${join(this.#directory, basename(name))}`);
    writeFileSync(join(this.#directory, 'all.rules'), `${includes.join('\n')}\n`);
  }

  /** Ids of the rules that logged, in order, for each exchange. */
  async run(exchanges: readonly Exchange[]): Promise<number[][]> {
    const child = spawn(join(this.#directory, 'exchange'), [join(this.#directory, 'all.rules')], {
      cwd: dirname(join(this.#directory, 'exchange')),
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    const ended = new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    });
    // A program that ends early is told by its code.
    child.stdin.on('error', () => undefined);
    for (const exchange of exchanges) child.stdin.write(frame(exchange));
    child.stdin.end();
    const code = await ended;
    if (code !== 0) throw new Error(`libmodsecurity ended with code ${code}`);
    return answers(Buffer.concat(chunks));
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function frame({ request, response }: Exchange): Buffer {
  const texts: Buffer[] = [];
  const put = (text: string | Uint8Array): void => {
    const bytes = typeof text === 'string' ? Buffer.from(text, 'latin1') : Buffer.from(text);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    texts.push(length, bytes);
  };
  const fields = (list: WafRequest['headers']): void => {
    put(String(list?.length ?? 0));
    for (const [name, value] of list ?? []) {
      put(name);
      put(value);
    }
  };
  put(request.method);
  put(request.target);
  put((request.protocol ?? '').replace(/^HTTP\//, ''));
  fields(request.headers);
  put(request.body ?? '');
  put(String(response.status));
  fields(response.headers);
  put(response.body ?? '');
  return Buffer.concat(texts);
}

function answers(bytes: Buffer): number[][] {
  const out: number[][] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    const text = bytes.toString('latin1', at + 4, at + 4 + length);
    out.push(
      text
        .split(' ')
        .filter((id) => id !== '')
        .map(Number),
    );
    at += 4 + length;
  }
  return out;
}
