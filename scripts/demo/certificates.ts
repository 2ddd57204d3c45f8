/** A development CA and a certificate for localhost, made once with openssl. Not for anything but a developer's machine. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { needDebian } from '../debian.ts';

/** Validity of CA and certificate, days. */
const DAYS = '825';

function openssl(dir: string, args: readonly string[]): void {
  execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Puts `ca.crt`, `localhost.crt` and `localhost.key` into `dir` unless they are there. */
export function makeDemoCertificates(dir: string): void {
  if (existsSync(join(dir, 'localhost.crt'))) return;
  needDebian(['openssl']);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl(dir, [
    'req',
    '-x509',
    ...key,
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
    '-days',
    DAYS,
    '-subj',
    '/CN=CloudNexus development CA',
  ]);
  openssl(dir, ['req', ...key, '-keyout', 'localhost.key', '-out', 'localhost.csr', '-subj', '/CN=localhost']);
  writeFileSync(
    join(dir, 'san.ext'),
    'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\nextendedKeyUsage=serverAuth\n',
  );
  openssl(dir, [
    'x509',
    '-req',
    '-in',
    'localhost.csr',
    '-CA',
    'ca.crt',
    '-CAkey',
    'ca.key',
    '-CAcreateserial',
    '-days',
    DAYS,
    '-extfile',
    'san.ext',
    '-out',
    'localhost.crt',
  ]);
  for (const scrap of ['localhost.csr', 'san.ext', 'ca.srl']) rmSync(join(dir, scrap), { force: true });
}
