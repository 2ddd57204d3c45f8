/**
 * A small DNS server for tests, over UDP and TCP on one port: answers A, AAAA and SRV from a zone that tests change at any time, with the TTLs they say, and fails as
 * they say. RFC 1035 as far as a stub resolver needs it.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import { isIPv4 } from 'node:net';
import { listening } from './ports.ts';

const TYPE = { A: 1, SOA: 6, AAAA: 28, SRV: 33 } as const;
const CLASS_IN = 1;
const RCODE = { ok: 0, servfail: 2, nxdomain: 3, refused: 5 } as const;
/** Flags of an answer: response, authoritative, recursion available. */
const ANSWER_FLAGS = 0x8480;
const TRUNCATED = 0x0200;
const UDP_BYTES_MAX = 512;
const PORTS_TRIED_MAX = 100;

export interface TestSrv {
  readonly target: string;
  readonly port: number;
  readonly priority?: number;
  readonly weight?: number;
}

export interface TestName {
  /** IPv4 and IPv6 literals. */
  readonly addresses?: readonly string[];
  readonly srv?: readonly TestSrv[];
  /** Seconds; 1 unless given. */
  readonly ttl?: number;
}

/** How the server behaves; `silent`: it takes questions and says nothing. */
export type DnsMood = 'well' | 'servfail' | 'refused' | 'silent';

interface Question {
  readonly id: number;
  readonly name: string;
  readonly type: number;
  /** As it came, for the answer. */
  readonly bytes: Buffer;
}

export class TestDns {
  #udp: UdpSocket = createSocket('udp4');
  readonly #tcp: Server;
  readonly #connections = new Set<Socket>();
  readonly #zone = new Map<string, TestName>();
  mood: DnsMood = 'well';
  /** Record types that are answered with SERVFAIL, whatever the mood. */
  readonly broken = new Set<keyof typeof TYPE>();
  /** Record types that are answered with NXDOMAIN, also for names that are there: so do the servers of RFC 4074 §4.2. */
  readonly denied = new Set<keyof typeof TYPE>();
  /** Questions that came, as `A name`. */
  readonly asked: string[] = [];
  port = 0;

  private constructor() {
    this.#tcp = createServer((socket) => this.#stream(socket));
  }

  static async start(zone: Readonly<Record<string, TestName>> = {}): Promise<TestDns> {
    const dns = new TestDns();
    for (const [name, entry] of Object.entries(zone)) dns.set(name, entry);
    await dns.#listen();
    dns.#udp.on('message', (message, from) => {
      const answer = dns.#answer(message);
      if (answer === null) return;
      dns.#udp.send(answer.length > UDP_BYTES_MAX ? cut(answer) : answer, from.port, from.address);
    });
    return dns;
  }

  /** On a port of TCP that nobody has for UDP either: any socket that asks something may have it. */
  async #listen(): Promise<void> {
    for (let tries = 1; ; tries++) {
      this.port = await listening(this.#tcp);
      const failure = await new Promise<Error | null>((resolve) => {
        this.#udp.once('error', resolve);
        this.#udp.bind(this.port, '127.0.0.1', () => {
          this.#udp.off('error', resolve);
          resolve(null);
        });
      });
      if (failure === null) return;
      if (tries === PORTS_TRIED_MAX) throw failure;
      await new Promise((resolve) => this.#tcp.close(resolve));
      this.#udp = createSocket('udp4');
    }
  }

  /** As the bootstrap names it. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  set(name: string, entry: TestName): void {
    this.#zone.set(name.toLowerCase(), entry);
  }

  /** From now on the name does not exist. */
  remove(name: string): void {
    this.#zone.delete(name.toLowerCase());
  }

  async stop(): Promise<void> {
    for (const socket of this.#connections) socket.destroy();
    await Promise.all([
      new Promise<void>((resolve) => this.#udp.close(() => resolve())),
      new Promise<void>((resolve) => this.#tcp.close(() => resolve())),
    ]);
  }

  #stream(socket: Socket): void {
    this.#connections.add(socket);
    socket.on('close', () => this.#connections.delete(socket));
    socket.on('error', () => socket.destroy());
    let held: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      held = Buffer.concat([held, chunk]);
      while (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
        const length = held.readUInt16BE(0);
        const answer = this.#answer(held.subarray(2, 2 + length));
        held = held.subarray(2 + length);
        if (answer === null) continue;
        const head = Buffer.alloc(2);
        head.writeUInt16BE(answer.length);
        socket.write(Buffer.concat([head, answer]));
      }
    });
  }

  #answer(message: Buffer): Buffer | null {
    const question = questionOf(message);
    const type = (Object.keys(TYPE) as (keyof typeof TYPE)[]).find((key) => TYPE[key] === question.type);
    this.asked.push(`${type ?? question.type} ${question.name}`);
    if (this.mood === 'silent') return null;
    if (this.mood !== 'well') return reply(question, RCODE[this.mood], []);
    if (type !== undefined && this.broken.has(type)) return reply(question, RCODE.servfail, []);
    const entry = this.#zone.get(question.name);
    if (entry === undefined || (type !== undefined && this.denied.has(type)))
      return reply(question, RCODE.nxdomain, []);
    return reply(question, RCODE.ok, recordsOf(entry, question.type));
  }
}

