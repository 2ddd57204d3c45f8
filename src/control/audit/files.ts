/** Where the audit log lies in the state directory: `audit/000001.jsonl` and so on, `audit/head.json`, `audit/key.pem`. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type DurableFiles, readBounded } from '../oci/files.ts';

/** Bytes of one file; then the next is begun. */
export const FILE_BYTES_MAX = 4 * 1024 * 1024;
/** Files that are kept. */
export const FILES_MAX = 16;
export const KEY_BYTES_MAX = 8_192;
const NAME = /^[0-9]{6}\.jsonl$/;

export const headPath = (directory: string): string => join(directory, 'head.json');
export const keyPath = (directory: string): string => join(directory, 'key.pem');

export function fileName(number: number): string {
  return `${String(number).padStart(6, '0')}.jsonl`;
}

/** Names of the log's files, oldest first. */
export async function logFiles(directory: string): Promise<string[]> {
  return (await readdir(directory)).filter((name) => NAME.test(name)).sort((a, b) => (a < b ? -1 : 1));
}

/** The key that signs; made at the first start. It never leaves the machine; who verifies elsewhere needs its public half. */
export async function signingKeyOf(directory: string, files: DurableFiles): Promise<KeyObject> {
  const path = keyPath(directory);
  const read = await readBounded(path, KEY_BYTES_MAX);
  if (read.state === 'read') return createPrivateKey(Buffer.from(read.bytes));
  const { privateKey } = generateKeyPairSync('ed25519');
  await files.write(path, Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' })), 0o600);
  return privateKey;
}

/** Base64 of the DER SubjectPublicKeyInfo. */
export function spkiOf(key: KeyObject): string {
  const half = key.type === 'private' ? createPublicKey(key) : key;
  return half.export({ type: 'spki', format: 'der' }).toString('base64');
}
