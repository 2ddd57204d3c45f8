/** gRPC's own client and server for Node, with a gateway between them: every kind of call, deadlines, endings, and our refusals as statuses. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import {
  type CallOptions,
  Client,
  type ClientDuplexStream,
  credentials,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type MethodDefinition,
  Metadata,
  Server,
  ServerCredentials,
  type ServiceError,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { Given, untilIdle } from '../e2e/given.ts';
import { rolesPolicy } from '../e2e/policies.ts';
import { plainBundle } from '../harness/bundle.ts';
import { testAuthority } from '../harness/certs.ts';
import type { TestGateway } from '../harness/gateway.ts';
import { AUDIENCE, ISSUER, TestIssuer } from '../harness/issuer.ts';

/** More than one window of HTTP/2, less than gRPC's bound on a message. */
const LARGE_BYTES = 1_000_000;
const PATIENCE_MS = 30_000;
/** Services: how they are reached says their name, what they do is the same. */
const SERVICES = ['open.Echo', 'tls.Echo', 'guarded.Echo', 'denied.Echo', 'gone.Echo'] as const;
type Service = (typeof SERVICES)[number];

function definition(
  service: string,
  method: string,
  asks: boolean,
  answers: boolean,
): MethodDefinition<Buffer, Buffer> {
  const same = (bytes: Buffer): Buffer => bytes;
  return {
    path: `/${service}/${method}`,
    requestStream: asks,
    responseStream: answers,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

const METHODS = [
  ['Unary', false, false],
  ['Many', false, true],
  ['Sum', true, false],
  ['Talk', true, true],
  ['Hang', false, false],
  ['Fail', false, true],
  ['FailAtOnce', false, true],
] as const;

class EchoServer {
  readonly #server = new Server();
  /** Calls of `Hang` that were cancelled. */
  cancelled = 0;

  constructor() {
    const unary: handleUnaryCall<Buffer, Buffer> = (call, done) => {
      const trailers = new Metadata();
      trailers.set('x-trailer', 'of unary');
      trailers.set('bytes-bin', Buffer.from([0, 255, 1]));
      const head = new Metadata();
      head.set('x-seen', call.metadata.get('x-sent').join());
      call.sendMetadata(head);
      done(null, call.request, trailers);
    };
    const many: handleServerStreamingCall<Buffer, Buffer> = (call) => {
      for (let n = 0; n < 50; n++) call.write(Buffer.from(`${call.request.toString()} ${n}`));
      call.end();
    };
    const sum: handleClientStreamingCall<Buffer, Buffer> = (call, done) => {
      let [count, bytes] = [0, 0];
      call.on('data', (message: Buffer) => {
        count += 1;
        bytes += message.length;
      });
      call.on('end', () => done(null, Buffer.from(`${count} ${bytes}`)));
    };
    const talk: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
      call.on('data', (message: Buffer) => call.write(message));
      call.on('end', () => call.end());
    };
    const hang: handleUnaryCall<Buffer, Buffer> = (call) => {
      call.on('cancelled', () => (this.cancelled += 1));
    };
    const fail: handleServerStreamingCall<Buffer, Buffer> = (call) => {
      call.write(Buffer.from('one'));
      call.emit('error', { code: status.DATA_LOSS, details: 'after the first, with ä and %' });
    };
    // The status is all of the answer: it stands in the head, which ends the stream ("Trailers-Only").
    const failAtOnce: handleServerStreamingCall<Buffer, Buffer> = (call) => {
      call.emit('error', { code: status.NOT_FOUND, details: 'before the first, with ä and %' });
    };
    const does: UntypedServiceImplementation = {
      Unary: unary,
      Many: many,
      Sum: sum,
      Talk: talk,
      Hang: hang,
      Fail: fail,
      FailAtOnce: failAtOnce,
    };
    for (const service of SERVICES) {
      const methods = METHODS.map(([name, asks, answers]) => [name, definition(service, name, asks, answers)] as const);
      this.#server.addService(Object.fromEntries(methods), does);
    }
  }

  listen(how: ServerCredentials): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.bindAsync('127.0.0.1:0', how, (error, port) => {
        if (error === null) resolve(port);
        else reject(error);
      });
    });
  }

  stop(): void {
    this.#server.forceShutdown();
  }
}

interface Answered {
  readonly message: Buffer;
  readonly head: Metadata;
  readonly trailers: Metadata;
}

/** Calls of one service by one connection. */
class Caller {
  readonly #client: Client;
  readonly #service: Service | 'nowhere.Echo';

  constructor(client: Client, service: Service | 'nowhere.Echo') {
    this.#client = client;
    this.#service = service;
  }

  unary(method: string, message: Buffer, metadata = new Metadata(), options: CallOptions = {}): Promise<Answered> {
    const { path, requestSerialize, responseDeserialize } = definition(this.#service, method, false, false);
    return new Promise((resolve, reject) => {
      let head = new Metadata();
      let [answer, trailers]: [Buffer | undefined, Metadata | undefined] = [undefined, undefined];
      const call = this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        message,
        metadata,
        { deadline: Date.now() + PATIENCE_MS, ...options },
        (error, value) => {
          if (error !== null) reject(error);
          else answer = value;
        },
      );
      call.on('metadata', (got) => (head = got));
      call.on('status', (got) => {
        trailers = got.metadata;
        // The status comes before the callback.
        setImmediate(
          () => answer !== undefined && resolve({ message: answer, head, trailers: trailers ?? new Metadata() }),
        );
      });
    });
  }

