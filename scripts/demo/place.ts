/** Where the demo lives: its directory and its ports. `--port-offset` moves all of them, for machines where the usual ones are taken. */
import { createServer } from 'node:net';
import { join } from 'node:path';

const PORTS = { plain: 8080, tls: 8443, issuer: 9100, probes: 9901, admin: 9902 } as const;
/** Cell → ports of its endpoints; `config/demo/cells.yaml` names the same. */
const ENDPOINTS: Readonly<Record<string, readonly number[]>> = { 'eu-1': [9101, 9102], 'us-1': [9103, 9104] };
/** Largest offset with which every port is one. */
const OFFSET_MAX = 50_000;

export interface DemoPlace {
  readonly offset: number;
  /** Keys, certificates, bundles and the gateway's own state. */
  readonly state: string;
  readonly ports: Readonly<Record<keyof typeof PORTS, number>>;
  readonly endpoints: Readonly<Record<string, readonly number[]>>;
}

/** The demo of a project. Throws when the offset is not a whole number from 0 to 50,000. */
export function demoPlace(root: string, offset: number): DemoPlace {
  if (!Number.isInteger(offset) || offset < 0 || offset > OFFSET_MAX)
    throw new Error(`--port-offset takes a whole number from 0 to ${OFFSET_MAX}`);
  const moved = Object.entries(PORTS).map(([name, port]) => [name, port + offset]);
  const endpoints = Object.entries(ENDPOINTS).map(([cell, ports]) => [cell, ports.map((p) => p + offset)]);
  return {
    offset,
    state: join(root, offset === 0 ? '.cnx/demo' : `.cnx/demo-${offset}`),
    ports: Object.fromEntries(moved) as DemoPlace['ports'],
    endpoints: Object.fromEntries(endpoints) as DemoPlace['endpoints'],
  };
}

/** A document of the demo's bundle with the ports of this place. */
export function withPorts(document: string, { offset }: DemoPlace): string {
  return document
    .replaceAll(/127\.0\.0\.1:(\d+)/g, (_all, port: string) => `127.0.0.1:${Number(port) + offset}`)
    .replaceAll(/\b(https|demo\.example):(\d+)/g, (_all, of: string, port: string) => `${of}:${Number(port) + offset}`);
}

/** Those of the place's ports that another process listens on. */
export async function takenPorts(place: DemoPlace): Promise<number[]> {
  const taken: number[] = [];
  for (const port of [...Object.values(place.ports), ...Object.values(place.endpoints).flat()])
    if (!(await isFree(port))) taken.push(port);
  return taken.sort((a, b) => a - b);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else reject(error);
    });
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