function questionOf(message: Buffer): Question {
  const labels: string[] = [];
  let at = 12;
  for (let length = message[at] ?? 0; length !== 0; length = message[at] ?? 0) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  const type = message.readUInt16BE(at + 1);
  return {
    id: message.readUInt16BE(0),
    name: labels.join('.').toLowerCase(),
    type,
    bytes: message.subarray(12, at + 5),
  };
}

function recordsOf({ addresses = [], srv = [], ttl = 1 }: TestName, type: number): Buffer[] {
  if (type === TYPE.A) return addresses.filter((a) => isIPv4(a)).map((a) => record(type, ttl, ipv4Bytes(a)));
  if (type === TYPE.AAAA) return addresses.filter((a) => !isIPv4(a)).map((a) => record(type, ttl, ipv6Bytes(a)));
  if (type !== TYPE.SRV) return [];
  return srv.map(({ target, port, priority = 0, weight = 0 }) => {
    const head = Buffer.alloc(6);
    head.writeUInt16BE(priority, 0);
    head.writeUInt16BE(weight, 2);
    head.writeUInt16BE(port, 4);
    return record(type, ttl, Buffer.concat([head, nameBytes(target)]));
  });
}

/** A record of the name asked for, which stands at offset 12. */
function record(type: number, ttl: number, data: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(CLASS_IN, 4);
  head.writeUInt32BE(ttl, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function reply(question: Question, rcode: number, records: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(question.id, 0);
  head.writeUInt16BE(ANSWER_FLAGS | rcode, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(records.length, 6);
  return Buffer.concat([head, question.bytes, ...records]);
}

/** Head and question only, with the bit that sends the client to TCP. */
function cut(answer: Buffer): Buffer {
  const { bytes } = questionOf(answer);
  const short = Buffer.concat([answer.subarray(0, 12), bytes]);
  short.writeUInt16BE(answer.readUInt16BE(2) | TRUNCATED, 2);
  short.writeUInt16BE(0, 6);
  return short;
}

function nameBytes(name: string): Buffer {
  const labels = name.replace(/\.$/, '').split('.');
  return Buffer.concat([
    ...labels.filter((l) => l !== '').map((l) => Buffer.concat([Buffer.from([l.length]), Buffer.from(l, 'latin1')])),
    Buffer.from([0]),
  ]);
}

function ipv4Bytes(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

function ipv6Bytes(address: string): Buffer {
  const [left = '', right] = address.split('::');
  const words = (text: string): number[] => (text === '' ? [] : text.split(':').map((w) => Number.parseInt(w, 16)));
  const head = words(left);
  const tail = right === undefined ? [] : words(right);
  const all = [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail];
  const bytes = Buffer.alloc(16);
  for (const [i, word] of all.entries()) bytes.writeUInt16BE(word, 2 * i);
  return bytes;
}