  /** Whole messages of a stream; rejects with its status when that is no OK. */
  many(method: string, message: Buffer): Promise<Buffer[]> {
    const { path, requestSerialize, responseDeserialize } = definition(this.#service, method, false, true);
    const call = this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, message, {
      deadline: Date.now() + PATIENCE_MS,
    });
    return new Promise((resolve, reject) => {
      const got: Buffer[] = [];
      call.on('data', (one: Buffer) => got.push(one));
      call.on('error', (error) => reject(Object.assign(error, { got })));
      call.on('end', () => resolve(got));
    });
  }

  sum(messages: readonly Buffer[]): Promise<string> {
    const { path, requestSerialize, responseDeserialize } = definition(this.#service, 'Sum', true, false);
    return new Promise((resolve, reject) => {
      const call = this.#client.makeClientStreamRequest<Buffer, Buffer>(
        path,
        requestSerialize,
        responseDeserialize,
        { deadline: Date.now() + PATIENCE_MS },
        (error, value) => {
          if (error !== null) reject(error);
          else resolve(String(value));
        },
      );
      for (const message of messages) call.write(message);
      call.end();
    });
  }

  talk(): ClientDuplexStream<Buffer, Buffer> {
    const { path, requestSerialize, responseDeserialize } = definition(this.#service, 'Talk', true, true);
    return this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, {
      deadline: Date.now() + PATIENCE_MS,
    });
  }
}

