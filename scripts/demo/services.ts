/**
 * The demo's upstream side, one process: four endpoints in two cells that say who answered and what they were sent, and an issuer that serves its
 * keys. Started by `npm start`, told the project's directory and the offset of the ports; prints one JSON line when all listen.
 */
import { createServer, type Server } from 'node:http';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exportJWK, exportPKCS8, generateKeyPair, importPKCS8, SignJWT } from 'jose';
import { createPublicKey } from 'node:crypto';
import { WebSocketServer } from 'ws';
import { demoPlace } from './place.ts';

export const DEMO_ISSUER = 'https://issuer.demo.example';
/** Longest body that an endpoint reads. */
const BODY_BYTES_MAX = 1_048_576;
/** Tokens of the demo live for a day. */
const TOKEN_SECONDS = 86_400;

function endpoint(cell: string, port: number): Server {
  const server = createServer((req, res) => {
    let bytes = 0;
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > BODY_BYTES_MAX) req.destroy();
    });
    req.on('end', () => {
      const body = JSON.stringify(
        { cell, port, method: req.method, url: req.url, bodyBytes: bytes, headers: req.headers },
        null,
        2,
      );
      res.writeHead(200, { 'content-type': 'application/json' }).end(`${body}\n`);
    });
  });
  const sockets = new WebSocketServer({ server, maxPayload: BODY_BYTES_MAX });
  sockets.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })));
  return server;
}

/** The issuer's key, kept over starts so that tokens printed earlier stay good. */
async function issuerKey(stateDir: string): Promise<string> {
  const file = join(stateDir, 'issuer.key.pem');
  if (!existsSync(file)) {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    const { privateKey } = await generateKeyPair('ES256', { extractable: true });
    writeFileSync(file, await exportPKCS8(privateKey), { mode: 0o600 });
  }
  return readFileSync(file, 'utf8');
}

/** A token of the demo's issuer. */
export async function demoToken(
  stateDir: string,
  subject: string,
  roles: readonly string[],
  tenant: string,
): Promise<string> {
  const key = await importPKCS8(await issuerKey(stateDir), 'ES256');
  return new SignJWT({ roles, tenant })
    .setProtectedHeader({ alg: 'ES256', kid: 'demo-1' })
    .setIssuer(DEMO_ISSUER)
    .setAudience('demo')
    .setSubject(subject)
    .setIssuedAt()
    .setExpirationTime(Math.floor(Date.now() / 1000) + TOKEN_SECONDS)
    .sign(key);
}

async function issuer(stateDir: string): Promise<Server> {
  const jwk = await exportJWK(createPublicKey(await issuerKey(stateDir)));
  const jwks = JSON.stringify({ keys: [{ ...jwk, kid: 'demo-1', alg: 'ES256', use: 'sig' }] });
  return createServer((_req, res) => res.writeHead(200, { 'content-type': 'application/jwk-set+json' }).end(jwks));
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
}

if (import.meta.filename === process.argv[1]) {
  const { state, ports, endpoints } = demoPlace(process.argv[2] ?? '.', Number(process.argv[3] ?? '0'));
  await listen(await issuer(state), ports.issuer);
  for (const [cell, own] of Object.entries(endpoints)) for (const port of own) await listen(endpoint(cell, port), port);
  console.log(JSON.stringify({ listening: true }));
  // Ends with its parent: standard input closes when that is gone, however it died.
  process.stdin.on('end', () => process.exit(0)).resume();
}
