/** A certificate authority for tests and leaves signed by it, made with the `openssl` command. Once a process; the files go with it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const DAYS = 30;

export interface Leaf {
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly certificate: string;
  readonly key: string;
}

export class TestAuthority {
  /** PEM of the authority itself: what clients trust. */
  readonly certificate: string;
  readonly certificateFile: string;
  readonly #directory: string;
  readonly #leaves = new Map<string, Leaf>();

  constructor() {
    this.#directory = mkdtempSync(join(tmpdir(), 'cnx-test-ca-'));
    const directory = this.#directory;
    process.on('exit', () => {
      rmSync(directory, { recursive: true, force: true });
    });
    this.certificateFile = this.#path('ca.pem');
    openssl([
      'req',
      '-x509',
      ...NEW_KEY,
      '-nodes',
      '-days',
      String(DAYS),
      '-subj',
      '/CN=cnx test authority',
      '-keyout',
      this.#path('ca.key'),
      '-out',
      this.certificateFile,
    ]);
    this.certificate = readFileSync(this.certificateFile, 'utf8');
  }

  /** A leaf for these names (DNS names, IP addresses or URIs), with client authentication allowed as well. The same names give the same leaf. */
  leaf(names: readonly string[] = ['localhost', '127.0.0.1']): Leaf {
    const known = this.#leaves.get(names.join(','));
    if (known !== undefined) return known;
    const stem = `leaf-${this.#leaves.size}`;
    const [request, keyFile, certificateFile, extensions] = ['csr', 'key', 'pem', 'ext'].map((end) =>
      this.#path(`${stem}.${end}`),
    ) as [string, string, string, string];
    const alternatives = names.map((name) => `${kindOf(name)}:${name}`).join(',');
    writeFileSync(
      extensions,
      `subjectAltName=${alternatives}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n`,
    );
    openssl(['req', ...NEW_KEY, '-nodes', '-subj', `/CN=${names[0] ?? 'leaf'}`, '-keyout', keyFile, '-out', request]);
    openssl([
      'x509',
      '-req',
      '-in',
      request,
      '-CA',
      this.certificateFile,
      '-CAkey',
      this.#path('ca.key'),
      '-CAcreateserial',
      '-days',
      String(DAYS),
      '-extfile',
      extensions,
      '-out',
      certificateFile,
    ]);
    const leaf = {
      certificateFile,
      keyFile,
      certificate: readFileSync(certificateFile, 'utf8'),
      key: readFileSync(keyFile, 'utf8'),
    };
    this.#leaves.set(names.join(','), leaf);
    return leaf;
  }

  #path(name: string): string {
    return join(this.#directory, name);
  }
}

function kindOf(name: string): 'DNS' | 'IP' | 'URI' {
  if (name.includes('://')) return 'URI';
  return /^[0-9.]+$|:/.test(name) ? 'IP' : 'DNS';
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];

function openssl(args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: 20_000 });
}

let authority: TestAuthority | undefined;

/** The authority of this process, made when it is first asked for. */
export function testAuthority(): TestAuthority {
  authority ??= new TestAuthority();
  return authority;
}