describe('gRPC', () => {
  const given = new Given();
  const server = new EchoServer();
  let gateway: TestGateway;
  let issuer: TestIssuer;
  const clients: Client[] = [];

  before(async () => {
    const authority = testAuthority();
    const leaf = authority.leaf();
    issuer = await TestIssuer.make();
    const plain = await server.listen(ServerCredentials.createInsecure());
    const pair = { cert_chain: Buffer.from(leaf.certificate), private_key: Buffer.from(leaf.key) };
    const secure = await server.listen(ServerCredentials.createSsl(null, [pair]));
    given.ends(() => server.stop());
    const roles = rolesPolicy('roles');
    const reached = (cell: string, address: string, tls?: object): object => ({
      id: cell,
      endpoints: [{ address, protocol: 'http2', ...(tls === undefined ? {} : { tls }) }],
    });
    const route = (service: Service, cell: string, more: object): object => ({
      id: service.replace('.Echo', ''),
      match: { path: { prefix: `/${service}` } },
      cell,
      ...more,
    });
    const open = { access: 'public', reason: 'a test of calls' };
    gateway = await given.gateway({
      bundle: plainBundle([], {
        issuers: {
          issuers: [{ id: 'own', issuer: ISSUER, audiences: [AUDIENCE], algorithms: ['ES256'], jwks: issuer.jwks }],
        },
        policies: { policies: [roles.entry] },
        routes: {
          routes: [
            route('open.Echo', 'plain', open),
            route('tls.Echo', 'tls', open),
            route('guarded.Echo', 'plain', { ...open, issuers: ['own'] }),
            route('denied.Echo', 'plain', { issuers: ['own'], policy: { name: 'roles' } }),
            route('gone.Echo', 'gone', open),
          ],
        },
        cells: {
          cells: [
            reached('plain', `127.0.0.1:${plain}`),
            reached('tls', `127.0.0.1:${secure}`, { serverName: 'localhost', ca: authority.certificate }),
            // Nobody listens on the discard port.
            reached('gone', '127.0.0.1:9'),
          ],
        },
        files: roles.files,
      }),
      bootstrap: { transport: 'native' },
      listener: { http2: true },
    });
    clients.push(
      new Client(`127.0.0.1:${gateway.ports.http}`, credentials.createInsecure()),
      new Client(`localhost:${gateway.ports.https}`, credentials.createSsl(Buffer.from(authority.certificate))),
    );
    given.ends(() => {
      for (const client of clients) client.close();
    });
  });
  after(() => given.end());

  /** By plain text and by TLS, to servers by plain text and by TLS. */
  const ways = (): Caller[] =>
    clients.flatMap((client) => (['open.Echo', 'tls.Echo'] as const).map((service) => new Caller(client, service)));
  const one = (service: Service | 'nowhere.Echo'): Caller => new Caller(clients[1] as Client, service);
  const refusedWith = (code: status) => (error: ServiceError) => {
    assert.equal(status[error.code], status[code], error.message);
    return true;
  };

  it('unary calls: messages small, empty and large, metadata both ways, trailers', async () => {
    for (const way of ways()) {
      const metadata = new Metadata();
      metadata.set('x-sent', 'by the client');
      for (const message of [Buffer.from('hello'), Buffer.alloc(0), Buffer.alloc(LARGE_BYTES, 'm')]) {
        const { message: back, head, trailers } = await way.unary('Unary', message, metadata);
        assert.ok(back.equals(message));
        assert.deepEqual(head.get('x-seen'), ['by the client']);
        assert.deepEqual(trailers.get('x-trailer'), ['of unary']);
        assert.deepEqual(trailers.get('bytes-bin'), [Buffer.from([0, 255, 1])]);
      }
    }
  });

  it('many unary calls at once', async () => {
    for (const way of ways()) {
      const messages = Array.from({ length: 100 }, (_, n) => Buffer.from(`call ${n}`));
      const answers = await Promise.all(messages.map((message) => way.unary('Unary', message)));
      assert.deepEqual(
        answers.map(({ message }) => message.toString()),
        messages.map(String),
      );
    }
  });

  it('streams of the server, and of the client', async () => {
    for (const way of ways()) {
      const got = await way.many('Many', Buffer.from('message'));
      assert.deepEqual(
        got.map(String),
        Array.from({ length: 50 }, (_, n) => `message ${n}`),
      );
      const messages = Array.from({ length: 40 }, () => Buffer.alloc(50_000, 'c'));
      assert.equal(await way.sum(messages), `40 ${40 * 50_000}`);
      assert.equal(await way.sum([]), '0 0');
    }
  });

  it('streams of both, each message answered before the next is sent', async () => {
    for (const way of ways()) {
      const talk = way.talk();
      for (let n = 0; n < 20; n++) {
        const message = Buffer.from(`${n} ${'t'.repeat(n * 1_000)}`);
        const back = once(talk, 'data');
        talk.write(message);
        assert.deepEqual(await back, [message]);
      }
      const ended = once(talk, 'status');
      talk.end();
      const [{ code }] = (await ended) as [{ code: number }];
      assert.equal(code, status.OK);
    }
    await untilIdle(gateway);
  });

  it('a status that follows messages arrives after them, with its text', async () => {
    for (const way of ways()) {
      await assert.rejects(way.many('Fail', Buffer.alloc(0)), (error: ServiceError & { got: Buffer[] }) => {
        assert.deepEqual(error.got.map(String), ['one']);
        assert.deepEqual([error.code, error.details], [status.DATA_LOSS, 'after the first, with ä and %']);
        return true;
      });
    }
  });

  it('a status that is all of the answer arrives, with its text', async () => {
    for (const way of ways()) {
      for (const message of [Buffer.alloc(0), Buffer.alloc(LARGE_BYTES)]) {
        await assert.rejects(way.many('FailAtOnce', message), (error: ServiceError & { got: Buffer[] }) => {
          assert.deepEqual(error.got, []);
          assert.deepEqual([error.code, error.details], [status.NOT_FOUND, 'before the first, with ä and %']);
          return true;
        });
      }
      await assert.rejects(way.unary('Unheard', Buffer.from('of')), refusedWith(status.UNIMPLEMENTED));
    }
  });

  it('a deadline ends the call at the client, and at the server', async () => {
    const before = server.cancelled;
    // Long enough that each of them reaches the server, on a machine that stands still for seconds too.
    const deadline = Date.now() + 5_000;
    await Promise.all(
      ways().map((way) =>
        assert.rejects(
          way.unary('Hang', Buffer.alloc(0), new Metadata(), { deadline }),
          refusedWith(status.DEADLINE_EXCEEDED),
        ),
      ),
    );
    await gateway.until('the servers know', () => server.cancelled === before + 4);
    await untilIdle(gateway);
  });

  it('a call that the client cancels is cancelled at the server', async () => {
    const talk = one('open.Echo').talk();
    const failed = new Promise((resolve) => talk.once('error', resolve));
    talk.write(Buffer.from('first'));
    await new Promise((resolve) => talk.once('data', resolve));
    talk.cancel();
    assert.equal(((await failed) as ServiceError).code, status.CANCELLED);
    await untilIdle(gateway);
  });

  it('our refusals are statuses of gRPC', async () => {
    const bearer = async (role: string): Promise<Metadata> => {
      const metadata = new Metadata();
      metadata.set('authorization', `Bearer ${await issuer.token({ role })}`);
      return metadata;
    };
    const ask = async (service: Service | 'nowhere.Echo', metadata?: Metadata): Promise<Answered> =>
      one(service).unary('Unary', Buffer.from('ask'), metadata);
    await assert.rejects(ask('nowhere.Echo'), refusedWith(status.UNIMPLEMENTED));
    await assert.rejects(ask('guarded.Echo'), refusedWith(status.UNAUTHENTICATED));
    await assert.rejects(ask('denied.Echo', await bearer('guest')), refusedWith(status.PERMISSION_DENIED));
    await assert.rejects(ask('gone.Echo'), refusedWith(status.UNAVAILABLE));
    // And who may is served.
    assert.equal((await ask('guarded.Echo', await bearer('guest'))).message.toString(), 'ask');
    // A refusal in the middle of a stream of the client's.
    await assert.rejects(one('guarded.Echo').sum([Buffer.alloc(50_000)]), refusedWith(status.UNAUTHENTICATED));
    assert.equal((await ask('open.Echo')).message.toString(), 'ask');
  });
});
